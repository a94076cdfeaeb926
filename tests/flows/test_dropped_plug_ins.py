"""One file in a plug-in's folder is enough: each kind is dropped into a copy of the packages and used."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.dataset import data_files, load_manifest, raw_rows
from schemas.shards import read_items
from schemas.store import Store
from tests.conftest import photograph, write_photographs, write_tiny_config
from tests.flows.stages.external.published import write_png, write_rows
from tests.package_copies import ROOT, Copy

PROPOSERS, LABELLERS = "annotation/regions/proposers", "annotation/regions/labellers"
BACKENDS, IMPORTERS, GIVEN = "annotation/qa/backends", "flows/stages/importers", "flows/stages/given"

NUMBERED = """
def make(config):
    def label(image, candidates, context):
        return [item.named(f"thing {number}", 0.5) for number, item in enumerate(candidates)]
    return label
"""
TOP_HALF = """
import numpy as np
from annotation.regions.interface import candidate

def find(config, refs, cache):
    return {ref.sha256[:16]: ref.uri for ref in refs}.__getitem__

def identity(found):
    return found

def read(found, height, width):
    mask = np.zeros((height, width), bool)
    mask[: height // 2] = True
    return [candidate(mask, label=f"sky of {found.partition('.')[0]}", label_score=1.0)]
"""


def example(page: str) -> str:
    """The worked example of a page of the documentation."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return str(code)


class Place:
    """A copy of the packages, with a build of two small photographs beside it."""

    def __init__(self, root: Path) -> None:
        self.copy = Copy(root / "packages")
        self.dropped: list[Path] = []
        write_photographs(root / "images", ["coffee", "chelsea"])
        self.work = root

    def drop(self, folder: str, name: str, text: str) -> Path:
        path = self.copy.write(f"{folder}/{name}.py", text)
        self.dropped.append(path)
        return path

    def configured(self, sections: dict[str, Any]) -> str:
        """The tiny configuration with these sections."""
        config = write_tiny_config(self.work / "tiny.yaml", self.work / "images", self.work / "out")
        config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | sections, sort_keys=False))
        return str(config)

    def build(self, sections: dict[str, Any], *arguments: str) -> dict[str, Any]:
        """A build that succeeds; the summary it prints."""
        done = self.copy.run("build", self.configured(sections), *arguments, "--json")
        assert done.returncode == 0, done.stderr
        summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return summary

    def refusal(self, sections: dict[str, Any], command: str = "plan") -> str:
        """The one line, without the program's name, of a command that is refused with exit code 2."""
        done = self.copy.run(command, self.configured(sections))
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        (line,) = done.stderr.splitlines()
        return line.removeprefix("iqa-spider: ")

    def records(self, stage: str) -> list[dict[str, Any]]:
        """The records of a stage's shards in the build's store."""
        store = Store(self.work / "out" / "store")
        keys = sorted(path.stem for path in (store.root / stage).glob("*/*.json"))
        return [dict(item.record) for key in keys for item in read_items(store, stage, key)]


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("copy"))


@pytest.fixture
def place(copied: Place, prefect_url: str) -> Iterator[Place]:
    """The copy as the packages are, without a store; what a test drops in goes afterwards."""
    yield copied
    while copied.dropped:
        copied.dropped.pop().unlink()
    shutil.rmtree(copied.work / "out", ignore_errors=True)


def test_a_region_proposer(place: Place) -> None:
    place.drop(PROPOSERS, "halves", example("adding-a-region-proposer.md"))
    regions = {"proposer": "halves", "max_area": 0.9, "settings": {"halves": {"share": 0.25}}}
    place.build({"regions": regions}, "--until", "regions")
    records = place.records("regions")
    assert len(records) == 2
    for record in records:
        assert record["made_by"] == {"proposer": "halves", "labeller": "appearance"}
        picture = record["source_image"]
        boxes = [region["bbox"] for region in record["regions"]]
        left = round(picture["width"] * 0.25)
        assert sorted(box[2] for box in boxes) == [left, picture["width"] - left]


def test_settings_of_a_dropped_in_proposer_are_checked_and_part_of_the_keys(place: Place) -> None:
    place.drop(PROPOSERS, "halves", example("adding-a-region-proposer.md"))
    line = place.refusal({"regions": {"proposer": "halves", "settings": {"halves": {"share": 2.0}}}})
    assert re.search(r"tiny\.yaml:\d+: 'regions\.settings': halves\.share: Input should be less than 1", line)
    line = place.refusal({"regions": {"proposer": "halves", "settings": {"halves": {"part": 0.5}}}})
    assert "halves.part: Extra inputs are not permitted" in line
    line = place.refusal({"regions": {"proposer": "graph", "settings": {"halves": {"share": 0.5}}}})
    assert "neither proposer nor labeller is 'halves'" in line
    line = place.refusal({"regions": {"proposer": "graph", "settings": {"graph": {"share": 0.5}}}})
    assert "'graph' takes no settings" in line
    for share, new in ((0.5, 2), (0.25, 2), (0.5, 0)):
        regions = {"proposer": "halves", "max_area": 0.9, "settings": {"halves": {"share": share}}}
        summary = place.build({"regions": regions}, "--until", "regions")
        assert summary["stages"]["regions"]["new"] == new
    by_default = place.build({"regions": {"proposer": "halves", "max_area": 0.9}}, "--until", "regions")
    assert by_default["stages"]["regions"]["new"] == 0


def test_a_labeller(place: Place) -> None:
    place.drop(LABELLERS, "numbered", NUMBERED)
    place.build({"regions": {"labeller": "numbered"}}, "--until", "regions")
    labels = {region["label"] for record in place.records("regions") for region in record["regions"]}
    assert labels
    assert all(re.match(r"thing \d", label) for label in labels)


def test_masks_made_elsewhere(place: Place) -> None:
    place.drop(GIVEN, "top_half", TOP_HALF)
    place.build({"regions": {"proposer": "top-half", "labeller": "given"}}, "--until", "regions")
    labels = [[region["label"] for region in record["regions"]] for record in place.records("regions")]
    assert sorted(labels) == [["sky of chelsea"], ["sky of coffee"]]


def test_a_back_end(place: Place) -> None:
    place.drop(BACKENDS, "terse", example("adding-a-qa-back-end.md"))
    summary = place.build({"annotate": {"backend": "terse"}})
    assert summary["rows"] > 0
    folder = Path(summary["dataset"])
    rows = [values for path in data_files(folder) for values in raw_rows(path, pictures=False)]
    assert {row["provenance"]["generator"] for row in rows} == {"terse"}
    assert {len(row["messages"]) for row in rows} == {2}


def test_an_importer(place: Place) -> None:
    place.drop(IMPORTERS, "photo_notes", example("adding-an-importer.md"))
    write_png(place.work / "photographs" / "a.png", photograph("astronaut", 128))
    rows = [
        {"file": "a.png", "question": "What stands out?", "note": "the face is sharp"},
        {"file": "a.png", "note": "nothing was asked"},
    ]
    notes = write_rows(place.work / "notes.json", rows)
    external = {
        "kind": "photo-notes", "annotations": [str(notes)], "images": str(place.work / "photographs"),
    }  # fmt: skip
    merge = {"test_share": 0.34, "external": [external], "max_bad_share": 0.6}
    summary = place.build({"merge": merge})
    manifest = load_manifest(Path(summary["dataset"]))
    assert manifest.sources["photo-notes"] == 1
    assert manifest.licenses["CC-BY-4.0"] == 1
    done = place.copy.run("verify", summary["dataset"])
    assert done.returncode == 0, done.stdout


EXTERNAL = {"annotations": ["notes.json"], "images": "."}


def named(folder: str, name: str) -> dict[str, Any]:
    """Sections that name the plug-in of a folder."""
    return {
        PROPOSERS: {"regions": {"proposer": name}},
        LABELLERS: {"regions": {"labeller": name}},
        GIVEN: {"regions": {"proposer": name, "labeller": "given"}},
        BACKENDS: {"annotate": {"backend": name}},
        IMPORTERS: {"merge": {"external": [{**EXTERNAL, "kind": name}]}},
    }[folder]


@pytest.mark.parametrize(
    ("folder", "wrong", "told"),
    [
        (PROPOSERS, "grahp", r"'regions\.proposer': unknown region proposer 'grahp'; .* 'graph'\?"),
        (PROPOSERS, "ssa_json", r"'regions\.proposer': .* did you mean 'ssa-json'\?"),
        (LABELLERS, "apearance", r"'regions\.labeller': .* did you mean 'appearance'\?"),
        (BACKENDS, "sever", r"'annotate\.backend': .* did you mean 'server'\?"),
        (IMPORTERS, "q_instruct", r"'merge\.external\.0\.kind': .* did you mean 'q-instruct'\?"),
        (
            IMPORTERS,
            "coco",
            r"'merge\.external\.0\.kind': unknown importer 'coco'; available: dq-495k",
        ),
    ],
)
def test_an_unknown_name_is_one_line_with_the_nearest(
    place: Place, folder: str, wrong: str, told: str
) -> None:
    assert re.search(rf"tiny\.yaml:\d+: {told}", place.refusal(named(folder, wrong)))


@pytest.mark.parametrize("folder", [PROPOSERS, LABELLERS, GIVEN, BACKENDS])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def make(:\n", "SyntaxError"),
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("VERSION = 1\n", "needs a function `"),
    ],
)
def test_a_broken_file_names_itself(place: Place, folder: str, text: str, told: str) -> None:
    path = place.drop(folder, "broken", text)
    line = place.refusal(named(folder, "broken"), "build")
    assert line.startswith(f"{path}: ")
    assert told in line


def test_a_broken_importer_names_itself(place: Place) -> None:
    path = place.drop(IMPORTERS, "broken", "def read(row, facts): ...\n")
    line = place.refusal(named(IMPORTERS, "broken"), "build")
    assert line == f"{path}: this importer needs a text `LICENSE`; add it"


def test_the_packaged_plug_ins_are_not_touched(place: Place) -> None:
    for folder in (PROPOSERS, LABELLERS, GIVEN, BACKENDS, IMPORTERS):
        names = {path.name for path in (ROOT / folder).glob("*.py")}
        assert {path.name for path in (place.copy.folder / folder).glob("*.py")} == names
