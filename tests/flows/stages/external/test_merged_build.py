"""A build with other datasets: verified, without leaks, and the four ablations share what they can."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import datasets
import pyarrow.parquet as pq
import pytest
import yaml

from flows.cli import main
from flows.dataset.export.exporting import export
from flows.dataset.export.formats import FORMATS
from flows.dataset.recipes import pack, rebuild
from flows.dataset.verify import verify
from flows.engine.build import Outcome, build
from flows.engine.overrides import Overrides, configure
from schemas.arrow import row_from_arrow
from schemas.config import ImagesConfig
from schemas.dataset import data_files, raw_rows, read_rows
from schemas.errors import BuildError, InputError
from schemas.pictures import NearPictures, fingerprint, load_png, pixel_hash
from schemas.records import EXTERNAL_TASKS, Row
from tests.conftest import TINY_CONFIG, photograph, write_photographs
from tests.flows import damage
from tests.flows.stages.external.published import (
    q_row,
    write_dq_495k,
    write_jpeg,
    write_png,
    write_q_instruct,
    write_rows,
)
from training import stream

NAMES = ["chelsea", "coffee", "china"]


@dataclass
class Place:
    """A folder with photographs, both datasets, an evaluation set and one store for all builds."""

    root: Path
    q_instruct: list[Path]
    dq_495k: list[Path]

    def config(self, name: str, *kinds: str, **merge: object) -> Path:
        files = {"q-instruct": self.q_instruct, "dq-495k": self.dq_495k}
        images = {"q-instruct": self.root / "q/images", "dq-495k": self.root / "dq"}
        data = yaml.safe_load(TINY_CONFIG.format(images=self.root / "images", out=self.root / name))
        data |= {"store": str(self.root / "store"), "name": name}
        data["merge"] |= {
            "external": [
                {"kind": kind, "annotations": list(map(str, files[kind])), "images": str(images[kind])}
                for kind in kinds
            ],
            "keep_out": [{"name": "bench", "folder": str(self.root / "evaluation")}],
            "max_bad_share": 0.5,
            **merge,
        }
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        return path

    def build(self, name: str, *kinds: str, **merge: object) -> Outcome:
        return build(configure(self.config(name, *kinds, **merge), Overrides()))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Place:
    """The evaluation set holds `rocket`; Q-Instruct shows it as a small JPEG, DQ-495K in distorted versions
    and as their reference; Q-Instruct also shows `china`, which is ours and DQ-495K's too.
    """
    root = tmp_path_factory.mktemp("merged")
    write_photographs(root / "images", NAMES)
    write_png(root / "evaluation/a/rocket.png", photograph("rocket", 320))
    labels = write_q_instruct(root / "q")
    rocket = cv2.resize(photograph("rocket", 320), None, fx=0.55, fy=0.55, interpolation=cv2.INTER_CUBIC)
    write_jpeg(root / "q/images/spaq_koniq/leak.jpg", rocket, 80)
    write_jpeg(root / "q/images/spaq_koniq/china.jpg", photograph("china", 256), 85)
    (root / "q/images/spaq_koniq/broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    outside = root / "outside.jpg"
    write_jpeg(outside, photograph("coffee", 128))
    (root / "q/images/spaq_koniq/link.jpg").symlink_to(outside)
    more = [
        q_row("spaq_koniq/leak.jpg", "<image>\nIs this rocket sharp?", "yes"),
        q_row("spaq_koniq/china.jpg", "<image>\nIs this palace sharp?", "yes"),
        q_row("spaq_koniq/china.jpg", "Is this palace sharp? <image>", "Yes."),
        q_row("spaq_koniq/00003.jpg", "<image>\nIs the background dark?", "no"),
        q_row("spaq_koniq/00003.jpg", "<image>\nIs the background dark?", "yes"),
        q_row("spaq_koniq/gone.jpg", "<image>\nIs it sharp?", "yes"),
        q_row("spaq_koniq/broken.jpg", "<image>\nIs it sharp?", "yes"),
        q_row("spaq_koniq/link.jpg", "<image>\nIs it sharp?", "yes"),
        q_row("../outside.jpg", "<image>\nIs it sharp?", "yes"),
    ]
    labels.append(write_rows(root / "q/more.json", more))
    return Place(root, labels, write_dq_495k(root / "dq"))


@pytest.fixture(scope="module")
def everything(place: Place) -> Outcome:
    return place.build("all", "q-instruct", "dq-495k")


def rows_of(outcome: Outcome) -> list[Row]:
    return [row for path in data_files(outcome.folder) for row in read_rows(path)]


def test_a_merged_build_passes_verify(everything: Outcome) -> None:
    assert verify(everything.folder) == []
    manifest = everything.manifest
    assert set(manifest.sources) == {"iqa-spider", "dq-495k", "q-instruct"}
    assert sum(manifest.sources.values()) == manifest.rows
    assert set(EXTERNAL_TASKS) - set(manifest.tasks) <= {"external_question"}
    assert any("S-Lab" in license for license in manifest.licenses)


def test_rows_of_others_say_where_they_come_from(everything: Outcome) -> None:
    for row in rows_of(everything):
        assert (row.external is None) == (row.source == "iqa-spider")
        if row.external is None:
            continue
        assert row.license
        assert row.provenance is None
        assert row.whole_image is None
        assert (row.source_image is None) == (row.external.images == [])
        assert all("<" not in message.content for message in row.messages)
    loaded = datasets.load_dataset(
        "parquet", data_files={"train": str(everything.folder / "data/*.parquet")}, split="train"
    )
    assert max(len(row["images"]) for row in loaded) == 3
    assert min(len(row["images"]) for row in loaded) == 0


def test_an_evaluation_picture_never_gets_in(everything: Outcome) -> None:
    told = {(entry.source, entry.how, entry.picture) for entry in everything.manifest.kept_out}
    assert ("q-instruct", "near", "bench/a/rocket.png") in told
    assert ("dq-495k", "near", "bench/a/rocket.png") in told
    rocket = NearPictures(8)
    rocket.add("rocket", fingerprint(photograph("rocket", 320)))
    for row, pictures in with_pictures(everything):
        assert not any(rocket.find("x", fingerprint(load_png(data))) for data in pictures), row.id
        assert row.external is None or not any("rocket" in picture.uri for picture in row.external.images)
    report = (everything.folder / "report.html").read_text()
    assert "spaq_koniq/leak.jpg" in report
    assert "bench/a/rocket.png" in report
    assert "bench" in (everything.folder / "README.md").read_text()


def test_a_merged_dataset_comes_back_from_its_pack(everything: Outcome, place: Place, tmp_path: Path) -> None:
    file = tmp_path / "all.pack.parquet"
    pack(everything.folder, file)
    outcome = rebuild(file, ImagesConfig(folder=place.root), tmp_path / "again", 1)
    assert outcome.differing == {}
    assert outcome.digest == everything.manifest.digest
    assert verify(tmp_path / "again") == []


def test_a_merged_dataset_is_streamed_and_exported(everything: Outcome, tmp_path: Path) -> None:
    pictures = {row.id: given for row, given in with_pictures(everything)}
    seen = []
    for split in ("train", "test"):
        for row in stream(everything.folder, split, pictures="array"):
            assert [pixel_hash(image) for image in row["images"]] == [
                pixel_hash(load_png(data)) for data in pictures[row["id"]]
            ]
            seen.append(row["id"])
    assert sorted(seen) == sorted(pictures)
    only = stream(everything.folder, pictures="none", sources=["q-instruct"])
    assert {row["source"] for row in only} == {"q-instruct"}
    for form in FORMATS.names():
        written = export(everything.folder, form, tmp_path / form, None)
        assert written.rows == len(pictures)
        assert written.pictures >= len({data for given in pictures.values() for data in given})


def with_pictures(outcome: Outcome) -> list[tuple[Row, list[bytes]]]:
    return [
        (row_from_arrow(values), [image["bytes"] for image in values["images"]])
        for path in data_files(outcome.folder)
        for values in raw_rows(path, pictures=True)
    ]


def test_no_photograph_is_in_two_splits_whatever_its_source(everything: Outcome) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows_of(everything):
        uris = [row.source_image.uri] if row.source_image else []
        uris += [picture.uri for picture in row.external.images] if row.external else []
        for uri in uris:
            splits[Path(uri).stem.split("_")[0]].add(row.split)
    assert {"china", "chelsea", "coffee"} <= set(splits)
    assert all(len(found) == 1 for found in splits.values()), splits


def test_what_is_twice_is_once_and_contradictions_are_counted(everything: Outcome) -> None:
    merged = everything.manifest.merged
    assert merged["duplicates: dialogues: q-instruct"] == 1
    assert merged["conflicts: answers to one question, equal rank: q-instruct"] == 2
    questions = [row.messages[0].content for row in rows_of(everything)]
    assert questions.count("Is this palace sharp?") == 1
    assert questions.count("Is the background dark?") == 0


def test_rows_without_a_usable_picture_are_quarantined(everything: Outcome) -> None:
    found = pq.read_table(everything.folder / "quarantine.parquet").to_pylist()
    reasons = {entry["source"]: entry["reason"] for entry in found}
    assert reasons["more.json#5"] == "missing-file"
    assert reasons["more.json#6"] in ("truncated", "broken-data", "broken-header")
    assert reasons["more.json#7"] == "link-outside"
    assert reasons["more.json#8"] == "path-outside"


def test_four_ablations_share_every_shard_they_can(place: Place, everything: Outcome) -> None:
    ours = place.build("ours")
    shared = ("ingest", "keepout", "regions", "distort", "annotate")
    assert all(ours.shards[stage].new == 0 for stage in shared)
    for kind in ("q-instruct", "dq-495k"):
        outcome = place.build(f"with-{kind}", kind)
        for stage in (*shared, "outline", "external"):
            assert outcome.shards[stage].new == 0, (kind, stage)
            assert outcome.shards[stage].reused > 0
        assert outcome.shards["merge"].new == 1
        assert set(outcome.manifest.sources) == {"iqa-spider", kind}
        assert verify(outcome.folder) == []
    again = place.build("all", "q-instruct", "dq-495k")
    assert not again.changed
    assert again.manifest.digest == everything.manifest.digest
    texts = [
        {row.id: row.split for row in rows_of(one) if row.external is None} for one in (ours, everything)
    ]
    assert texts[0] == texts[1]


def test_a_file_with_too_many_bad_rows_stops_the_build(place: Place) -> None:
    with pytest.raises(BuildError, match=r"more\.json: .* rows can't be used .*max_bad_share"):
        place.build("strict", "q-instruct", max_bad_share=0.05)


def test_licenses_can_be_refused(place: Place) -> None:
    outcome = place.build("licences", "q-instruct", "dq-495k", licenses={"deny": ["*S-Lab*"]})
    assert set(outcome.manifest.sources) == {"iqa-spider", "dq-495k"}
    assert outcome.manifest.merged["licence: q-instruct"] > 0


def test_caps_hold(place: Place) -> None:
    rules = [{"source": "dq-495k", "cap": 2}, {"source": "iqa-spider", "task": "referring_short", "cap": 3}]
    outcome = place.build("caps", "q-instruct", "dq-495k", mixture=rules)
    assert outcome.manifest.sources["dq-495k"] <= 2
    assert outcome.manifest.tasks["referring_short"] == 3


def test_plan_says_what_is_missing_and_estimates(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place.config("absent", "q-instruct", "dq-495k")
    text = path.read_text().replace(str(place.root / "dq"), str(tmp_path / "nowhere"))
    path.write_text(text)
    assert main(["plan", str(path), "--json"]) == 0
    printed = capsys.readouterr().out
    assert "nowhere" in printed
    assert json.loads(printed.splitlines()[-1])["missing"]
    with pytest.raises(InputError, match="nowhere"):
        build(configure(path, Overrides()))


def _external(name: str, value: object) -> Callable[[damage.Values], None]:
    return lambda values: values["external"].update({name: value})


def _distortion(**changes: object) -> Callable[[damage.Values], None]:
    return lambda values: values["external"]["distortions"][0].update(changes)


DAMAGE: list[tuple[str, str, Callable[[damage.Values], None]]] = [
    ("unknown-task", "external_rating", lambda values: values.update(task="external_poem")),
    ("missing-license", "external_rating", lambda values: values.update(license=None)),
    ("unknown-source", "external_rating", lambda values: values.update(external=None)),
    ("wrong-dialogue", "external_rating", lambda values: values["messages"].pop()),
    (
        "wrong-dialogue",
        "external_rating",
        lambda values: values["messages"][0].update(content="<image> How?"),
    ),
    ("wrong-dialogue", "external_rating", lambda values: values["messages"][1].update(content=" ")),
    ("wrong-picture", "external_comparison", lambda values: values["images"].reverse()),
    ("wrong-picture", "external_comparison", lambda values: values["images"].pop()),
    ("wrong-picture", "external_comparison", _external("better", 7)),
    ("wrong-source", "external_rating", lambda values: values.update(source_image=None)),
    ("wrong-category", "external_identification", _distortion(category="noise")),
    ("unknown-distortion", "external_identification", _distortion(name="blur_gausian")),
    ("wrong-picture", "external_identification", _distortion(image=9)),
    ("invented-truth", "external_rating", lambda values: values["target_region_ids"].append("r1")),
]


@pytest.mark.parametrize(("kind", "task", "change"), DAMAGE)
def test_verify_sees_damaged_rows_of_others(
    kind: str, task: str, change: Callable[[damage.Values], None], everything: Outcome, tmp_path: Path
) -> None:
    folder = damage.copy_dataset(everything.folder, tmp_path / "dataset")

    def fits(values: damage.Values) -> bool:
        return bool(values["external"]["distortions"]) or task != "external_identification"

    damage.edit_row(folder, damage.first(damage.all_rows(folder), task, fits)["id"], change)
    damage.mend(folder)
    assert kind in {fault.kind for fault in verify(folder)}


def test_verify_sees_a_picture_in_two_splits_and_an_evaluation_picture(
    everything: Outcome, tmp_path: Path
) -> None:
    folder = damage.copy_dataset(everything.folder, tmp_path / "dataset")
    rows = [values for values in damage.all_rows(folder) if values["external"] and values["images"]]
    pixels = rows[0]["external"]["images"][0]["pixels"]
    entry = {"source": "q-instruct", "uri": "x", "pixels": pixels, "picture": "bench/x.png", "how": "near"}
    damage.edit_manifest(folder, lambda manifest: manifest["kept_out"].append(entry))
    seen: set[str] = set()
    for values in rows:
        pictures = {picture["pixels"] for picture in values["external"]["images"]}
        if pictures & seen:
            other = "test" if values["split"] == "train" else "train"
            damage.edit_row(folder, values["id"], lambda row, split=other: row.update(split=split))
            break
        seen |= pictures
    damage.mend(folder)
    assert {"evaluation-leak", "split-leak"} <= {fault.kind for fault in verify(folder)}
