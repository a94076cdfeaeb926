"""A published dataset folder: its manifest, its files, and how rows are written to and read from it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from schemas.arrow import ROW_SCHEMA, TEXT_COLUMNS, row_from_arrow, to_table
from schemas.errors import InputError
from schemas.hashing import content_key
from schemas.records import Quarantined, Record, Row
from schemas.row_group_writer import RowGroupBuffer

DATASET_FORMAT = 1
MANIFEST = "manifest.json"


class FileEntry(Record):
    """One file of a dataset: `rows` for Parquet files; `split` for those under data/."""

    sha256: str
    bytes: int
    rows: int | None = None
    split: str | None = None


class KeptOut(Record):
    """A picture left out of the dataset, whether built here or merged, because it is, or nearly is, `picture`
    of an evaluation set.

    `how` is "exact" or "near"; `pixels` is the hash of the removed picture's pixels, if known.
    """

    source: str
    uri: str
    pixels: str
    picture: str
    how: str

    @classmethod
    def from_list(cls, values: Sequence[str]) -> KeptOut:
        """From the fields in order."""
        return cls.model_validate(dict(zip(cls.model_fields, values, strict=True)))


class DatasetManifest(Record):
    """manifest.json: what a dataset is, what it was made from, and every file's hash. Written last.

    `sources` and `licenses` count rows; `merged` counts what merging did, by description; `kept_out` lists
    the pictures removed because an evaluation set contains them. `facts` are the other things the report
    says about the build: inputs, runner, workers, counts, duplicates.
    """

    format: int
    name: str
    digest: str
    key: str
    rows: int
    tasks: dict[str, int]
    splits: dict[str, int]
    quarantined: int
    sources: dict[str, int] = Field(default_factory=dict)
    licenses: dict[str, int] = Field(default_factory=dict)
    merged: dict[str, int] = Field(default_factory=dict)
    kept_out: list[KeptOut] = Field(default_factory=list)
    seed: int
    config: dict[str, Any]
    config_hash: str
    code_version: str
    versions: dict[str, str]
    files: dict[str, FileEntry]
    shards: dict[str, dict[str, int]]
    seconds: dict[str, float]
    facts: dict[str, Any] = Field(default_factory=dict)
    created: str


def load_manifest(folder: Path) -> DatasetManifest:
    """The manifest of a dataset folder. Raises InputError when it isn't a dataset this version reads."""
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        advice = "give the folder that `build` printed"
        raise InputError(f"{folder}: not a dataset (no {MANIFEST}); {advice}") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}; give a dataset folder") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: invalid JSON ({error}); build the dataset again") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != DATASET_FORMAT:
        raise InputError(f"{path}: dataset format {found!r}; this version reads {DATASET_FORMAT}")
    try:
        return DatasetManifest.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{path}: not a dataset manifest: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """The first validation error of a record: where it is and what is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def resolve_inside(folder: Path, name: str) -> Path | None:
    """The path of a dataset's file, or None for a name that leads outside the folder ("..", "/", a link)."""
    try:
        path = folder / name
        return path if path.resolve().is_relative_to(folder.resolve()) else None
    except (ValueError, OSError):
        return None


def data_files(folder: Path) -> list[Path]:
    """The dataset's row files in the manifest's order. Raises InputError for a file outside the folder."""
    paths = []
    for name, entry in sorted(load_manifest(folder).files.items()):
        if entry.split is not None:
            path = resolve_inside(folder, name)
            if path is None:
                raise InputError(
                    f"{folder / MANIFEST}: {name!r} is outside the folder; don't trust this dataset"
                )
            paths.append(path)
    return paths


def split_files(folder: Path, split: str | None) -> list[tuple[Path, FileEntry]]:
    """The row files of a split (None: of all splits), each with its manifest entry.

    Raises InputError when there is none, and whenever `data_files` does.
    """
    entries = load_manifest(folder).files
    listed = [(path, entries[path.relative_to(folder).as_posix()]) for path in data_files(folder)]
    found = [(path, entry) for path, entry in listed if split in (None, entry.split)]
    if not found:
        splits = ", ".join(sorted({entry.split for _, entry in listed if entry.split})) or "none"
        raise InputError(f"{folder}: no rows in the split {split!r}; it has {splits}")
    return found


class RowWriter:
    """Writes rows of `ROW_SCHEMA` to one Parquet file: pictures uncompressed, the rest with zstd.

    A row group holds at least one row, and at most `rows_per_group` rows and `group_bytes` bytes of pictures.
    A picture that several of its rows share counts once for each row, because readers unpack it, but is
    stored once (in the column's dictionary). Rows are shuffled within their row group, so that the rows of
    one picture, which are added one after another, aren't neighbors.
    """

    def __init__(self, path: Path, rows_per_group: int, group_bytes: int) -> None:
        self.rows = 0
        self._limit_rows, self._limit_bytes = rows_per_group, group_bytes
        parquet = pq.ParquetWriter(
            path,
            ROW_SCHEMA,
            compression={**dict.fromkeys(_leaves(), "zstd"), PICTURE_LEAF: "none"},
            use_dictionary=True,
            dictionary_pagesize_limit=_MAX_DICTIONARY,
            write_page_index=True,
            write_statistics=[leaf for leaf in _leaves() if leaf != PICTURE_LEAF],
        )
        self._groups = RowGroupBuffer(path, parquet, _shuffled_table)

    def add(self, row: Row, pictures: Sequence[bytes]) -> None:
        size = sum(map(len, pictures))
        if self._groups.bytes + size > self._limit_bytes:
            self._groups.flush()
        self._groups.add((row, pictures), size)
        self.rows += 1
        if self._groups.rows >= self._limit_rows:
            self._groups.flush()

    def close(self) -> None:
        self._groups.close()

    def abandon(self) -> None:
        """Close and remove the unfinished file."""
        self._groups.abandon()


def _shuffled_table(rows: Sequence[tuple[Row, Sequence[bytes]]]) -> pa.Table:
    return to_table(sorted(rows, key=lambda entry: content_key("row group", entry[0].id)))


PICTURE_LEAF = "images.list.element.bytes"
_MAX_DICTIONARY = 2_000_000_000
"""Above this a column's dictionary would be dropped in favor of plain values; none gets that large."""


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


def row_count(path: Path) -> int:
    """The number of rows of a Parquet file, from its footer. Raises InputError when it can't be read."""
    with wrap_read_errors(path):
        return int(pq.read_metadata(path).num_rows)


def has_row_schema(path: Path) -> bool:
    """Whether a Parquet file has a row's columns and metadata. Raises InputError when it can't be read."""
    with wrap_read_errors(path):
        schema = pq.read_schema(path)
    described = (schema.metadata or {}).get(b"huggingface")
    return bool(schema.equals(ROW_SCHEMA)) and described == ROW_SCHEMA.metadata[b"huggingface"]


def raw_rows(path: Path, pictures: bool) -> Iterator[dict[str, Any]]:
    """The rows of one Parquet file as plain values, a row group at a time; `images` only with `pictures`.

    Raises InputError for a file that can't be read or has other columns.
    """
    columns = None if pictures else list(TEXT_COLUMNS)
    with wrap_read_errors(path), pq.ParquetFile(path) as file:
        _check_columns(path, file)
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, columns=columns).to_pylist()


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of one Parquet file without pictures. Raises InputError like `raw_rows` or for a bad row."""
    for values in raw_rows(path, pictures=False):
        yield _parse_row(path, values)


def rows_with_pictures(path: Path) -> Iterator[tuple[Row, list[bytes]]]:
    """The rows of one Parquet file with their encoded pictures. Raises InputError like `read_rows`."""
    for values in raw_rows(path, pictures=True):
        yield _parse_row(path, values), _picture_bytes(path, values)


def find_rows(paths: Iterable[Path], row_ids: set[str]) -> dict[str, list[bytes]]:
    """Encoded pictures of some rows, reading only the row groups that hold them."""
    return {row.id: pictures for row, pictures in _with_pictures(paths, row_ids)}


def find_row(folder: Path, row_id: str) -> tuple[Row, list[bytes]]:
    """One row and its encoded pictures, by id. Raises InputError when the dataset has no such row."""
    for found in _with_pictures(data_files(folder), {row_id}):
        return found
    raise InputError(f"{folder}: no row {row_id!r}; ids are in the column 'id' and in the report's gallery")


def _with_pictures(paths: Iterable[Path], row_ids: set[str]) -> Iterator[tuple[Row, list[bytes]]]:
    for path in paths:
        with wrap_read_errors(path), pq.ParquetFile(path) as file:
            _check_columns(path, file)
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["id"])["id"].to_pylist()
                wanted = [index for index, row_id in enumerate(ids) if row_id in row_ids]
                if wanted:
                    for values in file.read_row_group(group).take(wanted).to_pylist():
                        yield _parse_row(path, values), _picture_bytes(path, values)


def _check_columns(path: Path, file: pq.ParquetFile) -> None:
    if not file.schema_arrow.equals(ROW_SCHEMA):
        raise InputError(f"{path}: its columns aren't those of a row; see `iqa-spider verify`")


def _parse_row(path: Path, values: dict[str, Any]) -> Row:
    try:
        return row_from_arrow(values)
    except ValidationError as error:
        what = f"row {values.get('id')} is not valid: {first_problem(error)}"
        raise InputError(f"{path}: {what}; see `iqa-spider verify`") from error


def _picture_bytes(path: Path, values: dict[str, Any]) -> list[bytes]:
    found = [image and image["bytes"] for image in values["images"] or []]
    if None in found:
        what = f"row {values['id']} has a picture without bytes"
        raise InputError(f"{path}: {what}; see `iqa-spider verify`")
    return found


@contextmanager
def wrap_read_errors(path: Path) -> Iterator[None]:
    """Turn what Parquet's reader raises for a missing or damaged file into one InputError line."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: can't be read: {first}; see `iqa-spider verify`") from error


QUARANTINE_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("stage", "source", "sample_id", "reason", "error")]
)
RECIPE_COLUMNS = ("id", "sample_id", "source_sha256", "source_uri", "picture_sha256", "recipe")
RECIPE_SCHEMA = pa.schema([(name, pa.string()) for name in RECIPE_COLUMNS])


def quarantine_bytes(entries: Sequence[Quarantined]) -> bytes:
    """The content of quarantine.parquet: one row for each sample that failed."""
    dumped = [entry.model_dump() for entry in entries]
    return _parquet_bytes(pa.Table.from_pylist(dumped, schema=QUARANTINE_SCHEMA))


def read_quarantine(path: Path) -> list[Quarantined]:
    """The rows of a quarantine.parquet. Raises InputError when it can't be read or has other columns."""
    with wrap_read_errors(path):
        table = pq.read_table(path)
    if not table.schema.equals(QUARANTINE_SCHEMA):
        raise InputError(f"{path}: its columns aren't those of quarantine.parquet; build the dataset again")
    return [Quarantined.model_validate(entry) for entry in table.to_pylist()]


def recipe_bytes(entries: Sequence[dict[str, str]]) -> bytes:
    """The content of recipes.parquet: each row's photograph, pixel hash and operations (JSON)."""
    return _parquet_bytes(pa.Table.from_pylist(list(entries), schema=RECIPE_SCHEMA))


def read_recipes(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a recipes.parquet. Raises InputError when it can't be read or has other columns."""
    with wrap_read_errors(path), pq.ParquetFile(path) as file:
        if not file.schema_arrow.equals(RECIPE_SCHEMA):
            raise InputError(f"{path}: its columns aren't those of recipes.parquet; build the dataset again")
        for batch in file.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
