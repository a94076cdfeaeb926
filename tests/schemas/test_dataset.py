"""Dataset folders: bounded row groups, rows found by id, and one line for what can't be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.arrow import ROW_SCHEMA, to_table
from schemas.dataset import (
    DATASET_FORMAT,
    MANIFEST,
    DatasetManifest,
    FileEntry,
    RowWriter,
    data_files,
    find_row,
    find_rows,
    has_row_schema,
    load_manifest,
    quarantine_bytes,
    raw_rows,
    read_recipes,
    read_rows,
    recipe_bytes,
    resolve_inside,
    row_count,
)
from schemas.errors import InputError
from schemas.pictures import encode
from schemas.records import Quarantined
from tests.schemas import rows as make


def write(path: Path, count: int, rows_per_group: int = 64, group_bytes: int = 10**9, size: int = 6) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = RowWriter(path, rows_per_group, group_bytes)
    for number in range(count):
        writer.add(make.row(f"{path.stem}-{number}"), [make.picture(number, (size, 8))])
    writer.close()
    assert writer.rows == count


def group_rows(path: Path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


@pytest.mark.parametrize(
    ("rows_per_group", "group_bytes", "expected"),
    [
        (64, 10**9, [10]),
        (4, 10**9, [4, 4, 2]),
        (5, 10**9, [5, 5]),
        (64, 3, [1] * 10),
        (64, 3 * len(make.picture()), [3, 3, 3, 1]),
        (64, 3 * len(make.picture()) + 5, [3, 3, 3, 1]),
        (2, 3 * len(make.picture()), [2] * 5),
    ],
)
def test_row_groups_are_bounded_by_rows_and_bytes(
    tmp_path: Path, rows_per_group: int, group_bytes: int, expected: list[int]
) -> None:
    def flat(value: int) -> bytes:
        return make.picture()  # equal sizes, so that the bounds are exact

    writer = RowWriter(tmp_path / "x.parquet", rows_per_group, group_bytes)
    for number in range(10):
        writer.add(make.row(str(number)), [flat(number)])
    writer.close()
    assert group_rows(tmp_path / "x.parquet") == expected


def test_pictures_are_uncompressed_and_the_rest_compressed(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", 8)
    assert make.picture(3) in (tmp_path / "x.parquet").read_bytes()
    group = pq.read_metadata(tmp_path / "x.parquet").row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert columns["images.list.element.bytes"].compression == "UNCOMPRESSED"
    assert columns["images.list.element.bytes"].statistics is None
    assert columns["messages.list.element.content"].compression == "ZSTD"
    assert columns["id"].has_column_index


def test_an_empty_file_still_has_the_schema(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", 0)
    assert has_row_schema(tmp_path / "x.parquet")
    assert list(read_rows(tmp_path / "x.parquet")) == []


def test_rows_come_back(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", 5, rows_per_group=2)
    path = tmp_path / "x.parquet"
    assert row_count(path) == 5
    rows = {row.id: row for row in read_rows(path)}
    assert rows == {f"x-{n}": make.row(f"x-{n}") for n in range(5)}
    assert "images" not in next(raw_rows(path, pictures=False))
    pictures = {values["id"]: values["images"] for values in raw_rows(path, pictures=True)}
    assert pictures == {f"x-{n}": [{"bytes": make.picture(n), "path": None}] for n in range(5)}


def test_a_row_group_is_shuffled_and_stores_a_shared_picture_once(tmp_path: Path) -> None:
    picture = encode(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8))
    path = tmp_path / "x.parquet"
    writer = RowWriter(path, 64, 10**9)
    for number in range(96):
        writer.add(make.row(f"x-{number:02d}"), [picture])
    writer.close()
    assert 2 * len(picture) < path.stat().st_size < 4 * len(picture)
    assert all(values["images"][0]["bytes"] == picture for values in raw_rows(path, pictures=True))
    names = [row.id for row in read_rows(path)]
    first, second = names[:64], names[64:]
    assert sorted(first) == [f"x-{n:02d}" for n in range(64)]
    assert sorted(second) == [f"x-{n:02d}" for n in range(64, 96)]
    assert first != sorted(first)


def manifest(files: dict[str, FileEntry]) -> DatasetManifest:
    words = dict.fromkeys(("name", "digest", "key", "config_hash", "code_version", "created"), "")
    numbers = dict.fromkeys(("rows", "quarantined", "seed"), 0)
    tables: dict[str, object] = {
        name: {} for name in ("tasks", "splits", "config", "versions", "shards", "seconds")
    }
    return DatasetManifest.model_validate(
        {"format": DATASET_FORMAT, **words, **numbers, **tables, "files": files}
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two files of rows and their manifest, whose hashes aren't checked here."""
    folder = tmp_path / "dataset"
    entries = {}
    for split in ("train", "test"):
        write(folder / "data" / f"{split}.parquet", 5, rows_per_group=2)
        entries[f"data/{split}.parquet"] = FileEntry(sha256="", bytes=0, rows=5, split=split)
    (folder / "recipes.parquet").write_bytes(recipe_bytes([]))
    entries["recipes.parquet"] = FileEntry(sha256="", bytes=0, rows=0)
    (folder / MANIFEST).write_text(manifest(entries).model_dump_json())
    return folder


def test_data_files_are_those_of_a_split_in_order(dataset: Path) -> None:
    assert data_files(dataset) == [dataset / "data" / "test.parquet", dataset / "data" / "train.parquet"]


def test_a_row_is_found_by_its_id(dataset: Path) -> None:
    row, pictures = find_row(dataset, "train-3")
    assert row == make.row("train-3")
    assert pictures == [make.picture(3)]
    with pytest.raises(InputError, match="no row 'train-9'; ids are in"):
        find_row(dataset, "train-9")


def test_only_row_groups_that_hold_the_row_are_read(dataset: Path) -> None:
    path = dataset / "data" / "train.parquet"
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(0)
    place = column.dictionary_page_offset or column.data_page_offset
    other = data.index(make.picture(0))
    data[other : other + 8] = b"\0" * 8
    path.write_bytes(data)
    assert place < other
    assert find_rows([path], {"train-4"}) == {"train-4": [make.picture(4)]}


@pytest.mark.parametrize(
    "name", ["../x.parquet", "/etc/passwd", "data/../../x", "link/x.parquet", "a\0b", "x" * 5000, "link"]
)
def test_names_that_lead_outside_the_folder(dataset: Path, name: str) -> None:
    (dataset / "link").symlink_to(dataset.parent)
    (dataset / "loop").symlink_to(dataset / "loop")
    if name != "x" * 5000:
        assert resolve_inside(dataset, name) is None
    entry = FileEntry(sha256="", bytes=0, rows=0, split="train")
    (dataset / MANIFEST).write_text(manifest({name: entry}).model_dump_json())
    with pytest.raises(InputError) as caught:
        find_row(dataset, "x")
    assert "\n" not in str(caught.value)


def test_names_inside(dataset: Path) -> None:
    assert resolve_inside(dataset, "data/train.parquet") == dataset / "data" / "train.parquet"
    assert resolve_inside(dataset, "not-there") == dataset / "not-there"
    (dataset / "latest").symlink_to(dataset / "data")
    assert resolve_inside(dataset, "latest/train.parquet") is not None


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-6] ^= 0xFF
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def other_columns(path: Path) -> None:
    pq.write_table(pa.table({"id": ["train-3"]}), path)


def null_pictures(path: Path) -> None:
    table = to_table([(make.row("train-3"), [])])
    values = table.to_pylist()
    values[0]["images"] = [{"bytes": None, "path": "x.png"}]
    pq.write_table(pa.Table.from_pylist(values, schema=ROW_SCHEMA), path)


def invalid(path: Path) -> None:
    values = to_table([(make.row("train-3"), [])]).to_pylist()
    values[0]["split"] = "dev"
    pq.write_table(pa.Table.from_pylist(values, schema=ROW_SCHEMA), path)


@pytest.mark.parametrize("damage", [Path.unlink, flip, cut, other_columns, null_pictures, invalid])
def test_damaged_files_are_one_line(dataset: Path, damage: Any) -> None:
    damage(dataset / "data" / "train.parquet")
    with pytest.raises(InputError, match=r"train\.parquet: ") as caught:
        find_row(dataset, "train-3")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "invalid JSON"),
        ("[" * 100_000, "invalid JSON"),
        ("\udcff", "invalid JSON"),
        ("[]", "dataset format None; this version reads 1"),
        ('{"format": 99}', "dataset format 99"),
        ('{"format": 1}', "not a dataset manifest: name: Field required"),
        ('{"format": 1, "zzz": 1}', "not a dataset manifest"),
    ],
)
def test_broken_manifests_are_one_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=problem) as caught:
        load_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_not_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a dataset \(no manifest.json\); give the folder"):
        load_manifest(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="can't be read: Not a directory"):
        load_manifest(tmp_path / "file")
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(InputError, match="can't be read: Is a directory"):
        load_manifest(tmp_path)


def test_manifest_comes_back(dataset: Path) -> None:
    assert json.loads((dataset / MANIFEST).read_text()) == load_manifest(dataset).model_dump(mode="json")


def test_quarantine_and_recipes_come_back(tmp_path: Path) -> None:
    entry = Quarantined(stage="ingest", source="a.png", reason="truncated", error="ends early")
    (tmp_path / "q.parquet").write_bytes(quarantine_bytes([entry]))
    assert [Quarantined(**v) for v in pq.read_table(tmp_path / "q.parquet").to_pylist()] == [entry]
    names = ("id", "sample_id", "source_sha256", "source_uri", "picture_sha256", "recipe")
    recipes = [{name: f"{name} {number}" for name in names} for number in range(3)]
    (tmp_path / "r.parquet").write_bytes(recipe_bytes(recipes))
    assert list(read_recipes(tmp_path / "r.parquet")) == recipes
    with pytest.raises(InputError, match=r"aren't those of recipes\.parquet"):
        list(read_recipes(tmp_path / "q.parquet"))
    with pytest.raises(InputError, match="can't be read"):
        list(read_recipes(tmp_path / "none.parquet"))
