"""Cached file hashes, keyed by what the file system says about a file: unchanged files aren't read again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.errors import StoreError

_WAIT_SECONDS = 60.0
_INTEGERS = 2**63
"""SQLite integers are signed; on some file systems inode numbers are not."""


class FileHashes:
    """SQLite table (path, size, mtime, inode) -> SHA-256.

    Several runs may use one table at once: what a run learns is written when its block ends without an error,
    in one short transaction. Raises StoreError for a file that isn't such a
    table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._learned: dict[str, tuple[int, int, int, str]] = {}
        with self._wrap_errors():
            self._db = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS hashes (path TEXT PRIMARY KEY,"
                " size INTEGER, mtime_ns INTEGER, inode INTEGER, sha256 TEXT) WITHOUT ROWID"
            )

    def get(self, path: str, size: int, mtime_ns: int, inode: int) -> str | None:
        """The hash of a file unchanged since it was put, else None."""
        if path in self._learned:
            row = self._learned[path]
        else:
            with self._wrap_errors():
                row = self._db.execute(
                    "SELECT size, mtime_ns, inode, sha256 FROM hashes WHERE path=?", (path,)
                ).fetchone()
        return str(row[3]) if row and tuple(row[:3]) == (size, mtime_ns, inode % _INTEGERS) else None

    def put(self, path: str, size: int, mtime_ns: int, inode: int, sha256: str) -> None:
        """Remember a hash."""
        self._learned[path] = (size, mtime_ns, inode % _INTEGERS, sha256)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._learned:
                with self._wrap_errors():
                    self._write()
        finally:
            self._db.close()

    def _write(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(
            "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?)",
            ((path, *known) for path, known in self._learned.items()),
        )
        self._db.execute("COMMIT")

    @contextmanager
    def _wrap_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(
                f"{self._path}: {error}; free space or remove this file, then build again"
            ) from error
