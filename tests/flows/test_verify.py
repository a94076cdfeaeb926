"""Verify: an untouched dataset passes, and every kind of damage is found and named with its row."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.build import Outcome
from flows.cli import main
from flows.report.markup import visible
from schemas import masks
from schemas.dataset import MANIFEST
from schemas.pictures import encode, load_png
from schemas.records import TASKS, Mask
from tests.flows import damage
from tests.flows.damage import Values


@pytest.fixture
def dataset(tiny: Outcome, tmp_path: Path) -> Path:
    return damage.copy_dataset(tiny.folder, tmp_path / "dataset")


@pytest.fixture(scope="module")
def rows(tiny: Outcome) -> list[Values]:
    return damage.all_rows(tiny.folder)


def first(rows: list[Values], task: str, fits: Callable[[Values], bool] = lambda values: True) -> Values:
    """The first row of a task by id, without its pictures."""
    found = [values for values in rows if values["task"] == task and fits(values)]
    assert found, f"the tiny dataset has no such row of {task}"
    return min(found, key=lambda values: str(values["id"]))


class Verdict:
    """What `verify --json` says: exit code, fault lines and the faults of the last line."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        capsys.readouterr()
        self.code = main(["verify", str(folder), "--json"])
        *self.lines, last = capsys.readouterr().out.splitlines()
        self.summary = json.loads(last)
        assert self.code == (1 if self.summary["faults"] else 0)
        assert self.summary["ok"] == (self.code == 0)
        if self.code:
            told = [f"{f['kind']}: {f['place']}: {f['what']}" for f in self.summary["faults"]]
            assert self.lines == [visible(line) for line in told]

    def kinds(self) -> set[str]:
        return {fault["kind"] for fault in self.summary["faults"]}

    def of(self, kind: str) -> list[str]:
        return [line for line in self.lines if line.startswith(f"{kind}: ")]


@pytest.fixture
def verdict(dataset: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], Verdict]:
    return lambda: Verdict(dataset, capsys)


def test_untouched_dataset_passes(tiny: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    found = Verdict(tiny.folder, capsys)
    assert found.code == 0
    assert found.lines[0].startswith(f"ok: {tiny.manifest.rows} rows in ")
    assert found.summary == {
        "ok": True,
        "rows": tiny.manifest.rows,
        "digest": tiny.manifest.digest,
        "faults": [],
    }


def test_copied_linked_and_rewritten_datasets_pass(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the damage below starts from is no damage by itself."""
    (tmp_path / "latest").symlink_to(dataset)
    (dataset / ".hidden").write_text("not ours")
    assert Verdict(tmp_path / "latest", capsys).code == 0
    for path in damage.shards(dataset):
        damage.write(path, damage.read(path)[::-1])
    damage.mend(dataset)
    found = Verdict(dataset, capsys)
    assert found.code == 0
    assert found.summary["faults"] == []


# Files against the manifest


@pytest.mark.parametrize("place", [0.02, 0.5, 0.9, -30])
def test_flipped_byte_in_a_shard(dataset: Path, verdict: Callable[[], Verdict], place: float) -> None:
    path = damage.shards(dataset)[0]
    data = bytearray(path.read_bytes())
    data[int(place * len(data)) if place > 0 else int(place)] ^= 0x10
    path.write_bytes(data)
    (line,) = verdict().of("changed-file")
    assert line.startswith(f"changed-file: data/{path.name}: its bytes are not those of the manifest")


def test_flipped_byte_in_a_picture_is_named_with_its_row(
    dataset: Path, verdict: Callable[[], Verdict], rows: list[Values]
) -> None:
    path = damage.shards(dataset)[0]
    target = damage.read(path)[0]
    data = bytearray(path.read_bytes())
    picture = target["images"][0]["bytes"]
    data[data.index(picture) + len(picture) // 2] ^= 0x01
    path.write_bytes(data)
    found = verdict()
    assert {"changed-file", "broken-picture", "wrong-digest"} <= found.kinds()
    assert all(f"data/{path.name}: row " in line for line in found.of("broken-picture"))


def test_missing_shard(dataset: Path, verdict: Callable[[], Verdict]) -> None:
    path = damage.shards(dataset)[0]
    lost = {values["id"] for values in damage.read(path)}
    path.unlink()
    found = verdict()
    assert found.of("missing-file") == [
        f"missing-file: data/{path.name}: the manifest names this file, the folder lacks it"
    ]
    named = {line.split(" ")[3].rstrip(":") for line in found.of("missing-row") if ": data: row " in line}
    assert named <= lost
    assert len(named) == min(20, len(lost))
    assert {"row-count", "wrong-digest", "wrong-counts"} <= found.kinds()


def test_unreadable_shard(dataset: Path, verdict: Callable[[], Verdict]) -> None:
    path = damage.shards(dataset)[0]
    path.write_bytes(path.read_bytes()[:1000])
    assert f"data/{path.name}" in verdict().of("unreadable-file")[0]


def test_a_folder_in_place_of_a_file(dataset: Path, verdict: Callable[[], Verdict]) -> None:
    (dataset / "README.md").unlink()
    (dataset / "README.md").mkdir()
    assert verdict().of("missing-file") == [
        "missing-file: README.md: the manifest names this file, the folder lacks it"
    ]


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "report.html"])
def test_changed_companion_file(dataset: Path, verdict: Callable[[], Verdict], name: str) -> None:
    with (dataset / name).open("a", encoding="utf-8") as file:
        file.write(" ")
    assert verdict().lines == [f"changed-file: {name}: its bytes are not those of the manifest (SHA-256)"]


@pytest.mark.parametrize("name", ["data/train-00001-of-00002.parquet", "data/sub/x.parquet", "notes.txt"])
def test_added_file(dataset: Path, verdict: Callable[[], Verdict], name: str) -> None:
    (dataset / name).parent.mkdir(exist_ok=True)
    shutil.copyfile(damage.shards(dataset)[0], dataset / name)
    assert verdict().lines == [f"added-file: {name}: the manifest doesn't name this file"]


@pytest.mark.parametrize("name", ["recipes.parquet", "quarantine.parquet", "README.md"])
def test_file_forgotten_by_folder_and_manifest(
    dataset: Path, verdict: Callable[[], Verdict], name: str
) -> None:
    (dataset / name).unlink()
    damage.edit_manifest(dataset, lambda manifest: manifest["files"].pop(name))
    assert f"missing-file: {name}: the manifest doesn't name this file of every dataset" in verdict().lines


@pytest.mark.parametrize("name", ["../outside.parquet", "/etc/hostname", "link.parquet", "a\x00b"])
@pytest.mark.parametrize("split", [None, "train"])
def test_manifest_path_that_leaves_the_folder(
    dataset: Path, verdict: Callable[[], Verdict], name: str, split: str | None
) -> None:
    outside = dataset.parent / "outside.parquet"
    shutil.copyfile(damage.shards(dataset)[0], outside)
    if name == "link.parquet":
        (dataset / name).symlink_to(outside)
    entry = {"sha256": "0" * 64, "bytes": 1, "rows": 1, "split": split}
    damage.edit_manifest(dataset, lambda manifest: manifest["files"].update({name: entry}))
    (line,) = verdict().of("outside-path")
    assert "the manifest names a file outside the dataset" in line
    assert verdict().kinds() == {"outside-path"}


def test_wrong_counts_in_the_manifest(dataset: Path, verdict: Callable[[], Verdict]) -> None:
    def change(manifest: Values) -> None:
        manifest["rows"] += 1
        manifest["tasks"]["grounding_dao"] += 1
        manifest["splits"] = {"train": 1}
        manifest["quarantined"] += 1
        manifest["digest"] = "0" * 64
        manifest["files"]["recipes.parquet"]["rows"] += 1

    damage.edit_manifest(dataset, change)
    found = verdict()
    assert found.kinds() == {"row-count", "wrong-digest", "wrong-counts"}
    assert len(found.of("wrong-counts")) == 3
    assert any("recipes.parquet" in line for line in found.of("row-count"))


def test_configuration_without_a_grid(dataset: Path, verdict: Callable[[], Verdict]) -> None:
    damage.edit_manifest(dataset, lambda manifest: manifest.update(config={"regions": [1]}))
    assert verdict().code == 0


# Rows, with every hash and count mended


def test_row_removed_with_hashes_mended(
    dataset: Path, verdict: Callable[[], Verdict], rows: list[Values]
) -> None:
    target = first(rows, "local_description")["id"]
    damage.drop_row(dataset, target)
    damage.mend(dataset, totals=False)
    found = verdict()
    assert found.of("missing-row") == [
        f"missing-row: data: row {target}: recipes.parquet tells of it, no file holds it"
    ]
    assert {"row-count", "wrong-digest", "wrong-counts"} <= found.kinds()


def test_row_removed_with_everything_but_recipes_mended(
    dataset: Path, verdict: Callable[[], Verdict], rows: list[Values]
) -> None:
    target = first(rows, "local_description")["id"]
    damage.drop_row(dataset, target)
    damage.mend(dataset)
    assert verdict().lines == [
        f"missing-row: data: row {target}: recipes.parquet tells of it, no file holds it"
    ]


def test_row_without_recipe(dataset: Path, verdict: Callable[[], Verdict], rows: list[Values]) -> None:
    target = first(rows, "referring_long")["id"]
    damage.edit_recipes(dataset, lambda recipes: [entry for entry in recipes if entry["id"] != target])
    damage.mend(dataset)
    (line,) = verdict().lines
    assert line.startswith("missing-recipe: ")
    assert f"row {target}: " in line


def repeat(dataset: Path, target: str) -> None:
    path = damage.shards(dataset)[0]
    values = next(v for v in damage.all_rows(dataset) if v["id"] == target)
    damage.write(path, [*damage.read(path), {**values, "split": path.name.split("-")[0]}])


def test_repeated_id(dataset: Path, verdict: Callable[[], Verdict], rows: list[Values]) -> None:
    target = next(v["id"] for v in rows if v["split"] == "test")
    assert damage.shards(dataset)[0].name.startswith("test-")
    repeat(dataset, target)
    damage.mend(dataset)
    (line,) = verdict().lines
    assert line.startswith("repeated-id: data/test-")
    assert f"row {target}: another row has this id" in line


def test_source_image_in_two_splits(
    dataset: Path, verdict: Callable[[], Verdict], rows: list[Values]
) -> None:
    test_path, train_path = damage.shards(dataset)
    moved = damage.read(train_path)[-1]
    damage.write(train_path, damage.read(train_path)[:-1])
    damage.write(test_path, [*damage.read(test_path), {**moved, "split": "test"}])
    damage.mend(dataset)
    found = verdict()
    assert found.kinds() == {"split-leak"}
    source = moved["source_image"]["id"]
    assert all(f"source image {source} is in the splits " in line for line in found.lines)
    assert any(moved["id"] in line for line in found.lines)


def test_row_in_a_file_of_another_split(dataset: Path, verdict: Callable[[], Verdict]) -> None:
    path = damage.shards(dataset)[0]
    damage.write(path, [{**values, "split": "train"} for values in damage.read(path)])
    damage.mend(dataset)
    found = verdict()
    assert found.kinds() == {"wrong-split"}
    assert "split 'train' in a file of split 'test'" in found.lines[0]


def test_wrong_schema(dataset: Path, verdict: Callable[[], Verdict]) -> None:
    path = damage.shards(dataset)[0]
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["order_effect"]), path)
    damage.mend(dataset, totals=False)
    assert f"wrong-schema: data/{path.name}: " in verdict().of("wrong-schema")[0]


def test_schema_without_the_metadata_that_decodes_pictures(
    dataset: Path, verdict: Callable[[], Verdict]
) -> None:
    path = damage.shards(dataset)[0]
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    damage.mend(dataset)
    assert verdict().of("wrong-schema")


def region(values: Values) -> Values:
    """The first target region of a row."""
    wanted = values["target_region_ids"]
    picked: Values = next(r for r in values["regions"] if r["region_id"] in wanted)
    return picked


def edit_region(**changes: Any) -> Callable[[Values], None]:
    return lambda values: region(values).update(changes)


def shift_mask(values: Values) -> None:
    """Turn the target's mask upside down, and its box, area and position with it."""
    mask = masks.decode(Mask.model_validate(region(values)["mask"]))[::-1, ::-1]
    region(values).update(
        mask=masks.encode(mask).model_dump(),
        bbox=masks.bounding_box(mask),
        area=int(mask.sum()),
        position=masks.position(mask),
    )


def empty_mask(values: Values) -> None:
    size = region(values)["mask"]["size"]
    region(values)["mask"] = masks.encode(np.zeros(size, np.bool_)).model_dump()


def cut_mask(values: Values) -> None:
    """A mask of the picture less its last column."""
    mask = masks.decode(Mask.model_validate(region(values)["mask"]))[:, :-1]
    region(values)["mask"] = masks.encode(mask).model_dump()


def broken_counts(values: Values) -> None:
    region(values)["mask"]["counts"] = region(values)["mask"]["counts"][:-1]


def huge_mask(values: Values) -> None:
    region(values)["mask"]["size"] = [2**31, 2**31]


def set_distortion(**changes: Any) -> Callable[[Values], None]:
    return lambda values: region(values)["distortions"][0].update(changes)


def other_level(values: Values) -> None:
    distortion = region(values)["distortions"][0]
    distortion["level"] = distortion["level"] % 5 + 1


def swap_orders(values: Values) -> None:
    carried = region(values)["distortions"]
    carried[0]["order"], carried[1]["order"] = 2, 1


def swap_distortions(values: Values) -> None:
    carried = region(values)["distortions"]
    carried.reverse()
    for order, distortion in enumerate(carried, 1):
        distortion["order"] = order


def other_picture(values: Values) -> None:
    rgb = load_png(values["images"][0]["bytes"]).copy()
    rgb[0, 0] ^= 1
    values["images"][0]["bytes"] = encode(rgb)


def smaller_picture(values: Values) -> None:
    values["images"][0]["bytes"] = encode(load_png(values["images"][0]["bytes"])[:-1])


def picture_of(data: bytes | None) -> Callable[[Values], None]:
    return lambda values: values["images"][0].update(bytes=data)


def no_picture(values: Values) -> None:
    values["images"] = []


def other_source(values: Values) -> None:
    values["source_image"].update(sha256="f" * 64, id="f" * 16)


def other_source_id(values: Values) -> None:
    values["source_image"].update(id="f" * 16)


def twin_regions(values: Values) -> None:
    values["regions"].append(values["regions"][0])


def targets(*names: str, whole: bool = False) -> Callable[[Values], None]:
    return lambda values: values.update(target_region_ids=list(names), whole_image=whole)


def two_distortions(values: Values) -> bool:
    return len(region(values)["distortions"]) == 2


def carries(values: Values) -> bool:
    return bool(region(values)["distortions"])


def anything(values: Values) -> bool:
    return True


DAMAGE: list[tuple[str, str, Callable[[Values], bool], Callable[[Values], None], str]] = [
    ("wrong-area", "grounding_hyd", anything, edit_region(area=1), "area 1, the mask has "),
    ("wrong-area", "grounding_hyd", anything, empty_mask, "the mask has 0 pixels"),
    ("wrong-bbox", "grounding_sid", lambda v: not v["whole_image"], edit_region(bbox=[0, 0, 1, 1]), "bbox [0, 0, 1, 1]"),
    ("wrong-position", "local_description", anything, edit_region(position="nowhere"), "position 'nowhere', the mask's"),
    ("wrong-mask", "local_description", anything, shift_mask, "its mask is not the one that the recipe"),
    ("mask-size", "local_description", anything, cut_mask, "mask of ["),
    ("mask-size", "local_description", anything, huge_mask, "mask of [2147483648, 2147483648], picture of "),
    ("broken-mask", "local_description", anything, broken_counts, "mask "),
    ("unknown-distortion", "referring_short", carries, set_distortion(name="blurr"), "'blurr' is not in the catalogue"),
    ("wrong-category", "referring_short", carries, set_distortion(category="fog"), "not fog"),
    ("wrong-distortions", "referring_short", carries, other_level, "the recipe injected"),
    ("wrong-order", "grounding_dao", two_distortions, swap_orders, "orders of distortions are not 1, 2"),
    ("wrong-distortions", "grounding_dao", two_distortions, swap_distortions, "the recipe injected"),
    ("wrong-picture", "global_description", anything, other_picture, "its pixels are not those"),
    ("mask-size", "global_description", anything, smaller_picture, "picture of ["),
    ("broken-picture", "global_description", anything, picture_of(None), "image 0: not-a-picture"),
    ("broken-picture", "global_description", anything, picture_of(b"\x89PNG\r\n\x1a\n"), "image 0: truncated"),
    ("broken-picture", "global_description", anything, picture_of(b"GIF89a"), "image 0: not-a-picture"),
    ("broken-picture", "global_description", anything, no_picture, "image 0: not-a-picture"),
    ("wrong-source", "referring_long", anything, other_source, "recipes.parquet"),
    ("wrong-source", "referring_long", anything, other_source_id, "not the start of its SHA-256"),
    ("repeated-region", "global_description", anything, twin_regions, "two regions have the same id"),
    ("unknown-target", "local_description", anything, targets("r99"), "target 'r99' is no region of this row"),
    ("unknown-target", "local_description", anything, targets("r1", whole=True), "the whole image has target regions"),
]


@pytest.mark.parametrize(
    ("kind", "task", "fits", "change", "what"),
    DAMAGE,
    ids=[f"{case[0]}-{number}" for number, case in enumerate(DAMAGE)],
)
def test_row_that_lies_with_hashes_and_digest_mended(
    dataset: Path,
    verdict: Callable[[], Verdict],
    rows: list[Values],
    kind: str,
    task: str,
    fits: Callable[[Values], bool],
    change: Callable[[Values], None],
    what: str,
) -> None:
    target = first(rows, task, lambda values: bool(fits(values)))["id"]
    damage.edit_row(dataset, target, change)
    damage.mend(dataset)
    found = verdict()
    assert found.code == 1
    named = found.of(kind)
    assert named, found.lines
    assert f"row {target}" in named[0]
    assert what in named[0]
    assert all(f"row {target}" in line for line in found.lines)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (set_distortion(level=9), "level"),
        (edit_region(area=0), "area"),
        (edit_region(bbox=[1]), "bbox"),
        (lambda values: values.update(messages=None), "messages"),
        (lambda values: values["messages"][0].update(role="system"), "role"),
    ],
)
def test_row_that_is_no_row(
    dataset: Path,
    verdict: Callable[[], Verdict],
    rows: list[Values],
    change: Callable[[Values], None],
    field: str,
) -> None:
    target = first(rows, "local_description")["id"]
    damage.edit_row(dataset, target, change)
    damage.mend(dataset, totals=False)
    (line,) = verdict().of("invalid-row")
    assert f"row {target}: " in line
    assert field in line


# Answers that contradict their regions


def reword(values: Values, role: str, old: str, new: str) -> bool:
    """Replace words in the messages of one role; whether there was something to replace."""
    changed = False
    for message in values["messages"]:
        if message["role"] == role and old in message["content"]:
            message["content"] = message["content"].replace(old, new)
            changed = True
    return changed


def opposite_place(values: Values) -> bool:
    """Swap the position words of an answer."""
    swapped = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
    changed = False
    for message in values["messages"]:
        if message["role"] == "assistant":
            for word, other in swapped.items():
                if f" {word} " in message["content"] or f" {word}." in message["content"]:
                    message["content"] = message["content"].replace(f" {word}", f" {other}")
                    changed = True
                    break
    return changed


def other_distortion(values: Values) -> bool:
    """An answer of a kind of damage that the row's region doesn't have."""
    names = {d["category"] for r in values["regions"] for d in r["distortions"]}
    if len(values["messages"]) != 2 or not region(values)["distortions"]:
        return False
    word = "noise" if "noise" not in names else "blur"
    label = region(values)["label"]
    values["messages"][1]["content"] = f"The {label} shows {word}."
    return True


def other_region(values: Values) -> bool:
    """An answer that points at another region than the target."""
    label = region(values)["label"]
    others = [r for r in values["regions"] if r["distortions"] and r["label"] != label]
    if values["whole_image"] or not others:
        return False
    return reword(values, "assistant", label, others[0]["label"])


def other_end(values: Values) -> bool:
    """The question asks for the other end of the scale."""
    target = region(values)["label"]
    question = "Which region of this image has the worst quality?"
    answer = f"It is the {target}."
    ranked = sorted((r for r in values["regions"]), key=lambda r: r["strength"] or 0.0)
    if ranked[-1]["region_id"] in values["target_region_ids"]:
        question = question.replace("worst", "best")
    values["messages"] = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return True


def clean_claim(values: Values) -> bool:
    if not region(values)["distortions"]:
        return False
    values["messages"][-1]["content"] = f"The {region(values)['label']} is free of visible distortion."
    return True


def other_target(values: Values) -> bool:
    """The same dialogue with another target."""
    carrying = [r["region_id"] for r in values["regions"] if r["distortions"]]
    others = [name for name in carrying if name not in values["target_region_ids"]]
    if not others:
        return False
    values["target_region_ids"] = others[:1]
    return True


@pytest.mark.parametrize(
    ("task", "change"),
    [
        ("local_description", opposite_place),
        ("referring_short", other_distortion),
        ("referring_short", clean_claim),
        ("referring_long", clean_claim),
        ("grounding_hyd", other_region),
        ("grounding_hyd", other_end),
        ("grounding_hyd", other_target),
        ("grounding_sid", other_region),
        ("grounding_dao", other_target),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_answer_that_contradicts_its_regions(
    dataset: Path,
    verdict: Callable[[], Verdict],
    rows: list[Values],
    task: str,
    change: Callable[[Values], bool],
) -> None:
    def possible(values: Values) -> bool:
        copy = json.loads(json.dumps({k: v for k, v in values.items() if k != "images"}))
        return bool(values["target_region_ids"]) and change(copy)

    candidates = [v["id"] for v in rows if v["task"] == task and possible(v)]
    if not candidates and change is opposite_place:
        candidates = [v["id"] for v in rows if possible(v)]
    target = min(candidates)
    damage.edit_row(dataset, target, lambda values: [change(values)].clear())
    damage.mend(dataset)
    found = verdict()
    assert found.kinds() == {"wrong-answer"}
    assert all(f"row {target}: " in line for line in found.lines)


def test_every_task_is_among_the_rows(rows: list[Values]) -> None:
    assert {values["task"] for values in rows} == set(TASKS)


# The recipe against the row


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"layers": [{"region_id": 1}]}', "[" * 100_000])
def test_broken_recipe(dataset: Path, verdict: Callable[[], Verdict], rows: list[Values], text: str) -> None:
    target = first(rows, "local_description")["id"]

    def change(recipes: list[Values]) -> list[Values]:
        return [{**entry, "recipe": text} if entry["id"] == target else entry for entry in recipes]

    damage.edit_recipes(dataset, change)
    damage.mend(dataset)
    (line,) = verdict().lines
    assert line.startswith("broken-recipe: ")
    assert f"row {target}: " in line


def test_names_with_control_characters_stay_on_one_line(
    dataset: Path, verdict: Callable[[], Verdict], rows: list[Values]
) -> None:
    target = first(rows, "local_description")["id"]
    damage.edit_row(dataset, target, lambda values: values.update(id="x\n\x1b[2Jok: all well"))
    damage.mend(dataset)
    found = verdict()
    assert found.kinds() == {"missing-row", "missing-recipe"}
    assert any("row x\\n\\x1b[2Jok: all well: " in line for line in found.lines)


# What is no dataset at all


@pytest.mark.parametrize("command", ["verify", "digest", "report"])
def test_not_a_dataset_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main([command, str(tmp_path / "none")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "not a dataset" in captured.err


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 2}', "[" * 100_000, "\udcff\udcfe"])
def test_broken_manifest_exits_2(dataset: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (dataset / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    assert main(["verify", str(dataset)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_is_named(dataset: Path, verdict: Callable[[], Verdict]) -> None:
    (dataset / "README.md").chmod(0)
    assert verdict().lines == ["unreadable-file: README.md: Permission denied"]


def test_foreign_parquet_in_place_of_a_shard(dataset: Path, verdict: Callable[[], Verdict]) -> None:
    path = damage.shards(dataset)[0]
    pq.write_table(pa.table({"x": [1]}), path)
    damage.mend(dataset, totals=False)
    assert f"wrong-schema: data/{path.name}" in verdict().of("wrong-schema")[0]
