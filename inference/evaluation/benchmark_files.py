"""Published files of benchmarks: records of JSON lists, pictures below a folder; errors of one line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.grounded_answer import Picture
from schemas.config import IngestConfig
from schemas.errors import InputError, SampleError
from schemas.hashing import content_key
from schemas.pictures import decode

MAX_FILE = 500_000_000
MAX_TEXT = 20_000
MAX_NAME = 1_000
LIMITS = IngestConfig(max_side=16384, min_side=1)
"""Pictures are taken in their own size: a model's processor is what shrinks them."""
_BROKEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"II*\0", b"MM\0*")
"""First bytes of JPEG, PNG, WebP, BMP and TIFF files."""


@dataclass(frozen=True)
class Record:
    """One record of an annotation file: `where` names both in messages."""

    where: str
    values: Mapping[str, Any]

    def wrong(self, what: str) -> InputError:
        """The error to raise for this record."""
        return InputError(f"{self.where}: {what}")

    def text(self, key: str) -> str:
        """A text that isn't blank. Raises InputError."""
        value = self.values.get(key)
        if value is None:
            raise self.wrong(f"{key!r} is missing")
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
            raise self.wrong(f"{key!r} is not a text of 1 to {MAX_TEXT} characters")
        if _BROKEN.search(value):
            raise self.wrong(f"{key!r} holds control characters or half a character")
        return value.strip()

    def fields(self) -> str:
        """The names of its fields, for messages."""
        shown = (ascii(str(key)[:40])[1:-1] for key in list(self.values)[:20])
        return ", ".join(sorted(shown)) or "none"

    def place(self, key: str) -> str:
        """A relative path, as `safe_name`. Raises InputError."""
        value = self.text(key)
        if not safe_name(value):
            raise self.wrong(f"{key!r} is {value[:80]!a}, not a path below the data's folder")
        return value


def safe_name(name: str) -> bool:
    """Whether a name is a relative POSIX path that stays below its root."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or "\\" in name or ":" in name:
        return False
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts


def read_bytes(path: Path) -> bytes:
    """A file's bytes up to `MAX_FILE`. Raises InputError."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise InputError(f"{path}: more than {MAX_FILE / 1e6:g} MB; give the file as published")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: can't be read: {(error.strerror or str(error)).lower()}") from error


def read_list(path: Path) -> list[Record]:
    """The records of a JSON list of objects. Raises InputError that names the line or record."""
    try:
        values = json.loads(read_bytes(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; give the file as published") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: not valid JSON: {error.msg.lower()}") from error
    except RecursionError as error:
        raise InputError(f"{path}: JSON nested too deep; give the file as published") from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"{path}: not valid JSON: {str(error).lower()}") from error
    if not isinstance(values, list) or not values:
        raise InputError(f"{path}: not a list of records; give the file as published")
    for number, value in enumerate(values):
        if not isinstance(value, dict):
            raise InputError(f"{path}: record {number}: {type(value).__name__}, not an object")
    return [Record(f"{path}: record {number}", value) for number, value in enumerate(values)]


def annotation_file(data: Path, names: Sequence[str], pattern: str) -> Path:
    """`data` itself if it is a file, else the first of `names` in that folder, else its only `pattern`.

    Raises InputError where there is none, or several to choose from.
    """
    if data.is_file():
        return data
    if not data.is_dir():
        raise InputError(f"{data}: no such folder; give --data the folder of the published files")
    for name in names:
        if (data / name).is_file():
            return data / name
    found = sorted(data.glob(pattern))
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"{data}: no {names[0]} in it; give --data the folder of the published files")
    listed = ", ".join(path.name for path in found[:5])
    raise InputError(f"{data}: which file is {names[0]}: {listed}? give its path with --data")


def find_pictures(roots: Iterable[Path], names: Iterable[str], advice: str) -> dict[str, Path]:
    """Each name's file, below the first of `roots` that has it, links that lead out of the root refused.

    Only a file's first bytes are read. Raises InputError that counts all names without a file, and all files
    that are not pictures (a page, a pointer of Git LFS, a download broken off); `advice` says what to do.
    """
    real = [root.resolve() for root in roots]
    places = {name: _located(real, name) for name in names}
    found = {name: path for name, path in places.items() if path is not None}
    lost = [name for name in places if name not in found]
    broken = [name for name, path in found.items() if not _starts_as_picture(path)]
    for wrong, what in ((lost, "missing"), (broken, "not pictures")):
        if wrong:
            count = f"{len(wrong)} of {len(places)} files are {what}, the first {wrong[0]!a}"
            raise InputError(f"{real[-1]}: {count}; {advice}")
    return found


def _located(roots: Iterable[Path], name: str) -> Path | None:
    """The file of this name below the first root that has it."""
    for root in roots:
        path = root / name
        try:
            if path.is_file() and path.resolve().is_relative_to(root):
                return path
        except OSError:  # a name no file system takes
            return None
    return None


def _starts_as_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(12).startswith(_STARTS)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {(error.strerror or str(error)).lower()}") from error


def identity(annotation: Path, roots: Iterable[Path], names: Iterable[str]) -> str:
    """A hash over the annotation file's bytes and the sizes of all pictures that it names, None for those
    that aren't there: it doesn't depend on how many of them are asked about.
    """
    real = [root.resolve() for root in roots]
    places = {name: _located(real, name) for name in names}
    sizes = sorted([name, path and path.stat().st_size] for name, path in places.items())
    return content_key(hashlib.sha256(read_bytes(annotation)).hexdigest(), sizes)


def load_picture(path: Path) -> Picture:
    """Decode a picture in its own size, (H, W, 3) uint8 RGB. Raises InputError with the file's name."""
    try:
        return decode(read_bytes(path), LIMITS).rgb
    except SampleError as error:
        raise InputError(f"{path}: {error.reason}: {error.detail or 'no picture'}") from error


def loader(path: Path) -> Callable[[], Picture]:
    """What decodes a picture when it is called, as `load_picture`."""
    return lambda: load_picture(path)


def softmax(values: Sequence[float], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities (n,) of logits (n,), which may be large."""
    logits = np.asarray(values, np.float64) / temperature
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())
