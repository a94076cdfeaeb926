"""The folder of an export: files under safe names, each picture once, all of it visible by one rename."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from schemas.errors import InputError
from schemas.folders import move_into_place, staging_folder

_SAFE = re.compile(r"[a-z0-9][a-z0-9_.-]*")


class ExportFolder:
    """Writes below `path`: JSON, JSON lines, and pictures under the SHA-256 of their bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pictures = 0
        self._written: set[str] = set()

    def picture(self, data: bytes) -> str:
        """Write a picture unless it is there, and return its path below the folder: images/ab/abcd....png."""
        name = hashlib.sha256(data).hexdigest()
        place = f"images/{name[:2]}/{name}{extension(data)}"
        if name not in self._written:
            target = self.path / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            self._written.add(name)
            self.pictures += 1
        return place

    def file(self, name: str) -> Path:
        """The path of a new file of this name. Raises InputError for a name that may lead elsewhere."""
        if _SAFE.fullmatch(name) is None:
            raise InputError(f"{name!r} can't be a file's name; see `iqa-spider verify`")
        return self.path / name

    def json(self, name: str, content: Any) -> None:
        """Write one JSON file."""
        text = json.dumps(content, ensure_ascii=False, indent=1)
        self.file(name).write_text(text + "\n", encoding="utf-8")


@contextmanager
def new_folder(out: Path) -> Iterator[ExportFolder]:
    """A folder that appears as `out` when the block has ended without an error, and else leaves nothing.

    Raises InputError when `out` exists.
    """
    with staging_folder(out) as staging:
        yield ExportFolder(staging)
        move_into_place(staging, out)


def extension(data: bytes) -> str:
    """ ".png", or ".jpg" and so on for pictures stored as they came."""
    if data.startswith(b"\x89PNG"):
        return ".png"
    if data.startswith(b"\xff\xd8"):
        return ".jpg"
    return ".webp" if data[8:12] == b"WEBP" else ".bin"
