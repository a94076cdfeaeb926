"""Intervals of ratios of sums by drawing whole photographs: the rows of one photograph aren't independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]
Interval = tuple[float, float, float]
"""A value and the 2.5 and 97.5% points of its bootstrap; three times the value with one photograph."""


def sums_by_photograph(values: ArrayLike, photographs: Sequence[str]) -> Numbers:
    """(n, k) values of rows summed by photograph, in the order of their names: (photographs, k)."""
    rows = np.asarray(values, np.float64)
    names, places = np.unique(np.asarray(photographs, dtype=str), return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, places, rows)
    return sums


def totals(sums: Numbers, resamples: int, random: np.random.Generator) -> Numbers:
    """Totals of (photographs, k) sums: as they are, then of photographs drawn with replacement.

    (1 + resamples, k); the drawn ones have as many photographs as there are.
    """
    count = len(sums)
    draws = random.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.asarray(np.concatenate((np.ones((1, count)), draws)) @ sums)


def interval(values: Numbers) -> Interval:
    """From a value and its resamples, (1 + resamples,), by percentiles (Efron 1979)."""
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return float(values[0]), float(low), float(high)
