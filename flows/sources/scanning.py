"""The scan: candidates of a source to hashed references, exact duplicates apart, in an order of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.sources.bundled import list_bundled
from flows.sources.files import HashCache, SourceRef, hash_files
from flows.sources.listing import Candidate, Listing, list_coco, list_folder, list_manifest
from schemas.config import ImagesConfig, IngestConfig
from schemas.errors import InputError, SampleError
from schemas.records import Quarantined


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A file with exactly the bytes of another: dropped, and which one stays."""

    uri: str
    kept_uri: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a source holds. `refs` are sorted by sha256, the other lists by their names; `ignored` counts
    files of a folder whose names aren't those of pictures."""

    refs: list[SourceRef]
    quarantined: list[Quarantined]
    duplicates: list[Duplicate]
    ignored: int


def scan(images: ImagesConfig, ingest: IngestConfig, cache: HashCache | None = None) -> ScanResult:
    """List and hash the photographs of a source; with a warm `cache`, unchanged files aren't read.

    Of files with equal bytes the one with the smallest uri stays. The answer depends on names and bytes
    alone, not on the order of listing nor on where the folder lies. Raises InputError (one line) when the
    source can't be listed or holds no picture.
    """
    listing = _list(images, ingest.license)
    hashed: list[tuple[Candidate, str, int]] = []
    reals = [candidate.real for candidate in listing.candidates]
    outcomes = hash_files(reals, ingest.max_bytes, cache)
    for candidate, outcome in zip(listing.candidates, outcomes, strict=True):
        if isinstance(outcome, SampleError):
            listing.refuse(candidate.uri, outcome)
        else:
            hashed.append((candidate, *outcome))
    refs, duplicates = _without_duplicates(hashed)
    if not refs:
        raise InputError(_nothing(images, listing))
    quarantined = sorted(listing.quarantined, key=lambda one: (one.source, one.reason))
    return ScanResult(refs, quarantined, duplicates, listing.ignored)


def _list(images: ImagesConfig, license: str | None) -> Listing:
    if images.coco is not None:
        return list_coco(images.coco, images.folder, license)
    if images.folder is not None:
        return list_folder(images.folder, license)
    if images.manifest is not None:
        return list_manifest(images.manifest, license)
    return list_bundled()


def _without_duplicates(
    hashed: list[tuple[Candidate, str, int]],
) -> tuple[list[SourceRef], list[Duplicate]]:
    kept: dict[str, SourceRef] = {}
    duplicates = []
    for candidate, sha256, size in sorted(hashed, key=lambda one: one[0].uri):
        if sha256 in kept:
            duplicates.append(Duplicate(candidate.uri, kept[sha256].uri, sha256))
        else:
            kept[sha256] = SourceRef(
                Path(candidate.real), candidate.uri, sha256, size, candidate.license, candidate.coco_name
            )
    return [kept[sha256] for sha256 in sorted(kept)], duplicates


def _nothing(images: ImagesConfig, listing: Listing) -> str:
    place = images.coco or images.folder or images.manifest
    found = f"{place}: no picture to read"
    if listing.quarantined:
        first = min(listing.quarantined, key=lambda one: one.source)
        return f"{found}; {len(listing.quarantined)} refused, first {first.source}: {first.reason}"
    return f"{found}, {listing.ignored} other files ignored; give JPEG, PNG, WebP, BMP or TIFF files"
