"""The dataset card and the Croissant description say what is in the folder, and their readers accept them."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import mlcroissant
import pyarrow.parquet as pq
import pytest
import yaml

from flows.dataset.card import PublishedFile, croissant, dataset_card
from flows.dataset.report import BuildSummary, ReportData, collect
from schemas.arrow import to_table
from schemas.records import SPLITS
from tests.flows.synthetic_rows import png, synthetic

ROWS = [(row, png(picture)) for row, picture in synthetic(21, seed=5)]


def summary(**more: object) -> BuildSummary:
    facts = {
        "name": "small-set",
        "digest": "ab" * 32,
        "seed": 5,
        "config_hash": "cd" * 32,
        "code_version": "0.1.0",
        "made": "2026-03-14",
    }
    return BuildSummary(**(facts | more))  # type: ignore[arg-type]


def write(folder: Path) -> tuple[ReportData, list[PublishedFile]]:
    """A dataset folder of two Parquet files, one a split."""
    (folder / "data").mkdir(parents=True)
    files = []
    for split in SPLITS:
        rows = [(row, [encoded]) for row, encoded in ROWS if row.split == split]
        path = f"data/{split}-00000-of-00001.parquet"
        pq.write_table(to_table(rows), folder / path)
        content = (folder / path).read_bytes()
        files.append(PublishedFile(path, split, len(rows), len(content), hashlib.sha256(content).hexdigest()))
    data = collect(((row, None) for row, _ in ROWS), [], summary(), {})
    (folder / "README.md").write_text(dataset_card(data, files, "name: small-set\nseed: 5\n"))
    (folder / "croissant.json").write_text(json.dumps(croissant(data, files)))
    (folder / "quarantine.parquet").write_bytes(b"not one of the rows")
    return data, files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dataset") / "small-set"
    write(place)
    return place


def header(card: str) -> dict[str, object]:
    return yaml.safe_load(card.split("---\n")[1])


def test_both_splits_are_there() -> None:
    assert {row.split for row, _ in ROWS} == set(SPLITS)


def test_croissant_is_valid_and_nothing_recommended_is_missing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings
    assert "not standard" not in caplog.text


def test_croissant_reads_every_row_with_its_picture(folder: Path) -> None:
    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    read = {record["rows/id"].decode(): record for record in dataset.records("rows")}
    assert set(read) == {row.id for row, _ in ROWS}
    for row, _ in ROWS:
        record = read[row.id]
        picture = record["rows/images"][0]
        assert list(picture.size)[::-1] == row.regions[0].mask.size
        said = [m["rows/messages/content"].decode() for m in record["rows/messages"]]
        assert said == [m.content for m in row.messages]
        boxes = [list(r["rows/regions/bbox"]) for r in record["rows/regions"]]
        assert boxes == [r.bbox for r in row.regions]
        runs = [r["rows/regions/mask_counts"].decode() for r in record["rows/regions"]]
        assert runs == [r.mask.counts for r in row.regions]
        for r, region in zip(record["rows/regions"], row.regions, strict=True):
            injected = [r[f"rows/regions/distortion_{k}_name"] for k in (1, 2, 3)]
            assert [d.decode() for d in injected if d is not None] == [d.name for d in region.distortions]
            assert r["rows/regions/strength"] == pytest.approx(region.strength, nan_ok=True)
        assert row.source_image is not None
        assert record["rows/source_image"]["rows/source_image/width"] == row.source_image.width
        assert record["rows/whole_image"] is row.whole_image


def test_croissant_notices_a_changed_file(tmp_path: Path) -> None:
    place = tmp_path / "set"
    data, files = write(place)
    wrong = [PublishedFile(f.path, f.split, f.rows, f.bytes, "0" * 64) for f in files]
    listed = {f["@id"]: f.get("sha256") for f in croissant(data, wrong)["distribution"]}
    assert listed[files[0].path] == "0" * 64
    right = {f["@id"]: f.get("sha256") for f in croissant(data, files)["distribution"]}
    assert right[files[0].path] == hashlib.sha256((place / files[0].path).read_bytes()).hexdigest()


def test_datasets_loads_the_folder_by_its_card(folder: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {split: len(rows) for split, rows in loaded.items()} == {
        split: sum(row.split == split for row, _ in ROWS) for split in SPLITS
    }


def test_the_header_names_files_sizes_and_licenses(folder: Path) -> None:
    head = header((folder / "README.md").read_text())
    assert head["size_categories"] == ["n<1K"]
    assert head["license"] == "other"
    configs = head["configs"]
    assert isinstance(configs, list)
    assert [f["split"] for f in configs[0]["data_files"]] == list(SPLITS)
    origins = [
        row.source_image.model_copy(update={"license": "CC0-1.0"}) for row, _ in ROWS if row.source_image
    ]
    free = [row.model_copy(update={"source_image": s}) for (row, _), s in zip(ROWS, origins, strict=True)]
    data = collect(((row, None) for row in free), [], summary(), {})
    assert header(dataset_card(data, [], ""))["license"] == "cc0-1.0"


def test_the_card_counts_what_is_there(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    for wanted in (
        "21 training samples",
        "`grounding_dao`",
        "`blur_gaussian`",
        "ab" * 32,
        "seed: 5",
        "CC0-1.0",
    ):
        assert wanted in card


def test_hostile_text_stays_text() -> None:
    row, _ = ROWS[0]
    assert row.source_image is not None
    license = "x | y\n# Heading `` <script>alert(1)</script> [a](javascript:b)"
    hostile = row.model_copy(
        update={
            "source": "a\n---\nlicense: mit | <img src=x>",
            "source_image": row.source_image.model_copy(update={"license": license}),
        }
    )
    data = collect([(hostile, None)], [], summary(name="x\n---\nfoo: [bar"), {})
    card = dataset_card(data, [], "a: |\n  ```\n  # not a heading\n  ```\n")
    assert header(card)["license"] == "other"
    assert header(card)["pretty_name"] == "x\\n---\\nfoo: [bar"
    outside = card.split("````yaml")[0]
    assert "\n# Heading" not in outside
    assert "<script" not in outside.replace("\\<", "")
    assert "<img" not in outside.replace("\\<", "")
    assert "](javascript" not in outside.replace("\\](", "")
    lines = [line for line in card.splitlines() if "Heading" in line]
    assert len(lines) == 1
    assert lines[0].replace("\\|", "").count("|") == 3
