"""What an evaluation found: measures by task with their intervals, as JSON and as a Markdown table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from inference.evaluation import bootstrap, sampling
from inference.evaluation.benchmark_interface import Measure, Statistic
from schemas.dataset import first_problem
from schemas.errors import InputError
from schemas.evaluations import Results
from schemas.markdown import markdown_table
from schemas.records import Record

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT = 1
SUMMARY, RESULTS, TABLE, REPLIES = "summary.json", "results.parquet", "table.md", "replies.jsonl"
ALL = "all"
"""The task of measures over items of several tasks."""


class Measured(Record):
    """One measure on one task. `low`, `high`: the 95% interval, null where there is none (see `method`)."""

    task: str
    measure: str
    better: str
    value: float | None
    low: float | None
    high: float | None
    items: int
    groups: int
    method: str


class Summary(Record):
    """summary.json of an evaluation. `data` is the identity of what was asked, `settings` the model's;
    `errors` counts the replies that failed, by reason; `seconds` is the time that the model took for all.
    `judge`: the settings of the judge, if there was one, and `judge_failures` its useless replies by reason.
    """

    format: int
    benchmark: str
    model: str
    key: str
    data: str
    limit: int | None
    seed: int
    items: int
    groups: int
    settings: dict[str, Any]
    judge: dict[str, Any] | None
    judge_failures: dict[str, int]
    errors: dict[str, int]
    seconds: float
    code_version: str
    measured: list[Measured]


def read_summary(folder: Path) -> Summary:
    """The summary in an evaluation's folder. Raises InputError when it isn't one this version reads."""
    path = folder / SUMMARY
    try:
        found = Summary.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{folder}: no evaluation (no {SUMMARY}); give a folder of `evaluate`") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}; give a folder of `evaluate`") from error
    except ValidationError as error:
        raise InputError(f"{path}: not a summary: {first_problem(error)}; evaluate again") from error
    if found.format != FORMAT:
        raise InputError(f"{path}: format {found.format}, this version reads {FORMAT}")
    return found


def item_table(results: Results) -> DataFrame:
    """Group, task, labels and numbers of the items by their ids, in their order; NaN where there is none."""
    from pandas import DataFrame

    columns = ["id", "group", "task", *results.labels, *results.numbers]
    items = DataFrame(results.rows, columns=columns).set_index("id")
    return items.astype(dict.fromkeys(results.numbers, np.float64))


def parts(items: DataFrame, measure: Measure | Statistic) -> list[tuple[str, DataFrame]]:
    """The tasks that a measure is reported for, with their items; then all together if there are several."""
    of_tasks = items if measure.tasks is None else items[items["task"].isin(measure.tasks)]
    by_task = {str(task): some for task, some in of_tasks.groupby("task")}
    found = [(task, by_task[task]) for task in measure.tasks or sorted(by_task) if task in by_task]
    return [*found, (ALL, of_tasks)] if len(found) > 1 else found


def sample(items: DataFrame, measure: Measure | Statistic) -> tuple[sampling.Sample, NDArray[np.bool_]]:
    """`sampling.sample` of some items."""
    columns = {name: items[name].to_numpy(np.float64) for name in measure.columns}
    over = measure.over if isinstance(measure, Measure) else None
    labels: dict[str, Sequence[str]] = {over: items[over].fillna("").tolist()} if over else {}
    return sampling.sample(measure, columns, items["group"].tolist(), labels)


def measured(
    results: Results, measures: Sequence[Measure | Statistic], seed: int, resamples: int = bootstrap.RESAMPLES
) -> list[Measured]:
    """Every measure on every task that it is reported for and that has items with its columns."""
    items = item_table(results)
    found = []
    for measure in measures:
        if not set(measure.columns) <= set(results.numbers):
            continue
        for task, some in parts(items, measure):
            values, _ = sample(some, measure)
            if len(values.values):
                one = bootstrap.interval(measure, values, seed, resamples)
                found.append(
                    Measured(
                        task=task, measure=measure.name, better=measure.better, value=_finite(one.value),
                        low=_finite(one.low), high=_finite(one.high), items=one.items, groups=one.groups,
                        method=one.method,
                    )
                )  # fmt: skip
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def page(summaries: Sequence[Summary]) -> str:
    """The table below a line that says what was asked."""
    first = summaries[0]
    part = "" if first.limit is None else f", the first {first.limit}"
    about = f"`{first.benchmark}`, data `{first.data[:12]}`{part}, with 95% intervals over pictures."
    return f"{about}\n\n{table(summaries)}"


def table(summaries: Sequence[Summary]) -> str:
    """A Markdown table: a line for each task and measure, a column for each model, with intervals."""
    keys = dict.fromkeys((m.task, m.measure) for summary in summaries for m in summary.measured)
    better = {m.measure: m.better for summary in summaries for m in summary.measured}
    by_model = [{(m.task, m.measure): m for m in summary.measured} for summary in summaries]
    tasks = sorted(dict.fromkeys(task for task, _ in keys), key=lambda task: task == ALL)
    names = [summary.model.replace("|", "/") for summary in summaries]
    lines = []
    for task in tasks:
        for key in (key for key in keys if key[0] == task):
            cells = [_cell(found.get(key)) for found in by_model]
            first = next(found[key] for found in by_model if key in found)
            arrow = "" if better[key[1]] == "higher" else " (lower is better)"
            lines.append([task, f"{key[1]}{arrow}", *cells, str(first.items), str(first.groups)])
    return markdown_table(["task", "measure", *names, "items", "pictures"], lines)


def _cell(found: Measured | None) -> str:
    if found is None:
        return "-"
    if found.value is None:
        return "undefined"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
