"""The same picture or the same dialogue twice is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from flows.stages.importers import importer
from flows.stages.merging.candidates import Candidate, Picture
from schemas.pictures import near_duplicates
from schemas.records import OWN_SOURCE


def same_pictures(
    pictures: Mapping[str, Picture], generated: set[str], bits: int, counts: Counter[str]
) -> dict[str, str]:
    """The hash of the file that represents each file: of equal pixels one, of near copies of photographs one.

    `generated` are files that their dataset distorted on purpose: two of them look alike to a perceptual hash
    and differ in quality, which is what the rows are about, so only equal pixels make them one.
    """
    by_pixels: dict[str, str] = {}
    stands: dict[str, str] = {}
    for sha256 in sorted(pictures, key=lambda name: (name in generated, name)):
        first = by_pixels.setdefault(pictures[sha256].pixels, sha256)
        stands[sha256] = first
        counts["duplicates: pictures, exact"] += first != sha256
    photographs = [(name, pictures[name].fingerprint) for name in by_pixels.values() if name not in generated]
    near = near_duplicates(photographs, bits)
    counts["duplicates: pictures, near"] += len(near)
    return {sha256: near.get(first, first) for sha256, first in stands.items()}


def without_repeats(
    rows: Iterable[Candidate], looks: Mapping[str, str], counts: Counter[str]
) -> list[Candidate]:
    """Rows whose pictures and dialogue no row before them has; those of a source that counts more go first.

    `looks` maps a picture to what its pixels are known by.
    """
    seen: set[tuple[tuple[str, ...], bytes]] = set()
    ids: set[str] = set()
    kept = []
    for row in sorted(rows, key=lambda one: (one.rank, one.row_id, one.key, one.item)):
        key = (tuple(looks.get(name, name) for name in row.pictures), row.dialogue)
        if key in seen or row.row_id in ids:
            counts[f"duplicates: dialogues: {row.source}"] += 1
            continue
        seen.add(key)
        ids.add(row.row_id)
        kept.append(row)
    return kept


def generated_files(rows: Sequence[Candidate]) -> set[str]:
    """Files of pictures that their dataset distorted on purpose."""
    return {name for row in rows if row.source != OWN_SOURCE for name in importer(row.source).generated(row)}
