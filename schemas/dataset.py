"""A published dataset folder: its manifest, its files, and how rows are written to and read from it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.arrow import ROW_SCHEMA, TEXT_COLUMNS, row_from_arrow, to_table
from schemas.errors import InputError
from schemas.records import Quarantined, Record, Row

DATASET_FORMAT = 1
MANIFEST = "manifest.json"


class FileEntry(Record):
    """One file of a dataset: `rows` for Parquet files; `split` for those under data/."""

    sha256: str
    bytes: int
    rows: int | None = None
    split: str | None = None


class DatasetManifest(Record):
    """manifest.json: what a dataset is, what it was made from, and every file's hash. Written last."""

    format: int
    name: str
    digest: str
    key: str
    rows: int
    tasks: dict[str, int]
    splits: dict[str, int]
    quarantined: int
    seed: int
    config: dict[str, Any]
    config_hash: str
    code_version: str
    versions: dict[str, str]
    files: dict[str, FileEntry]
    shards: dict[str, dict[str, int]]
    seconds: dict[str, float]
    created: str


def load_manifest(folder: Path) -> DatasetManifest:
    """The manifest of a dataset folder. Raises InputError when the folder isn't a dataset this version reads."""
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{folder}: not a dataset (no {MANIFEST}); give the folder that `build` printed") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read: {error}") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != DATASET_FORMAT:
        raise InputError(f"{path}: dataset format {found!r}, this version reads {DATASET_FORMAT}")
    try:
        return DatasetManifest.model_validate(data)
    except ValueError as error:
        first = str(error).splitlines()[1:3]
        raise InputError(f"{path}: not a dataset's manifest: {' '.join(first)}") from error


def data_files(folder: Path) -> list[Path]:
    """The dataset's row files as its manifest names them, inside `folder`, in order."""
    manifest = load_manifest(folder)
    return [folder / name for name, entry in sorted(manifest.files.items()) if entry.split is not None]


class RowWriter:
    """Writes rows of `ROW_SCHEMA` to one Parquet file: images plain, the rest zstd, row groups bounded both ways."""

    def __init__(self, path: Path, rows_per_group: int, group_bytes: int) -> None:
        self.rows = 0
        self._limit_rows, self._limit_bytes = rows_per_group, group_bytes
        self._buffer: list[tuple[Row, Sequence[bytes]]] = []
        self._buffered = 0
        self._parquet = pq.ParquetWriter(
            path,
            ROW_SCHEMA,
            compression={**dict.fromkeys(_leaves(), "zstd"), _PICTURE_LEAF: "none"},
            use_dictionary=[leaf for leaf in _leaves() if leaf != _PICTURE_LEAF],
            write_page_index=True,
            write_statistics=[leaf for leaf in _leaves() if leaf != _PICTURE_LEAF],
        )

    def add(self, row: Row, pictures: Sequence[bytes]) -> None:
        size = sum(map(len, pictures))
        if self._buffer and self._buffered + size > self._limit_bytes:
            self._flush()
        self._buffer.append((row, pictures))
        self._buffered += size
        self.rows += 1
        if len(self._buffer) >= self._limit_rows:
            self._flush()

    def _flush(self) -> None:
        if self._buffer:
            self._parquet.write_table(to_table(self._buffer))
            self._buffer.clear()
            self._buffered = 0

    def close(self) -> None:
        self._flush()
        self._parquet.close()

    def abandon(self) -> None:
        """Close without the rows still in memory; the caller removes the file."""
        self._buffer.clear()
        self._parquet.close()


_PICTURE_LEAF = "images.list.element.bytes"


def _leaves() -> list[str]:
    """The Parquet paths of all leaf columns of a row."""
    found: list[str] = []

    def walk(kind: pa.DataType, path: str) -> None:
        if pa.types.is_struct(kind):
            for field in kind:
                walk(field.type, f"{path}.{field.name}")
        elif pa.types.is_list(kind):
            walk(kind.value_type, f"{path}.list.element")
        else:
            found.append(path)

    for field in ROW_SCHEMA:
        walk(field.type, field.name)
    return found


def raw_rows(path: Path, pictures: bool) -> Iterator[dict[str, Any]]:
    """The rows of one Parquet file as plain values, a row group at a time; `images` only when asked for."""
    columns = None if pictures else list(TEXT_COLUMNS)
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, columns=columns).to_pylist()


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of one Parquet file without their pictures."""
    for values in raw_rows(path, pictures=False):
        yield row_from_arrow(values)


def find_rows(paths: Iterable[Path], row_ids: set[str]) -> dict[str, list[bytes]]:
    """Encoded pictures of some rows, reading only the row groups that hold them."""
    return {row.id: pictures for row, pictures in _with_pictures(paths, row_ids)}


def find_row(folder: Path, row_id: str) -> tuple[Row, list[bytes]]:
    """One row and its encoded pictures, by id. Raises InputError when the dataset has no such row."""
    for found in _with_pictures(data_files(folder), {row_id}):
        return found
    raise InputError(f"{folder}: no row {row_id!r}; ids stand in the column 'id' and in the report's gallery")


def _with_pictures(paths: Iterable[Path], row_ids: set[str]) -> Iterator[tuple[Row, list[bytes]]]:
    for path in paths:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["id"])["id"].to_pylist()
                wanted = [place for place, name in enumerate(ids) if name in row_ids]
                if wanted:
                    for values in file.read_row_group(group).take(wanted).to_pylist():
                        yield row_from_arrow(values), [image["bytes"] for image in values["images"]]


QUARANTINE_SCHEMA = pa.schema([(name, pa.string()) for name in ("stage", "source", "sample_id", "reason", "error")])
RECIPE_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "sample_id", "source_sha256", "source_uri", "picture_sha256", "recipe")]
)


def quarantine_bytes(entries: Sequence[Quarantined]) -> bytes:
    """quarantine.parquet: one row a sample that failed."""
    return _parquet_bytes(pa.Table.from_pylist([entry.model_dump() for entry in entries], schema=QUARANTINE_SCHEMA))


def recipe_bytes(entries: Sequence[dict[str, str]]) -> bytes:
    """recipes.parquet: for each row the source, the hash of the picture's pixels and how it was distorted (JSON)."""
    return _parquet_bytes(pa.Table.from_pylist(list(entries), schema=RECIPE_SCHEMA))


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
