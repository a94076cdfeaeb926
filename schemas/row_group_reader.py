"""Random access to the row groups of published files: their sizes, and rows with each picture once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.arrow import ROW_SCHEMA
from schemas.dataset import PICTURE_LEAF, wrap_read_errors
from schemas.errors import InputError


@dataclass(frozen=True)
class RowGroup:
    """One row group of a file: its number, row count, and the bytes its columns take before compression."""

    path: Path
    number: int
    rows: int
    bytes: int


class EncodedPictures(Sequence[bytes]):
    """The distinct pictures of some rows; each access copies the picture's bytes again."""

    def __init__(self) -> None:
        self._places: list[tuple[pa.Array, int]] = []

    def append(self, column: pa.Array, index: int) -> None:
        """Add the value at `index` of an array of bytes."""
        self._places.append((column, index))

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        column, row = self._places[index]
        return bytes(column[row].as_py())


@dataclass(frozen=True)
class GroupRows:
    """Rows of one row group: `texts` are the requested columns, `places` each row's pictures as indices into
    `pictures`, which holds each encoded picture once.
    """

    texts: list[dict[str, Any]]
    places: list[list[int]]
    pictures: EncodedPictures


def row_groups(path: Path) -> list[RowGroup]:
    """The row groups of a published file, from its footer. Raises InputError when it isn't one."""
    with wrap_read_errors(path), pq.ParquetFile(path) as file:
        if not file.schema_arrow.equals(ROW_SCHEMA):
            raise InputError(f"{path}: its columns aren't those of a row; see `iqa-spider verify`")
        found = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        return [
            RowGroup(path, number, group.num_rows, group.total_byte_size)
            for number, group in enumerate(found)
        ]


@dataclass(frozen=True)
class Labels:
    """The tasks and sources of rows: `names` are the distinct (task, source) pairs, `cells` each row's index
    into them, (rows,) int64.
    """

    names: list[tuple[str, str]]
    cells: NDArray[np.int64]


def row_labels(paths: Iterable[Path]) -> Labels:
    """The tasks and sources of all rows of files, in order. Raises InputError when one can't be read."""
    places: dict[tuple[str, str], int] = {}
    cells = []
    for path in paths:
        with wrap_read_errors(path):
            table = pq.read_table(path, columns=["task", "source"])
        listed = zip(table["task"].to_pylist(), table["source"].to_pylist(), strict=True)
        cells.append(np.array([places.setdefault(name, len(places)) for name in listed], np.int64))
    return Labels(list(places), np.concatenate(cells))


class GroupReader:
    """Reads rows of row groups; keeps the last file open. Don't share one between processes."""

    def __init__(self) -> None:
        self._open: tuple[Path, pq.ParquetFile] | None = None

    def read(self, group: RowGroup, rows: Sequence[int], columns: Sequence[str], pictures: bool) -> GroupRows:
        """The rows with these indices within the row group, in this order.

        Raises InputError for a file that can't be read.
        """
        wanted = [*columns, *(["images"] if pictures else [])]
        with wrap_read_errors(group.path):
            table = self._file(group.path).read_row_group(group.number, columns=wanted)
            texts = table.select(list(columns))
            if list(rows) != list(range(table.num_rows)):
                texts = texts.take(pa.array(rows, pa.int64()))
            listed = texts.to_pylist() if columns else [{} for _ in rows]
        if not pictures:
            return GroupRows(listed, [[] for _ in rows], EncodedPictures())
        return GroupRows(listed, *_pictures(group, table["images"], rows))

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _file(self, path: Path) -> pq.ParquetFile:
        if self._open is None or self._open[0] != path:
            self.close()
            opened = pq.ParquetFile(path, memory_map=True, read_dictionary=[PICTURE_LEAF])
            self._open = (path, opened)
        return self._open[1]


def _pictures(
    group: RowGroup, column: pa.ChunkedArray, rows: Sequence[int]
) -> tuple[list[list[int]], EncodedPictures]:
    """Each row's pictures as indices into a list that holds each picture once."""
    names: list[list[tuple[int, int | None]]] = []
    dictionaries = []
    for number, chunk in enumerate(column.chunks):
        encoded = chunk.flatten().field("bytes")
        indices = iter([(number, index) for index in encoded.indices.to_pylist()])
        lengths = chunk.value_lengths().to_pylist()
        names += [[next(indices) for _ in range(length or 0)] for length in lengths]
        dictionaries.append(encoded.dictionary)
    found: dict[tuple[int, int | None], int] = {}
    pictures = EncodedPictures()
    places = []
    for row in rows:
        for name in names[row]:
            if name not in found:
                chunk_number, index = name
                if index is None:
                    what = f"row {row} of row group {group.number} has a picture without bytes"
                    raise InputError(f"{group.path}: {what}; see `iqa-spider verify`")
                found[name] = len(pictures)
                pictures.append(dictionaries[chunk_number], index)
        places.append([found[name] for name in names[row]])
    return places, pictures
