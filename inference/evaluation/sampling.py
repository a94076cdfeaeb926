"""Values of many items gathered by source image: sums that can be drawn again, and leaving one image out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.benchmark_interface import Measure, Numbers, Statistic

_CHUNK = 4_000_000


@dataclass(frozen=True)
class Sample:
    """What a measure is computed from.

    `values` (n, c) are finite; `groups` (n,) number the source images from 0, all of them used; `classes`
    (n,) number the classes of the measure's label, all 0 without one.
    """

    values: Numbers
    groups: NDArray[np.int64]
    classes: NDArray[np.int64]

    @property
    def group_count(self) -> int:
        return int(self.groups.max()) + 1 if len(self.groups) else 0


def sample(
    measure: Measure | Statistic,
    columns: dict[str, Numbers],
    groups: Sequence[str],
    labels: dict[str, Sequence[str]],
) -> tuple[Sample, NDArray[np.bool_]]:
    """The items that have all of the measure's columns (NaN: an item hasn't), and which of all they are."""
    values = np.stack([columns[name] for name in measure.columns], axis=1)
    kept = np.asarray(np.isfinite(values).all(axis=1), dtype=np.bool_)
    over = measure.over if isinstance(measure, Measure) else None
    places = np.flatnonzero(kept).tolist()
    names = labels[over] if over else groups
    classes = _numbered([names[i] for i in places]) if over else np.zeros(len(places), np.int64)
    return Sample(values[kept], _numbered([groups[i] for i in places]), classes), kept


def _numbered(names: Sequence[str]) -> NDArray[np.int64]:
    """Numbers from 0 for names, in the names' order."""
    order = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([order[name] for name in names], dtype=np.int64)


def group_sums(measure: Measure, found: Sample) -> Numbers:
    """The measure's terms summed by group and class: (groups, classes, k)."""
    terms = measure.terms(found.values)
    class_count = int(found.classes.max()) + 1
    sums = np.zeros((found.group_count, class_count, terms.shape[1]))
    np.add.at(sums, (found.groups, found.classes), terms)
    return sums


def from_sums(measure: Measure, sums: Numbers) -> Numbers:
    """The measure from sums (..., classes, k): the mean of the classes that have a value, NaN without one."""
    values = measure.value(sums)
    has = np.isfinite(values)
    count = has.sum(axis=-1)
    total = np.where(has, values, 0.0).sum(axis=-1)
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))


def value(measure: Measure | Statistic, found: Sample) -> float:
    """The measure over all items; NaN where it isn't defined."""
    if len(found.values) == 0:
        return float("nan")
    if isinstance(measure, Statistic):
        return measure.of(found.values)
    return float(from_sums(measure, group_sums(measure, found).sum(axis=0)))


def draw_counts(groups: int, resamples: int, random: np.random.Generator) -> Numbers:
    """How often each group is drawn with replacement in each resample: (resamples, groups)."""
    return random.multinomial(groups, np.full(groups, 1 / groups), size=resamples).astype(np.float64)


def resampled(
    measure: Measure | Statistic, samples: Sequence[Sample], resamples: int, random: np.random.Generator
) -> Numbers:
    """The measure on groups drawn with replacement, the same draws for every sample: (samples, resamples).

    The samples hold the same items in the same order.
    """
    groups = samples[0].group_count
    chunk = max(1, _CHUNK // max(len(samples[0].values), 1))
    parts = []
    for start in range(0, resamples, chunk):
        counts = draw_counts(groups, min(chunk, resamples - start), random)
        parts.append(_values_of(measure, samples, counts))
    return np.concatenate(parts, axis=1)


def without_each(measure: Measure | Statistic, found: Sample) -> Numbers:
    """The measure with one group left out after another: (groups,)."""
    if isinstance(measure, Measure):
        sums = group_sums(measure, found)
        return from_sums(measure, sums.sum(axis=0) - sums)
    counts = 1.0 - np.eye(found.group_count)
    return np.asarray(_values_of(measure, [found], counts)[0])


def _values_of(measure: Measure | Statistic, samples: Sequence[Sample], counts: Numbers) -> Numbers:
    """The measure on each sample with its groups counted (draws, groups) times: (samples, draws)."""
    if isinstance(measure, Measure):
        found = []
        for one in samples:
            sums = group_sums(measure, one)
            drawn: Numbers = counts @ sums.reshape(len(sums), -1)
            found.append(from_sums(measure, drawn.reshape(len(counts), *sums.shape[1:])))
        return np.asarray(np.stack(found), dtype=np.float64)
    distinct, place = np.unique(counts.astype(np.int64), axis=0, return_inverse=True)
    times = distinct[:, samples[0].groups]
    values = [[measure.of(np.repeat(one.values, row, axis=0)) for row in times] for one in samples]
    return np.array(values, dtype=np.float64)[:, place.reshape(-1)]
