"""Collects rows into the row groups of one Parquet file, which can be finished or abandoned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

T = TypeVar("T")


class RowGroupBuffer(Generic[T]):
    """Buffers rows until `flush` writes them as one row group; `rows` and `bytes` are what it holds now."""

    def __init__(
        self, path: Path, parquet: pq.ParquetWriter, to_table: Callable[[Sequence[T]], pa.Table]
    ) -> None:
        self.bytes = 0
        self._path, self._parquet, self._to_table = path, parquet, to_table
        self._buffer: list[T] = []

    @property
    def rows(self) -> int:
        return len(self._buffer)

    def add(self, row: T, size: int) -> None:
        self._buffer.append(row)
        self.bytes += size

    def flush(self) -> None:
        if self._buffer:
            self._parquet.write_table(self._to_table(self._buffer))
            self._buffer.clear()
            self.bytes = 0

    def close(self) -> None:
        self.flush()
        self._parquet.close()

    def abandon(self) -> None:
        """Close and remove the unfinished file, even when the disk has no room for its footer."""
        self._buffer.clear()
        with suppress(OSError):
            self._parquet.close()
        self._path.unlink(missing_ok=True)
