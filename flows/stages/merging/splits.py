"""One split for everything that shows one photograph, in whichever source."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from flows.stages.merging.candidates import Candidate, Picture
from schemas.config import MergeConfig
from schemas.pictures import NearPictures
from schemas.records import Split


def split_of(source_sha256: str, config: MergeConfig) -> Split:
    """The split of a source picture: a hash of its own, so that it never moves when other pictures come or
    go.
    """
    draw = int.from_bytes(hashlib.sha256(f"{config.salt}:{source_sha256}".encode()).digest()[:8], "big")
    return "test" if draw < config.test_share * 2**64 else "train"


class _Groups:
    """Names that belong together (union and find)."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def root(self, name: str) -> str:
        above = self._above
        while (parent := above.setdefault(name, name)) != name:
            above[name] = above[parent]
            name = parent
        return name

    def join(self, a: str, b: str) -> None:
        first, second = sorted((self.root(a), self.root(b)))
        self._above[second] = first


def split_rows(
    rows: Sequence[Candidate],
    pictures: Mapping[str, Picture],
    photographs: Iterable[tuple[str, str]],
    config: MergeConfig,
    counts: Counter[str],
) -> list[tuple[Candidate, Split]]:
    """Rows with their splits. Our photographs, given as (SHA-256, fingerprint), keep theirs.

    Pictures that a row shows together, versions of one photograph and near copies are in one split: that of
    our photograph among them, else "test" where a published test set has one, else drawn by the smallest
    hash. Rows that would tie two of our photographs of different splits together go, and so do rows of a
    published test set about a photograph we train with.
    """
    groups = _Groups()
    theirs = [row for row in rows if row.photograph is None]
    for row in theirs:
        names = _nodes(row)
        for other in names[1:]:
            groups.join(names[0], other)
    if theirs:
        _join_near(groups, pictures, photographs, theirs, config.keep_out_bits)
    ours: dict[str, set[Split]] = {}
    for row in rows:
        if row.photograph is not None:
            split = split_of(row.photograph, config)
            ours.setdefault(groups.root(f"photograph {row.photograph}"), set()).add(split)
    tested = {groups.root(_nodes(row)[0]) for row in theirs if row.test and _nodes(row)}
    smallest: dict[str, str] = {}
    for row in theirs:
        for name in row.pictures:
            root = groups.root(f"picture {name}")
            smallest[root] = min(smallest.get(root, name), name)
    placed: list[tuple[Candidate, Split]] = []
    for row in rows:
        if row.photograph is not None:
            placed.append((row, split_of(row.photograph, config)))
            continue
        nodes = _nodes(row)
        if not nodes:
            placed.append((row, split_of(row.row_id, config)))
            continue
        root = groups.root(nodes[0])
        held = ours.get(root, set())
        if len(held) > 1 or (row.test and held == {"train"}):
            counts[f"between splits: {row.source}"] += 1
            continue
        drawn: Split = "test" if root in tested else split_of(smallest[root], config)
        placed.append((row, next(iter(held), drawn)))
    return placed


def _nodes(row: Candidate) -> list[str]:
    names = [f"picture {name}" for name in (*row.pictures, *([row.origin] if row.origin else ()))]
    return [*names, *(f"group {name}" for name in row.groups)]


def _join_near(
    groups: _Groups,
    pictures: Mapping[str, Picture],
    photographs: Iterable[tuple[str, str]],
    rows: Sequence[Candidate],
    bits: int,
) -> None:
    """Join every picture with our photographs and the other pictures that look like it."""
    index = NearPictures(bits)
    for sha256, fingerprint in sorted(photographs):
        index.add(f"photograph {sha256}", fingerprint)
    used = {name for row in rows for name in (*row.pictures, *([row.origin] if row.origin else ()))}
    for sha256 in sorted(used):
        name, fingerprint = f"picture {sha256}", pictures[sha256].fingerprint
        for other in index.find(name, fingerprint):
            groups.join(name, other)
        index.add(name, fingerprint)
