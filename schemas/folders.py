"""Folders that appear whole: filled under another name, put on the disk, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import InputError
from schemas.store import fsync_folder, named_disk_errors


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` to fill and give to `appear`; nothing of it is left after the block.

    Raises InputError when `out` exists.
    """
    if out.exists() or out.is_symlink():
        raise InputError(f"{out}: exists already; give a folder that doesn't")
    staging = out.with_name(f".{out.name}.unfinished")
    with named_disk_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def appear(staging: Path, out: Path) -> None:
    """Have a filled folder on the disk, and then under its name."""
    make_durable(staging)
    staging.rename(out)
    fsync_folder(out.parent)


def make_durable(folder: Path) -> None:
    """Have every file and folder below `folder` on the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    for path in (folder, *(entry for entry in folder.rglob("*") if entry.is_dir())):
        fsync_folder(path)
