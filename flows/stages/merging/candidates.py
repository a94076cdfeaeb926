"""Rows on their way into one dataset: what merging looks at, of ours and of others'."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from flows.stages.importers import importer
from schemas.records import OWN_SOURCE
from schemas.shards import Item, read_items
from schemas.store import Store

if TYPE_CHECKING:
    from flows.stages.annotate import AnnotatedRow
    from flows.stages.external import ExternalRecord
    from flows.stages.pictures import StoredPicture

_SHORT_WORDS = 3
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
    states one. `dialogue` is a hash of the normalised text, `asked` of the first question, `short` the answer
    when it is short and the only one.
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

    @property
    def rank(self) -> int:
        """Whose word counts, the lowest first: what was injected and measured here has 0."""
        return 0 if self.source == OWN_SOURCE else importer(self.source).rank


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


def own(store: Store, annotate: Sequence[tuple[str, str]]) -> Iterator[Candidate]:
    """Rows made here, from (annotate key, distort key) pairs."""
    for key, distort_key in annotate:
        items: Iterator[Item[AnnotatedRow]] = read_items(store, "annotate", key)
        for item in items:
            row, record = item.record["row"], item.record
            names = {(d["name"], d["level"]) for region in row["regions"] for d in region["distortions"]}
            texts = [message["content"] for message in row["messages"]]
            yield Candidate(
                row_id=item.id,
                source=row["source"],
                task=row["task"],
                license=row["source_image"]["license"] or "not stated",
                stage="annotate",
                key=key,
                item=item.id,
                pictures=(record["picture_sha256"],),
                truths=(tuple(sorted(names)),),
                dialogue=hashed(*texts),
                asked=hashed(texts[0]),
                short=None,
                photograph=row["source_image"]["sha256"],
                bytes=record["picture_bytes"],
                distort=(distort_key, record["sample_id"], record["place"]),
            )


def external(store: Store, key: str, files: Mapping[str, str]) -> Iterator[tuple[Candidate, str | None]]:
    """Rows of an external shard with the first path that `files` (path to hash) lacks, or None."""
    items: Iterator[Item[ExternalRecord]] = read_items(store, "external", key)
    for item in items:
        record = item.record
        names = [name for name, _ in record["pictures"]]
        missing = next((name for name in names if name not in files), None)
        texts = [content for _, content in record["messages"]]
        single = len(texts) == 2
        origin = files.get(record["origin"]) if record["origin"] is not None else None
        candidate = Candidate(
            row_id=record["id"],
            source=record["source"],
            task=record["task"],
            license=record["license"],
            stage="external",
            key=key,
            item=item.id,
            pictures=tuple(files.get(name, "") for name in names),
            truths=_truths(record),
            dialogue=hashed(*texts),
            asked=hashed(texts[0]),
            short=normalised(texts[1]) if single and len(texts[1].split()) <= _SHORT_WORDS else None,
            question=texts[0] if single and importer(record["source"]).by_people else None,
            origin=origin,
            groups=tuple(record["groups"]),
            test=record["published_test"],
        )
        yield candidate, missing


def _truths(record: ExternalRecord) -> tuple[Truth | None, ...]:
    """What the row states of each of its pictures; nothing of a reference."""
    stated = record["distortions"]
    if stated is None:
        return (None,) * len(record["pictures"])
    by_image: dict[int, list[tuple[str, int]]] = {}
    for one in stated:
        by_image.setdefault(one["image"], []).append((one["name"], one["level"]))
    return tuple(
        None if part == "reference" else tuple(sorted(by_image.get(number, ())))
        for number, (_, part) in enumerate(record["pictures"])
    )


def stored_pictures(store: Store, keys: Sequence[str]) -> dict[str, Picture]:
    """All stored pictures by the hashes of their files."""
    found: dict[str, Picture] = {}
    for key in keys:
        items: Iterator[Item[StoredPicture]] = read_items(store, "pictures", key)
        for place, item in enumerate(items):
            record = item.record
            found[item.id] = Picture(
                item.id,
                key,
                place,
                record["uri"],
                record["pixels"],
                record["fingerprint"],
                record["bytes"],
            )
    return found


def normalised(text: str) -> str:
    """A text without case, punctuation and spacing."""
    return " ".join(_WORD.findall(text.casefold()))


def hashed(*texts: str) -> bytes:
    """12 bytes that stand for texts as `normalised`."""
    return hashlib.blake2b("\n".join(map(normalised, texts)).encode(), digest_size=12).digest()
