"""Histograms in bounded memory and a measure of balance."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import entr


class Histogram:
    """Counts between fixed edges, one more than bins; a value outside them is counted in the nearest bin."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = tuple(edges)
        self.counts = [0] * (len(self.edges) - 1)

    @property
    def total(self) -> int:
        return sum(self.counts)

    def add(self, value: float) -> None:
        """Count a finite value. Raises ValueError for NaN and infinity."""
        if not math.isfinite(value):
            raise ValueError(f"a histogram can't count {value}")
        place = bisect.bisect_right(self.edges, value) - 1
        self.counts[min(max(place, 0), len(self.counts) - 1)] += 1

    def quantile(self, share: float) -> float | None:
        """The value below which `share` (0 to 1) of the counts lie, linear inside a bin; None when empty."""
        total = self.total
        if total == 0:
            return None
        wanted, passed = share * total, 0
        for k, count in enumerate(self.counts):
            if count and passed + count >= wanted:
                inside = (wanted - passed) / count
                return self.edges[k] + inside * (self.edges[k + 1] - self.edges[k])
            passed += count
        return self.edges[-1]

    def halved(self) -> Histogram:
        """The same counts in bins twice as wide; a last odd bin stays alone."""
        edges = self.edges[::2] if len(self.counts) % 2 == 0 else (*self.edges[::2], self.edges[-1])
        wide = Histogram(edges)
        for k, count in enumerate(self.counts):
            wide.counts[k // 2] += count
        return wide

    def trimmed(self) -> tuple[int, int]:
        """First and one past the last bin that holds anything; (0, 0) when empty."""
        filled = [k for k, count in enumerate(self.counts) if count]
        return (filled[0], filled[-1] + 1) if filled else (0, 0)


@dataclass(frozen=True)
class Balance:
    """How evenly counts spread over their groups.

    `chi_square` is Pearson's statistic against equal counts with `groups - 1` degrees of freedom; `imbalance`
    is sqrt(chi_square / (total * (groups - 1))), 0 for equal counts and 1 when one group holds everything
    (Cramer's V for one variable), which unlike chi_square doesn't grow with the size of the dataset;
    `evenness` is the entropy over its maximum (Pielou's J), 1 for equal counts. `largest` and `smallest` are
    (group, count).
    """

    what: str
    groups: int
    total: int
    chi_square: float
    imbalance: float
    evenness: float
    largest: tuple[str, int]
    smallest: tuple[str, int]


def balance(what: str, counts: Mapping[str, int]) -> Balance:
    """Balance of `counts`. No group, or no count at all, is perfectly balanced."""
    groups, total = len(counts), sum(counts.values())
    if groups == 0 or total == 0:
        return Balance(what, groups, total, 0.0, 0.0, 1.0, ("", 0), ("", 0))
    shares = np.array(list(counts.values())) / total
    chi_square = total * groups * float(((shares - 1 / groups) ** 2).sum())
    entropy = float(entr(shares).sum())
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return Balance(
        what=what,
        groups=groups,
        total=total,
        chi_square=chi_square,
        imbalance=math.sqrt(chi_square / (total * (groups - 1))) if groups > 1 else 0.0,
        evenness=entropy / math.log(groups) if groups > 1 else 1.0,
        largest=ordered[0],
        smallest=ordered[-1],
    )
