"""Verify: an untouched dataset passes; damaged files, rows that are missing and broken recipes are named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli import main
from flows.engine.build import Outcome
from schemas.dataset import MANIFEST
from schemas.records import TASKS
from tests.flows import damage
from tests.flows.damage import Values, first

if TYPE_CHECKING:
    from tests.flows.conftest import Verdict


def test_untouched_dataset_passes(tiny: Outcome, verdict: Callable[[], Verdict]) -> None:
    found = verdict()
    assert found.code == 0
    assert found.lines[0].startswith(f"ok: {tiny.manifest.rows} rows in ")
    assert found.summary == {
        "ok": True,
        "rows": tiny.manifest.rows,
        "digest": tiny.manifest.digest,
        "faults": [],
    }


def test_what_the_damage_below_starts_from_is_none(dataset: Path, verdict: Callable[[], Verdict]) -> None:
    """Hidden files, and files written anew with rows in another order and a mended manifest."""
    (dataset / ".hidden").write_text("not ours")
    for path in damage.shards(dataset):
        damage.write(path, damage.read(path)[::-1])
    damage.mend(dataset)
    assert verdict().code == 0


def test_a_link_to_a_dataset_is_as_good(tiny: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tiny.folder.parents[1] / "latest")]) == 0
    assert capsys.readouterr().out.startswith("ok: ")


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
        f"missing-row: data: row {target}: recipes.parquet lists it, no file holds it"
    ]
    assert {"row-count", "wrong-digest", "wrong-counts"} <= found.kinds()


def test_row_removed_with_everything_but_recipes_mended(
    dataset: Path, verdict: Callable[[], Verdict], rows: list[Values]
) -> None:
    target = first(rows, "local_description")["id"]
    damage.drop_row(dataset, target)
    damage.mend(dataset)
    assert verdict().lines == [f"missing-row: data: row {target}: recipes.parquet lists it, no file holds it"]


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
