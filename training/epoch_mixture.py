"""Mixtures: how many times an epoch shows each row, by weights and caps of its task and source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.errors import InputError
from schemas.hashing import rng
from schemas.row_group_reader import Labels

Counts = NDArray[np.int64]
MAX_WEIGHT = 100.0


@dataclass(frozen=True)
class Mixture:
    """Weights and caps of tasks and sources; those not listed have weight 1 and no cap.

    A weight is how many times an epoch shows a row: 2 shows each row twice, 0.5 half of them (the other half
    in the next epoch), 0 none. A row's weight is its task's times its source's. A cap is the maximum number
    of rows of that task or source in one epoch, after weighting; task caps apply first, then source caps.
    """

    tasks: Mapping[str, float] = field(default_factory=dict)
    sources: Mapping[str, float] = field(default_factory=dict)
    task_caps: Mapping[str, int] = field(default_factory=dict)
    source_caps: Mapping[str, int] = field(default_factory=dict)

    def check(self, tasks: Iterable[str], sources: Iterable[str]) -> None:
        """Raises InputError for a name that no row has, and for weights and caps out of range."""
        for what, given, known in (
            ("task", {*self.tasks, *self.task_caps}, tasks),
            ("source", {*self.sources, *self.source_caps}, sources),
        ):
            check_names(what, given, known)
        for name, weight in [*self.tasks.items(), *self.sources.items()]:
            if not 0 <= weight <= MAX_WEIGHT:
                raise InputError(f"weight {weight!r} of {name!r}: give a number from 0 to {MAX_WEIGHT:g}")
        for name, cap in [*self.task_caps.items(), *self.source_caps.items()]:
            if cap < 0:
                raise InputError(f"cap {cap!r} of {name!r}: give a number of rows, 0 or more")


def check_names(what: str, given: set[str], known: Iterable[str]) -> None:
    """Raises InputError when a name isn't one of the known ones."""
    unknown = sorted(given - set(known))
    if unknown:
        raise InputError(f"no row has the {what} {unknown[0]!r}; choose from {', '.join(sorted(known))}")


def count_showings(mixture: Mixture, labels: Labels, keep: Counts, seed: int, epoch: int) -> Counts:
    """How many times this epoch shows each row, (rows,) int64; 0 where `keep` is 0.

    The rows of one task and source (a cell) share the cell's showings evenly: each is shown the same number
    of times, and the remainder rotates through the cell's rows from epoch to epoch.
    """
    names = labels.names
    members_of = [np.flatnonzero((labels.cells == number) & (keep > 0)) for number in range(len(names))]
    targets = _cell_targets(mixture, names, np.array([len(members) for members in members_of]))
    times = np.zeros(len(keep), np.int64)
    for (task, source), members, target in zip(names, members_of, targets.tolist(), strict=True):
        if not target:
            continue
        members = rng(seed, "mixture", task, source).permutation(members)
        each, more = divmod(target, len(members))
        times[members] = each
        start = epoch * more % len(members)
        times[np.take(members, range(start, start + more), mode="wrap")] += 1
    return times


def _cell_targets(mixture: Mixture, names: Sequence[tuple[str, str]], sizes: Counts) -> Counts:
    """How many rows of each (task, source) an epoch shows."""
    weights = [mixture.tasks.get(task, 1.0) * mixture.sources.get(source, 1.0) for task, source in names]
    targets: Counts = np.rint(sizes * np.array(weights)).astype(np.int64)
    for place, caps in ((0, mixture.task_caps), (1, mixture.source_caps)):
        for name, cap in caps.items():
            members = np.flatnonzero([cell[place] == name for cell in names])
            targets[members] = _apply_cap(targets[members], cap)
    return targets


def _apply_cap(wanted: Counts, cap: int) -> Counts:
    """Scale the counts down to add up to at most `cap`, rounding up those with the largest remainders."""
    total = int(wanted.sum())
    if total <= cap:
        return wanted
    exact = wanted * (cap / total)
    shared: Counts = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - shared), kind="stable")
    shared[order[: cap - int(shared.sum())]] += 1
    return shared
