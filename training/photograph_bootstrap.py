"""Bootstrap over whole photographs, because the rows of one photograph aren't independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]
Interval = tuple[float, float, float]
"""A value and the 2.5th and 97.5th percentiles of its bootstrap; with one photograph all three are equal."""


def sum_by_photograph(values: ArrayLike, photographs: Sequence[str]) -> Numbers:
    """Sum the rows' (n, k) values by photograph, in the order of their names: (photographs, k)."""
    rows = np.asarray(values, np.float64)
    names, places = np.unique(np.asarray(photographs, dtype=str), return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, places, rows)
    return sums


def resample_totals(sums: Numbers, resamples: int, random: np.random.Generator) -> Numbers:
    """Totals of (photographs, k) sums: first of all photographs, then of each bootstrap resample.

    (1 + resamples, k); a resample draws as many photographs as there are, with replacement.
    """
    count = len(sums)
    draws = random.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.asarray(np.concatenate((np.ones((1, count)), draws)) @ sums)


def percentile_interval(values: Numbers) -> Interval:
    """The interval of a value and its resamples, (1 + resamples,), by percentiles (Efron 1979)."""
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return float(values[0]), float(low), float(high)
