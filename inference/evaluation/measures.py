"""Measures that benchmarks share: means, ratios of sums, IoU in its three forms, correlations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inference.evaluation import metrics
from inference.evaluation.benchmark_interface import Measure, Numbers, Statistic

Tasks = tuple[str, ...] | None


def _quotient(sums: Numbers) -> Numbers:
    """First sum over the second; NaN where there is nothing to divide by."""
    top, bottom = sums[..., 0], sums[..., 1]
    return np.divide(top, bottom, out=np.full_like(bottom, np.nan), where=bottom > 0)


def _with_one(values: Numbers) -> Numbers:
    return np.concatenate([values, np.ones((len(values), 1))], axis=1)


def mean(name: str, column: str, tasks: Tasks = None, better: str = "higher") -> Measure:
    """The mean of a column: accuracy, a rate, gIoU from each item's IoU."""
    return Measure(name, (column,), _with_one, _quotient, tasks=tasks, better=better)


def ratio(name: str, top: str, bottom: str, tasks: Tasks = None, better: str = "higher") -> Measure:
    """The sum of a column over that of another: micro precision and recall, cIoU."""
    return Measure(name, (top, bottom), lambda values: values, _quotient, tasks=tasks, better=better)


def iou_measures(tasks: Tasks = None, over: str | None = None) -> tuple[Measure, ...]:
    """gIoU and cIoU of the columns "iou", "intersection", "union", and class mIoU over a label's classes."""
    found = [mean("gIoU", "iou", tasks), ratio("cIoU", "intersection", "union", tasks)]
    if over is not None:
        columns = ("intersection", "union")
        found.append(Measure("class mIoU", columns, lambda values: values, _quotient, over, tasks))
    return tuple(found)


def _of_two(of: Callable[[Numbers, Numbers], float]) -> Callable[[Numbers], float]:
    return lambda values: of(values[:, 0], values[:, 1])


def correlations(predicted: str, truth: str, tasks: Tasks = None) -> tuple[Statistic, ...]:
    """SRCC, PLCC of the raw scores and PLCC after the fitted logistic."""
    return tuple(
        Statistic(name, (predicted, truth), _of_two(of), tasks)
        for name, of in (
            ("SRCC", metrics.srcc),
            ("PLCC", metrics.plcc),
            ("PLCC fitted", metrics.fitted_plcc),
        )
    )
