"""The order of an epoch: a pure function of seed, epoch and reader, so any position in it can be found again.

Each epoch shuffles the row groups. The rows in that order are cut into one span per reader (rank and worker),
equal to within a row; a row group at a cut is read by both readers. A reader goes through its span in windows
of several row groups and shuffles the rows of a window. So whole row groups are read in sequence, memory
holds one window, and a count of rows is all that is needed to resume in the middle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.hashing import rng

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Piece:
    """Rows of one row group: its index in the list of row groups, and the rows' indices within it."""

    group: int
    rows: Numbers


@dataclass(frozen=True)
class Window:
    """Pieces whose rows are shuffled together: `order` indexes their rows, concatenated piece by piece."""

    pieces: list[Piece]
    order: Numbers


@dataclass(frozen=True)
class Epoch:
    """All showings of rows in one epoch; a unit is a row group's rows that come more than `turn` times."""

    starts: Numbers
    times: Numbers
    groups: Numbers
    turns: Numbers
    ends: Numbers
    seed: int
    number: int

    @property
    def rows(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """The showings from position `start` to `stop` of the epoch, cut by row groups."""
        first = int(np.searchsorted(self.ends, start, side="right"))
        for unit in range(first, len(self.ends)):
            begin = int(self.ends[unit - 1]) if unit else 0
            if max(begin, start) >= stop:
                return
            group = int(self.groups[unit])
            times = self.times[self.starts[group] : self.starts[group + 1]]
            rows = np.flatnonzero(times > self.turns[unit])
            yield Piece(group, rows[max(start - begin, 0) : stop - begin])


def lay_out_epoch(sizes: Sequence[int], times: Numbers | None, seed: int, number: int) -> Epoch:
    """Lay out an epoch over row groups of these sizes; `times` is how often each row comes (None: once)."""
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    if times is None:
        times = np.ones(int(starts[-1]), np.int64)
    most = int(times.max()) if len(times) else 0
    counts = np.zeros((most, len(sizes)), np.int64)
    for turn in range(most):
        counts[turn] = np.diff(np.concatenate(([0], np.cumsum(times > turn)))[starts])
    turns, groups = np.nonzero(counts)
    shuffled = rng(seed, "epoch", str(number)).permutation(len(groups))
    turns, groups = turns[shuffled], groups[shuffled]
    return Epoch(starts, times, groups, turns, np.cumsum(counts[turns, groups]), seed, number)


def reader_span(rows: int, rank: int, world_size: int, worker: int, workers: int) -> tuple[int, int]:
    """The positions (start, stop) that a rank's worker reads; consecutive spans cover all rows."""
    first, last = rows * rank // world_size, rows * (rank + 1) // world_size
    count = last - first
    return first + count * worker // workers, first + count * (worker + 1) // workers


def iterate_windows(
    epoch: Epoch, span: tuple[int, int], group_bytes: Sequence[int], max_rows: int, max_bytes: int
) -> Iterator[Window]:
    """The span's windows in order: as many row groups as stay within both bounds, at least one."""
    pieces: list[Piece] = []
    rows = size = 0
    for piece in epoch.pieces(*span):
        too_large = size + group_bytes[piece.group] > max_bytes or rows + len(piece.rows) > max_rows
        if pieces and too_large:
            yield _shuffle_window(epoch, span, pieces)
            pieces, rows, size = [], 0, 0
        pieces.append(piece)
        rows += len(piece.rows)
        size += group_bytes[piece.group]
    if pieces:
        yield _shuffle_window(epoch, span, pieces)


def _shuffle_window(epoch: Epoch, span: tuple[int, int], pieces: list[Piece]) -> Window:
    first = pieces[0]
    name = (epoch.number, *span, first.group, int(first.rows[0]))
    draw = rng(epoch.seed, "window", *map(str, name))
    return Window(pieces, draw.permutation(sum(len(piece.rows) for piece in pieces)))
