"""Rows on their way into one dataset: what merging looks at, whoever made them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

_WORD = re.compile(r"\w+")
Truth = tuple[tuple[str, int], ...]
"""(name, level) of each distortion of a picture, sorted; () for one that is said to be untouched."""


@dataclass(slots=True)
class Picture:
    """A stored picture of another dataset: its file's hash, its place in the store, what it looks like."""

    sha256: str
    key: str
    place: int
    uri: str
    pixels: str
    fingerprint: str
    bytes: int


@dataclass(slots=True)
class Candidate:
    """A row that may be published.

    `pictures` and `origin` (the photograph) are hashes of files for rows of others, of pixels for ours;
    `photograph` is the hash of our photograph's file. `truths` are those of the pictures, None where nobody
    states one. `dialogue` is a hash of the normalized text, `asked` of the first question, `short` the answer
    when it is short and the only one. `rank` decides between rows that contradict each other, the lowest
    first: what was injected and measured here has 0.
    """

    row_id: str
    source: str
    task: str
    license: str
    stage: str
    key: str
    item: str
    pictures: tuple[str, ...]
    truths: tuple[Truth | None, ...]
    dialogue: bytes
    asked: bytes
    short: str | None
    question: str | None = None
    photograph: str | None = None
    origin: str | None = None
    groups: tuple[str, ...] = ()
    test: bool = False
    bytes: int = 0
    distort: tuple[str, str, int] | None = None
    rank: int = 0


class RowRef(NamedTuple):
    """Where a row to publish lies: shard `key` of `stage` and its item, and where its pictures lie.

    `pictures` are [stage, key, place, id]; `source` the same for the photograph of a row of another dataset.
    """

    row_id: str
    stage: str
    key: str
    item: str
    pictures: list[list[Any]]
    source: list[Any] | None
    bytes: int


def normalized(text: str) -> str:
    """A text without case, punctuation and spacing."""
    return " ".join(_WORD.findall(text.casefold()))


def hashed(*texts: str) -> bytes:
    """12 bytes that stand for texts as `normalized`."""
    return hashlib.blake2b("\n".join(map(normalized, texts)).encode(), digest_size=12).digest()
