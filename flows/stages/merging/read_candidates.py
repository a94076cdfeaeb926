"""Reads the rows that merging looks at, and the stored pictures of other datasets, from their shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from flows.stages.importers import importer
from flows.stages.merging.candidates import Candidate, Picture, Truth, hashed, normalized
from schemas.shards import Item, read_items
from schemas.store import Store

if TYPE_CHECKING:
    from flows.stages.annotate import AnnotatedRow
    from flows.stages.external import ExternalRecord
    from flows.stages.pictures import StoredPicture

_SHORT_WORDS = 3


def own_rows(store: Store, annotate: Sequence[tuple[str, str]]) -> Iterator[Candidate]:
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


def external_rows(store: Store, key: str, files: Mapping[str, str]) -> Iterator[tuple[Candidate, str | None]]:
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
            short=normalized(texts[1]) if single and len(texts[1].split()) <= _SHORT_WORDS else None,
            question=texts[0] if single and importer(record["source"]).by_people else None,
            origin=origin,
            groups=tuple(record["groups"]),
            test=record["published_test"],
            rank=importer(record["source"]).rank,
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
