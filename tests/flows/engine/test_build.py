"""The build: one digest whatever the runner, order and folder; only what changed is made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import yaml

import flows.stages.distort
from distortions import catalog_digest
from flows.engine.build import Outcome, build
from flows.engine.overrides import Overrides, configure
from schemas import masks
from schemas.choices import RunnerName
from schemas.dataset import data_files, raw_rows
from schemas.pictures import load_png
from schemas.records import TASKS
from schemas.shards import read_items
from schemas.store import Store
from tests.conftest import photograph, run_cli, write_photographs, write_tiny_config

NAMES = ["chelsea", "coffee", "china", "rocket"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Path:
    folder = tmp_path_factory.mktemp("build")
    write_photographs(folder / "images", NAMES)
    write_tiny_config(folder / "tiny.yaml", folder / "images", folder / "out")
    return folder


@pytest.fixture(scope="module")
def first(place: Path) -> Outcome:
    return build(configure(place / "tiny.yaml", Overrides()))


def build_with(place: Path, out: Path, config: Path | None = None, **changes: Any) -> Outcome:
    return build(configure(config or place / "tiny.yaml", Overrides(out=out, **changes)))


def test_dataset_has_all_tasks_both_splits_and_no_shared_source(first: Outcome) -> None:
    assert all(first.manifest.tasks[task] > 0 for task in TASKS)
    assert all(count > 0 for count in first.manifest.splits.values())
    sources: dict[str, set[str]] = {}
    for path in data_files(first.folder):
        for values in raw_rows(path, pictures=False):
            sources.setdefault(values["split"], set()).add(values["source_image"]["sha256"])
    assert not sources["train"] & sources["test"]


def test_folder_holds_what_the_design_names(first: Outcome) -> None:
    files = [
        "README.md",
        "croissant.json",
        "manifest.json",
        "quarantine.parquet",
        "recipes.parquet",
        "report.html",
    ]
    assert {path.name for path in first.folder.iterdir()} == {"data", *files}
    assert (first.folder.parent.parent / "latest").resolve() == first.folder.resolve()


@pytest.mark.parametrize(
    ("runner", "workers"), [("serial", 1), ("thread", 2), ("process", 1), ("process", 2)]
)
def test_digest_is_the_same_for_any_runner(
    place: Path, first: Outcome, tmp_path: Path, runner: RunnerName, workers: int
) -> None:
    outcome = build_with(place, tmp_path / "out", runner=runner, workers=workers)
    assert outcome.manifest.digest == first.manifest.digest
    assert outcome.shards["distort"].new == len(NAMES)


def test_digest_is_the_same_for_another_folder_order_and_shard_size(
    place: Path, first: Outcome, tmp_path: Path
) -> None:
    images = tmp_path / "elsewhere"
    images.mkdir()
    for name in sorted((path.name for path in (place / "images").iterdir()), reverse=True):
        shutil.copyfile(place / "images" / name, images / name)
    config = tmp_path / "tiny.yaml"
    config.write_text((place / "tiny.yaml").read_text().replace("shard_size: 1", "shard_size: 7"))
    outcome = build_with(place, tmp_path / "out", config, images=images)
    assert outcome.manifest.digest == first.manifest.digest
    assert outcome.shards["distort"].new < len(NAMES)


def test_another_seed_gives_another_digest(place: Path, first: Outcome, tmp_path: Path) -> None:
    assert build_with(place, tmp_path / "out", seed=4).manifest.digest != first.manifest.digest


def test_nothing_changed_makes_nothing_and_reads_no_pixel(
    place: Path, first: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a rebuild without change read rows or pictures")

    monkeypatch.setattr("schemas.shards.pq.ParquetFile", refuse)
    monkeypatch.setattr("schemas.pictures.lossless.load_png", refuse)
    monkeypatch.setattr("flows.sources.files.hash_file", refuse)
    again = build(configure(place / "tiny.yaml", Overrides()))
    assert not again.changed
    assert again.folder == first.folder
    assert again.summary()["shards"] == {"new": 0, "reused": sum(c.new for c in first.shards.values())}
    assert again.summary()["state"] == "nothing changed"


@pytest.fixture
def copied(place: Path, first: Outcome, tmp_path: Path) -> Path:
    """A copy of the finished output, to change something and build again."""
    shutil.copytree(first.folder.parent.parent, tmp_path / "out", symlinks=True)
    return tmp_path / "out"


def test_another_wording_rebuilds_annotation_and_what_follows(
    place: Path, copied: Path, tmp_path: Path
) -> None:
    packaged = Path(flows.stages.distort.__file__).parents[2] / "annotation" / "qa" / "wording" / "en.yaml"
    (tmp_path / "wording.yaml").write_text(
        packaged.read_text(encoding="utf-8") + "\n# reworded\n", encoding="utf-8"
    )
    config = write_tiny_config(
        tmp_path / "tiny.yaml",
        place / "images",
        copied,
        f"annotate: {{wording: {tmp_path / 'wording.yaml'}}}\n",
    )
    shards = build(configure(config, Overrides())).shards
    for stage in ("ingest", "regions", "distort"):
        assert (shards[stage].new, shards[stage].reused) == (0, len(NAMES))
    assert shards["annotate"].new == len(NAMES)


def test_another_level_table_rebuilds_distortion_and_what_follows(
    place: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        flows.stages.distort, "catalog_digest", lambda names: catalog_digest(names) + "changed"
    )
    shards = build_with(place, copied).shards
    for stage in ("ingest", "regions"):
        assert (shards[stage].new, shards[stage].reused) == (0, len(NAMES))
    assert shards["distort"].new == shards["annotate"].new == len(NAMES)


def test_a_new_photograph_makes_only_its_own_shards(place: Path, copied: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "images", tmp_path / "images")
    write_photographs(tmp_path / "images", ["flower"])
    outcome = build_with(place, copied, images=tmp_path / "images")
    for stage in ("ingest", "regions", "distort", "annotate"):
        assert (outcome.shards[stage].new, outcome.shards[stage].reused) == (1, len(NAMES))
    assert outcome.changed


def test_pixels_outside_distorted_masks_are_the_source(first: Outcome) -> None:
    store = Store(first.folder.parent.parent / "store")
    originals = {
        item.id: load_png(item.picture)
        for path in (store.root / "ingest").glob("*/*.json")
        for item in read_items(store, "ingest", path.stem, pictures=True)
        if item.picture is not None
    }
    assert len(originals) == len(NAMES)
    for path in data_files(first.folder):
        for values in raw_rows(path, pictures=True):
            source = originals[values["source_image"]["id"]]
            picture = load_png(values["images"][0]["bytes"])
            outside = np.ones(source.shape[:2], bool)
            for region in values["regions"]:
                if region["distortions"]:
                    outside &= ~masks.decode(masks.Mask.model_validate(region["mask"]))
            if not values["whole_image"]:
                assert np.array_equal(picture[outside], source[outside]), values["id"]
            touched = any(region["distortions"] for region in values["regions"])
            assert touched != np.array_equal(picture, source), values["id"]


def test_datasets_decodes_the_pictures_without_our_code(first: Outcome, tmp_path: Path) -> None:
    files = {split: str(first.folder / "data" / f"{split}-*.parquet") for split in ("train", "test")}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert {split: len(loaded[split]) for split in loaded} == first.manifest.splits
    row = loaded["test"][0]
    assert row["images"][0].size == (row["source_image"]["width"], row["source_image"]["height"])
    streamed = next(iter(datasets.load_dataset("parquet", data_files=files, split="test", streaming=True)))
    assert streamed["images"][0].mode == "RGB"


def test_equal_answers_never_come_from_the_template_alone(first: Outcome) -> None:
    """Two rows may say the same only about different photographs and the same truth."""
    seen: dict[str, dict[str, Any]] = {}
    for path in data_files(first.folder):
        for row in raw_rows(path, pictures=False):
            for message in row["messages"]:
                if message["role"] != "assistant":
                    continue
                other = seen.setdefault(message["content"], row)
                if other is not row:
                    assert other["source_image"]["id"] != row["source_image"]["id"], message["content"]
                    assert truth_of(other) == truth_of(row), message["content"]


def truth_of(row: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    targets = [r for r in row["regions"] if r["region_id"] in row["target_region_ids"]]
    return [(r["label"], r["position"], [d["name"] for d in r["distortions"]]) for r in targets]


def test_json_summary_is_the_last_line(place: Path, first: Outcome) -> None:
    done = run_cli("build", place / "tiny.yaml", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert {
        "dataset",
        "digest",
        "rows",
        "tasks",
        "splits",
        "shards",
        "quarantined",
        "seconds",
    } <= summary.keys()
    assert summary["digest"] == first.manifest.digest
    assert summary["shards"]["new"] == 0


def test_too_many_failures_stop_the_build(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "images", tmp_path / "images")
    for number in range(4):
        (tmp_path / "images" / f"bad{number}.jpg").write_bytes(b"no picture %d" % number)
    done = run_cli("build", place / "tiny.yaml", "--images", tmp_path / "images", "--out", tmp_path / "out")
    assert done.returncode == 1
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("iqa-spider:")]
    assert "4 of 8 failed (not-a-picture 4)" in line
    assert not (tmp_path / "out" / "latest").exists()
    assert (tmp_path / "out" / "quarantine.parquet").is_file()


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A COCO annotation file with three boxes as polygons on each of two photographs."""
    images, annotations = [], []
    for number, name in enumerate(("coffee", "china"), start=1):
        rgb = photograph(name, 192)
        height, width = rgb.shape[:2]
        images.append({"id": number, "file_name": f"{name}.bmp", "height": height, "width": width})
        for place_, (x, y) in enumerate([(5, 5), (100, 10), (60, 70)]):
            polygon = [x, y, x + 50, y, x + 50, y + 45, x, y + 45]
            annotations.append(
                {
                    "id": 10 * number + place_,
                    "image_id": number,
                    "category_id": 1 + place_,
                    "segmentation": [polygon],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 1, "name": "cup"}, {"id": 2, "name": "window"}, {"id": 3, "name": "tree"}]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    write_photographs(tmp_path / "pictures", ["coffee", "china"])
    return path


def test_coco_regions_end_to_end(coco: Path, tmp_path: Path, prefect_url: str) -> None:
    settings = yaml.safe_load(
        write_tiny_config(tmp_path / "c.yaml", tmp_path / "pictures", tmp_path / "out").read_text()
    )
    settings["images"] = {"coco": str(coco), "folder": str(tmp_path / "pictures")}
    settings["regions"] = {"proposer": "coco"}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    outcome = build(configure(tmp_path / "c.yaml", Overrides()))
    labels = {
        region["label"]
        for path in data_files(outcome.folder)
        for values in raw_rows(path, pictures=False)
        for region in values["regions"]
    }
    assert labels == {"cup", "window", "tree"}
    assert run_cli("verify", outcome.folder).returncode == 0
