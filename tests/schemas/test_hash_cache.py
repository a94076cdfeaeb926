"""File hashes: cached for unchanged files, shared by runs, and a broken table gives a one-line error."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from schemas.errors import StoreError
from schemas.hash_cache import FileHashes

FILE = ("/pictures/a%20b.png", 10, 1_700_000_000_123_456_789, 42)


def test_a_hash_is_cached_for_an_unchanged_file(tmp_path: Path) -> None:
    with FileHashes(tmp_path / "hashes.sqlite") as hashes:
        assert hashes.get(*FILE) is None
        hashes.put(*FILE, "abc")
        assert hashes.get(*FILE) == "abc"
    with FileHashes(tmp_path / "hashes.sqlite") as hashes:
        assert hashes.get(*FILE) == "abc"
        path, size, mtime, inode = FILE
        assert hashes.get("/pictures/other.png", size, mtime, inode) is None
        assert hashes.get(path, size + 1, mtime, inode) is None
        assert hashes.get(path, size, mtime + 1, inode) is None
        assert hashes.get(path, size, mtime, inode + 1) is None
        hashes.put(FILE[0], 11, FILE[2], FILE[3], "def")
        assert hashes.get(*FILE) is None
    with FileHashes(tmp_path / "hashes.sqlite") as hashes:
        assert hashes.get(FILE[0], 11, FILE[2], FILE[3]) == "def"
    assert [path.name for path in tmp_path.iterdir()] == ["hashes.sqlite"]


def test_large_inodes(tmp_path: Path) -> None:
    for value in (2**63, 2**64 - 1):
        with FileHashes(tmp_path / "hashes.sqlite") as hashes:
            hashes.put(*FILE[:3], value, f"of {value}")
        with FileHashes(tmp_path / "hashes.sqlite") as hashes:
            assert hashes.get(*FILE[:3], value) == f"of {value}"


def test_runs_at_once_share_a_table(tmp_path: Path) -> None:
    with FileHashes(tmp_path / "h") as first, FileHashes(tmp_path / "h") as second:
        for number in range(100):
            first.put(f"first{number}", 1, 1, 1, "f")
            second.put(f"second{number}", 1, 1, 1, "s")
    with FileHashes(tmp_path / "h") as both:
        assert both.get("first99", 1, 1, 1) == "f"
        assert both.get("second0", 1, 1, 1) == "s"


def test_a_run_that_fails_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), FileHashes(tmp_path / "h") as hashes:  # noqa: PT012
        hashes.put(*FILE, "abc")
        raise KeyboardInterrupt
    with FileHashes(tmp_path / "h") as hashes:
        assert hashes.get(*FILE) is None


def test_a_broken_table_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to be looked at" * 40)
    with pytest.raises(StoreError, match=r"text: file is not a database; free space or remove this file"):
        FileHashes(tmp_path / "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=r"folder: unable to open database file"):
        FileHashes(tmp_path / "folder")
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE hashes (name TEXT)")
    with pytest.raises(StoreError, match="no such column"), FileHashes(tmp_path / "other") as hashes:
        hashes.get(*FILE)
    with pytest.raises(StoreError, match="1 columns but 5 values"), FileHashes(tmp_path / "other") as hashes:
        hashes.put(*FILE, "abc")
