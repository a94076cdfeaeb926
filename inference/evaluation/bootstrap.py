"""Confidence intervals and paired tests that draw source images: questions on one picture go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.evaluation import sampling
from inference.evaluation.benchmark_interface import Measure, Numbers, Statistic
from inference.evaluation.sampling import Sample
from schemas.hashing import rng

RESAMPLES = 2000
LEVEL = 0.95
PERMUTATIONS = 9999
_MANY_GROUPS = 500
_ALL_SWAPS = 13
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A measure's value with its confidence interval; `method` says how ("BCa", "percentile"), or that there
    is none ("one group", "undefined"): then low and high are NaN.
    """

    value: float
    low: float
    high: float
    items: int
    groups: int
    method: str


def interval(measure: Measure | Statistic, found: Sample, seed: int, resamples: int = RESAMPLES) -> Interval:
    """The 95% interval of a measure over source images drawn with replacement.

    Bias-corrected and accelerated (Efron 1987), as scipy.stats.bootstrap does it but over groups; plain
    percentiles for a statistic over more than 500 groups, where leaving each out takes too long. Resamples on
    which the measure isn't defined are left out.
    """
    value, groups, items = sampling.value(measure, found), found.group_count, len(found.values)
    if not np.isfinite(value) or groups < 2:
        why = "one group" if np.isfinite(value) else "undefined"
        return Interval(value, float("nan"), float("nan"), items, groups, why)
    random = rng(seed, "bootstrap", measure.name)
    drawn = sampling.resampled(measure, [found], resamples, random)[0]
    drawn = drawn[np.isfinite(drawn)]
    if isinstance(measure, Statistic) and groups > _MANY_GROUPS:
        ends, method = ((1 - LEVEL) / 2, (1 + LEVEL) / 2), "percentile"
    else:
        ends, method = _bca_ends(value, drawn, sampling.without_each(measure, found)), "BCa"
    low, high = np.quantile(drawn, ends)
    return Interval(value, float(low), float(high), items, groups, method)


def _bca_ends(value: float, drawn: Numbers, without: Numbers) -> tuple[float, float]:
    """The quantiles of the resamples at which the interval ends; plain ones where nothing varies."""
    from scipy.special import ndtr, ndtri

    without = without[np.isfinite(without)]
    below = float(((drawn < value).sum() + (drawn <= value).sum()) / (2 * len(drawn)))
    distance = without.mean() - without
    spread = float((distance**2).sum())
    plain = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    if not 0 < below < 1 or spread == 0:
        return plain
    bias = ndtri(below)
    skew = float((distance**3).sum()) / (6 * spread**1.5)
    z = bias + ndtri(np.array(plain))
    low, high = ndtr(bias + z / (1 - skew * z))
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """B minus A of one measure, on the same items.

    `low`, `high`: 95% percentile interval of the difference, the same images drawn for both. `p`: two-sided;
    `test` says of what: "permutation" swaps A and B image by image (in every way up to 13 images, else 9,999
    times), "bootstrap" (statistics, whose scores have no common scale to swap) takes the draws beyond 0.
    `second`, `second_p`: another test beside it, "McNemar" (exact, for columns of 0 and 1; it takes items for
    independent) or "Wilcoxon" (on the images' mean differences), or None where neither fits.
    """

    a: float
    b: float
    low: float
    high: float
    p: float
    test: str
    second: str | None
    second_p: float
    items: int
    groups: int

    @property
    def difference(self) -> float:
        return self.b - self.a


def difference(
    measure: Measure | Statistic, a: Sample, b: Sample, seed: int, resamples: int = RESAMPLES
) -> Difference:
    """Compare two models on one measure. `a` and `b` hold the same items in the same order."""
    first, second = sampling.value(measure, a), sampling.value(measure, b)
    groups, items = a.group_count, len(a.values)
    nothing = float("nan")
    if groups < 2 or not np.isfinite(first + second):
        return Difference(first, second, nothing, nothing, nothing, "none", None, nothing, items, groups)
    drawn = sampling.resampled(measure, [a, b], resamples, rng(seed, "paired", measure.name))
    change = drawn[1] - drawn[0]
    change = change[np.isfinite(change)]
    low, high = np.quantile(change, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    if isinstance(measure, Measure):
        p, test = _permutation(measure, a, b, rng(seed, "permutation", measure.name)), "permutation"
        name, other = _second(measure, a, b)
    else:
        beyond = min(int((change <= 0).sum()), int((change >= 0).sum()))
        p, test = min(1.0, 2 * (beyond + 1) / (len(change) + 1)), "bootstrap"
        name, other = None, nothing
    return Difference(first, second, float(low), float(high), p, test, name, other, items, groups)


def _permutation(measure: Measure, a: Sample, b: Sample, random: np.random.Generator) -> float:
    """p of the two-sided test that swaps the models' results image by image. A swap after which the measure
    isn't defined counts against a difference.
    """
    sums = [sampling.group_sums(measure, one) for one in (a, b)]
    flat = [one.reshape(len(one), -1) for one in sums]
    observed = abs(sampling.value(measure, b) - sampling.value(measure, a))
    total, change = flat[0].sum(axis=0) + flat[1].sum(axis=0), flat[1] - flat[0]
    few = len(change) <= _ALL_SWAPS
    count = 2 ** len(change) if few else PERMUTATIONS
    step = count if few else max(1, _CHUNK // len(change))
    beyond = 0
    for start in range(0, count, step):
        some = (min(step, count - start), len(change))
        swapped = _every_swap(len(change)) if few else random.random(some) < 0.5
        first = flat[0].sum(axis=0) + swapped.astype(np.float64) @ change
        shape = (len(swapped), *sums[0].shape[1:])
        values = [sampling.from_sums(measure, part.reshape(shape)) for part in (first, total - first)]
        within = np.abs(values[1] - values[0]) < observed - 1e-12
        beyond += int((~within).sum())
    return beyond / count if few else (beyond + 1) / (count + 1)


def _every_swap(groups: int) -> NDArray[np.bool_]:
    """All ways to swap some of the groups: (2 ** groups, groups)."""
    return np.asarray((np.arange(2**groups)[:, None] >> np.arange(groups)) % 2 == 1)


def _second(measure: Measure, a: Sample, b: Sample) -> tuple[str | None, float]:
    """McNemar's or Wilcoxon's test, where the measure is the mean of one column."""
    from scipy.stats import binomtest, wilcoxon

    if len(measure.columns) != 1 or measure.over is not None:
        return None, float("nan")
    x, y = a.values[:, 0], b.values[:, 0]
    if np.isin(x, (0.0, 1.0)).all() and np.isin(y, (0.0, 1.0)).all():
        only_a, only_b = int((x > y).sum()), int((y > x).sum())
        changed = only_a + only_b
        return "McNemar", float(binomtest(only_b, changed).pvalue) if changed else 1.0
    count = np.bincount(a.groups)
    means = (np.bincount(a.groups, y) - np.bincount(a.groups, x)) / count
    return "Wilcoxon", float(wilcoxon(means).pvalue) if np.any(means != 0) else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """p values adjusted for their number (Holm 1979), in the order given; NaN stays and doesn't count."""
    tested = sorted((p, place) for place, p in enumerate(values) if np.isfinite(p))
    adjusted = [float("nan")] * len(values)
    highest = 0.0
    for rank, (p, place) in enumerate(tested):
        highest = max(highest, min(1.0, p * (len(tested) - rank)))
        adjusted[place] = highest
    return adjusted
