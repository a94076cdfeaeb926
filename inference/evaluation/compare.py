"""Two evaluations of one benchmark compared item by item: differences, intervals, tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from inference.evaluation import bootstrap, sampling
from inference.evaluation import summary as told
from inference.evaluation.benchmark_interface import Measure, Statistic
from inference.evaluation.summary import Summary
from schemas.errors import InputError
from schemas.evaluations import read_results
from schemas.markdown import markdown_table
from schemas.records import Record

if TYPE_CHECKING:
    from pandas import DataFrame

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
    items = [told.item_table(results) for results in tables]
    common = [some[some.index.isin(other.index)] for some, other in zip(items, reversed(items), strict=True)]
    if common[0].empty:
        raise InputError(f"{folder_a} and {folder_b}: no item is in both; compare runs of the same tasks")
    numbers = set(tables[0].numbers) & set(tables[1].numbers)
    found = []
    for measure in measures:
        if set(measure.columns) <= numbers:
            for task, some in told.parts(common[0], measure):
                one = bootstrap.difference(measure, *_samples(some, common[1].loc[some.index], measure), seed)
                if one.items:
                    found.append((task, measure, one))
    adjusted = bootstrap.holm([one.p for _, _, one in found])
    compared = [
        _compared(task, measure, one, p) for (task, measure, one), p in zip(found, adjusted, strict=True)
    ]
    only = [len(some) - len(common[0]) for some in items]
    return Comparison(a, b, len(common[0]), only[0], only[1], compared)


def _samples(
    a: DataFrame, b: DataFrame, measure: Measure | Statistic
) -> tuple[sampling.Sample, sampling.Sample]:
    """Both sides' values, in rows of the same items, where both have all columns of the measure."""
    kept = told.sample(a, measure)[1] & told.sample(b, measure)[1]
    return told.sample(a[kept], measure)[0], told.sample(b[kept], measure)[0]


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
    head = ["task", "measure", f"A: {a}", f"B: {b}", "B - A", "p", "p (Holm)", "ahead", "second test"]
    lines = []
    for one in comparison.compared:
        change = _number(one.difference, "+.3f")
        if one.low is not None and one.high is not None:
            change += f" [{one.low:+.3f}, {one.high:+.3f}]"
        ahead = "-" if one.ahead is None else one.ahead.upper()
        second = "-" if one.second is None else f"{one.second} {_number(one.second_p, '.4f')}"
        lines.append(
            [
                one.task, one.measure, _number(one.a, ".3f"), _number(one.b, ".3f"), change,
                _number(one.p, ".4f"), _number(one.p_holm, ".4f"), ahead, second, str(one.items),
                str(one.groups),
            ]
        )  # fmt: skip
    return markdown_table([*head, "items", "pictures"], lines)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
