"""What an evaluation found: measures by task with their intervals, as JSON and as a Markdown table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from inference.evaluation import bootstrap, sampling
from inference.evaluation.interface import Measure, Numbers, Statistic
from schemas.dataset import first_problem
from schemas.errors import InputError
from schemas.evaluations import Results
from schemas.records import Record

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


def parts(results: Results, measure: Measure | Statistic) -> list[tuple[str, list[int]]]:
    """The tasks that a measure is reported for, with their rows; then all together if there are several."""
    tasks: dict[str, list[int]] = {}
    for place, row in enumerate(results.rows):
        if measure.tasks is None or row["task"] in measure.tasks:
            tasks.setdefault(row["task"], []).append(place)
    order = measure.tasks or sorted(tasks)
    found = [(task, tasks[task]) for task in order if task in tasks]
    if len(found) > 1:
        found.append((ALL, sorted(place for places in tasks.values() for place in places)))
    return found


def chosen(
    results: Results, measure: Measure | Statistic, places: Sequence[int]
) -> tuple[dict[str, Numbers], list[str], dict[str, Sequence[str]]]:
    """The columns, groups and labels of some rows, as `sampling.sample` takes them."""
    rows = [results.rows[place] for place in places]
    columns = {
        name: np.array([math.nan if row[name] is None else row[name] for row in rows], np.float64)
        for name in measure.columns
    }
    labels: dict[str, Sequence[str]] = {name: [row[name] or "" for row in rows] for name in results.labels}
    return columns, [row["group"] for row in rows], labels


def measured(
    results: Results, measures: Sequence[Measure | Statistic], seed: int, resamples: int = bootstrap.RESAMPLES
) -> list[Measured]:
    """Every measure on every task that it is reported for and that has items with its columns."""
    found = []
    for measure in measures:
        if not set(measure.columns) <= set(results.numbers):
            continue
        for task, places in parts(results, measure):
            sample, _ = sampling.sample(measure, *chosen(results, measure, places))
            if len(sample.values):
                one = bootstrap.interval(measure, sample, seed, resamples)
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
    names = " | ".join(summary.model.replace("|", "/") for summary in summaries)
    lines = [f"| task | measure | {names} | items | pictures |", "|---" * (4 + len(summaries)) + "|"]
    for task in tasks:
        for key in (key for key in keys if key[0] == task):
            cells = [_cell(found.get(key)) for found in by_model]
            first = next(found[key] for found in by_model if key in found)
            arrow = "" if better[key[1]] == "higher" else " (lower is better)"
            counts = f"{first.items} | {first.groups}"
            lines.append(f"| {task} | {key[1]}{arrow} | {' | '.join(cells)} | {counts} |")
    return "\n".join(lines) + "\n"


def _cell(found: Measured | None) -> str:
    if found is None:
        return "-"
    if found.value is None:
        return "undefined"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
