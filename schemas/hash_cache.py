"""File hashes remembered by what the file system says of a file, so that an unchanged source isn't read again."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.errors import StoreError


class FileHashes:
    """SQLite table (path, size, mtime, inode) -> SHA-256. With `path` None nothing is remembered (for readers)."""

    def __init__(self, path: Path | None) -> None:
        try:
            self._db = sqlite3.connect(path if path is not None else ":memory:", check_same_thread=False, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS hashes"
                " (path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER, sha256 TEXT) WITHOUT ROWID"
            )
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}; free space or remove this file, then build again") from error

    def get(self, path: str, size: int, mtime_ns: int, inode: int) -> str | None:
        row = self._db.execute(
            "SELECT sha256 FROM hashes WHERE path=? AND size=? AND mtime_ns=? AND inode=?", (path, size, mtime_ns, inode)
        ).fetchone()
        return str(row[0]) if row else None

    def put(self, path: str, size: int, mtime_ns: int, inode: int, sha256: str) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?)", (path, size, mtime_ns, inode, sha256)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._db.commit()
        except sqlite3.Error as failed:
            raise StoreError(f"the table of file hashes can't be written: {failed}; free space, then build again") from failed
        finally:
            self._db.close()
