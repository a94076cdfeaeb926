"""Two evaluations of one benchmark compared item by item: differences, intervals, tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from inference.evaluation import bootstrap, sampling
from inference.evaluation import summary as told
from inference.evaluation.interface import Measure, Statistic
from inference.evaluation.summary import Summary
from schemas.errors import InputError
from schemas.evaluations import Results, read_results
from schemas.records import Record

_READ = ("id", "group", "task")


class Compared(Record):
    """B minus A of one measure on one task; the tests are those of `bootstrap.Difference`, `p_holm` is `p`
    adjusted for all measures of the comparison. `ahead` is "a" or "b" where the interval leaves out 0 and
    p_holm is under 0.05.
    """

    task: str
    measure: str
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    test: str
    second: str | None
    second_p: float | None
    items: int
    groups: int
    ahead: Literal["a", "b"] | None


@dataclass(frozen=True)
class Comparison:
    """The two evaluations, what was compared on the items that both have, and how many only one has."""

    a: Summary
    b: Summary
    items: int
    only_a: int
    only_b: int
    compared: list[Compared]


def compare(
    folder_a: Path, folder_b: Path, measures: Sequence[Measure | Statistic], seed: int = 0
) -> Comparison:
    """Compare two folders of `evaluate`, on the items in both.

    Raises InputError for folders that aren't evaluations, for different benchmarks or data, and where no
    item is in both.
    """
    a, b = told.read_summary(folder_a), told.read_summary(folder_b)
    if (a.benchmark, a.data) != (b.benchmark, b.data):
        what = "benchmarks" if a.benchmark != b.benchmark else "data"
        raise InputError(
            f"{folder_a} and {folder_b}: evaluations of different {what}; compare like with like"
        )
    tables = [read_results(folder / told.RESULTS, _READ) for folder in (folder_a, folder_b)]
    by_id = [{row["id"]: row for row in table.rows} for table in tables]
    common = [name for name in by_id[0] if name in by_id[1]]
    if not common:
        raise InputError(f"{folder_a} and {folder_b}: no item is in both; compare runs of the same tasks")
    names = tuple(name for name in tables[0].numbers if name in tables[1].numbers)
    pair = [Results({}, tables[0].labels, names, [rows[name] for name in common]) for rows in by_id]
    found = [
        (task, measure, bootstrap.difference(measure, *_samples(pair, measure, places), seed))
        for measure in measures
        if set(measure.columns) <= set(names)
        for task, places in told.parts(pair[0], measure)
    ]
    found = [(task, measure, one) for task, measure, one in found if one.items]
    adjusted = bootstrap.holm([one.p for _, _, one in found])
    compared = [
        _compared(task, measure, one, p) for (task, measure, one), p in zip(found, adjusted, strict=True)
    ]
    only = [len(rows) - len(common) for rows in by_id]
    return Comparison(a, b, len(common), only[0], only[1], compared)


def _samples(
    pair: Sequence[Results], measure: Measure | Statistic, places: Sequence[int]
) -> tuple[sampling.Sample, sampling.Sample]:
    """Both sides' values on the items where both have all columns of the measure."""
    kept = [sampling.sample(measure, *told.chosen(results, measure, places))[1] for results in pair]
    both = np.asarray(places)[kept[0] & kept[1]]
    a, b = (sampling.sample(measure, *told.chosen(results, measure, both.tolist()))[0] for results in pair)
    return a, b


def _compared(
    task: str,
    measure: Measure | Statistic,
    one: bootstrap.Difference,
    adjusted: float,
) -> Compared:
    ahead: Literal["a", "b"] | None = None
    if adjusted < 0.05 and (one.low > 0 or one.high < 0):
        ahead = "b" if (one.low > 0) == (measure.better == "higher") else "a"

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return Compared(
        task=task, measure=measure.name, a=number(one.a), b=number(one.b),
        difference=number(one.difference), low=number(one.low), high=number(one.high), p=number(one.p),
        p_holm=number(adjusted), test=one.test, second=one.second, second_p=number(one.second_p),
        items=one.items, groups=one.groups, ahead=ahead,
    )  # fmt: skip


def table(comparison: Comparison) -> str:
    """A Markdown table of the comparison."""
    a, b = (s.model.replace("|", "/") for s in (comparison.a, comparison.b))
    lines = [
        f"| task | measure | A: {a} | B: {b} | B - A "
        "| p | p (Holm) | ahead | second test | items | pictures |",
        "|---" * 11 + "|",
    ]
    for one in comparison.compared:
        change = _number(one.difference, "+.3f")
        if one.low is not None and one.high is not None:
            change += f" [{one.low:+.3f}, {one.high:+.3f}]"
        ahead = "-" if one.ahead is None else one.ahead.upper()
        second = "-" if one.second is None else f"{one.second} {_number(one.second_p, '.4f')}"
        lines.append(
            f"| {one.task} | {one.measure} | {_number(one.a, '.3f')} | {_number(one.b, '.3f')} | {change} "
            f"| {_number(one.p, '.4f')} | {_number(one.p_holm, '.4f')} | {ahead} | {second} "
            f"| {one.items} | {one.groups} |"
        )
    return "\n".join(lines) + "\n"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
