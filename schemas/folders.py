"""Folders that appear complete: filled under another name, synced to disk, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import InputError
from schemas.store import fsync_folder, wrap_disk_errors


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """An empty folder beside `out` to fill and give to `move_into_place`; nothing of it is left after the
    block.

    Raises InputError when `out` exists.
    """
    if out.exists() or out.is_symlink():
        raise InputError(f"{out}: already exists; give a folder that doesn't")
    staging = out.with_name(f".{out.name}.unfinished")
    with wrap_disk_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def move_into_place(staging: Path, out: Path) -> None:
    """Sync a filled folder to disk, then rename it to `out`."""
    make_durable(staging)
    staging.rename(out)
    fsync_folder(out.parent)


def make_durable(folder: Path) -> None:
    """Sync `folder` and every file and folder below it to disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    for path in (folder, *(entry for entry in folder.rglob("*") if entry.is_dir())):
        fsync_folder(path)
