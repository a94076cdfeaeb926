"""Packs: a dataset without its pictures, as one Parquet file of the rows and how to make each picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from schemas.arrow import ROW_SCHEMA, TEXT_COLUMNS, row_from_arrow
from schemas.dataset import DatasetManifest, first_problem, wrap_read_errors
from schemas.errors import InputError
from schemas.records import Quarantined, Row
from schemas.row_group_writer import RowGroupBuffer

PACK_FORMAT = 1
_GROUP_ROWS = 4096
_HEAD = b"iqa-spider pack"
_PICTURE = pa.struct(
    [
        *((name, pa.string()) for name in ("name", "pixels_sha256", "source_sha256", "source_uri", "recipe")),
        ("sample", pa.binary()),
    ]
)
_PLACE_COLUMNS = ("file", "sample_id")
_SCHEMA = pa.schema(
    [
        *(ROW_SCHEMA.field(name) for name in TEXT_COLUMNS),
        *((name, pa.string()) for name in _PLACE_COLUMNS),
        ("pictures", pa.list_(_PICTURE)),
    ]
)


@dataclass(frozen=True)
class PackedPicture:
    """How to make one picture: a recipe (JSON; None: the photograph itself) and its source photograph.

    `name` identifies the picture within the pack; `sample` holds the values of some of its pixels as bytes.
    """

    name: str
    pixels_sha256: str
    source_sha256: str
    source_uri: str
    recipe: str | None
    sample: bytes


@dataclass(frozen=True)
class PackedRow:
    """A row, the data file it is in, its sample's id (None for rows of other datasets), and its pictures."""

    row: Row
    file: str
    sample_id: str | None
    pictures: list[PackedPicture]


@dataclass(frozen=True)
class PackHead:
    """What a pack says about its dataset."""

    manifest: DatasetManifest
    quarantine: list[Quarantined]


class PackWriter:
    """Writes a pack row by row; memory holds one row group."""

    def __init__(self, path: Path, head: PackHead) -> None:
        listed = [entry.model_dump() for entry in head.quarantine]
        described = {
            "format": PACK_FORMAT,
            "manifest": head.manifest.model_dump(mode="json"),
            "quarantine": listed,
        }
        schema = _SCHEMA.with_metadata({_HEAD: json.dumps(described).encode()})
        parquet = pq.ParquetWriter(path, schema, compression="zstd", compression_level=12)
        self._groups: RowGroupBuffer[PackedRow] = RowGroupBuffer(
            path, parquet, lambda rows: _to_table(rows, schema)
        )

    def add(self, row: PackedRow) -> None:
        self._groups.add(row, 0)
        if self._groups.rows >= _GROUP_ROWS:
            self._groups.flush()

    def close(self) -> None:
        self._groups.close()

    def abandon(self) -> None:
        """Close and remove the unfinished file."""
        self._groups.abandon()


def _to_table(rows: Sequence[PackedRow], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                **packed.row.model_dump(mode="json"),
                "file": packed.file,
                "sample_id": packed.sample_id,
                "pictures": [vars(picture) for picture in packed.pictures],
            }
            for packed in rows
        ],
        schema=schema,
    )


def read_pack_head(path: Path) -> PackHead:
    """What a pack says about its dataset. Raises InputError for a file that isn't a pack of this version."""
    with wrap_read_errors(path):
        schema = pq.read_schema(path)
    try:
        described = json.loads((schema.metadata or {})[_HEAD])
        if described["format"] != PACK_FORMAT:
            raise InputError(f"{path}: pack format {described['format']!r}; this version reads {PACK_FORMAT}")
        manifest = DatasetManifest.model_validate(described["manifest"])
        quarantine = [Quarantined.model_validate(entry) for entry in described["quarantine"]]
    except (KeyError, ValueError, TypeError) as error:
        what = first_problem(error) if isinstance(error, ValidationError) else "its header can't be read"
        raise InputError(f"{path}: not a pack: {what}; make one with `iqa-spider recipes pack`") from error
    if not schema.equals(_SCHEMA):
        raise InputError(f"{path}: its columns aren't those of a pack; make one with this version")
    return PackHead(manifest, quarantine)


def read_pack(path: Path) -> Iterator[PackedRow]:
    """The rows of a pack in order. Raises InputError when it can't be read or a row isn't valid."""
    for values in _values(path, None):
        try:
            row = row_from_arrow(values)
        except ValidationError as error:
            raise InputError(f"{path}: row {values['id']} is not valid: {first_problem(error)}") from error
        yield PackedRow(row, values["file"], values["sample_id"], _pictures(values))


def read_packed_pictures(path: Path) -> Iterator[tuple[str, list[PackedPicture]]]:
    """The id and pictures of every row of a pack, in order. Raises InputError when it can't be read."""
    for values in _values(path, ["id", "pictures"]):
        yield values["id"], _pictures(values)


def _values(path: Path, columns: list[str] | None) -> Iterator[dict[str, Any]]:
    with wrap_read_errors(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=256, columns=columns):
            yield from batch.to_pylist()


def _pictures(values: dict[str, Any]) -> list[PackedPicture]:
    return [PackedPicture(**picture) for picture in values["pictures"]]
