"""Evaluations: benchmarks, models and baselines by name, run one after another, told as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.evaluation import models_under_test as tested
from flows.evaluation.models_under_test import Setup
from inference.evaluation import compare, summary
from inference.evaluation.benchmark_interface import Measure, Statistic
from inference.evaluation.benchmarks import benchmark_of
from inference.evaluation.evaluation_run import Done, Task, evaluate
from inference.evaluation.judge import Judge, judge_measures
from schemas.meter import SILENT, Progress


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    benchmark: str
    model: str
    data: Path
    out: Path
    setup: Setup
    limit: int | None = None
    baselines: bool = False


def run(wanted: Wanted, judge: Judge | None = None, progress: Progress = SILENT) -> list[Done]:
    """Evaluate a model, and with `baselines` what it is compared with. The model comes first. A judge scores
    what they say.

    Raises InputError for unknown names and data that isn't as published.
    """
    benchmark = benchmark_of(wanted.benchmark)
    tested.check(wanted.model, wanted.setup, benchmark)
    opened = benchmark.open(wanted.data, wanted.limit)
    done = []
    for name, setup in models_of(wanted):
        model = tested.named(name, setup, opened)
        task = Task(benchmark, opened, model, wanted.limit, judge, wanted.setup.seed)
        with progress(task.model.name[-24:], opened.count, 0, "items", "answered") as meter:
            done.append(evaluate(task, wanted.out, meter.step))
    return done


def models_of(wanted: Wanted) -> list[tuple[str, Setup]]:
    """The models and baselines to run, in order; an adapter's base without the adapter's temperatures."""
    found = [(wanted.model, wanted.setup)]
    if wanted.baselines:
        base = tested.untrained(wanted.model) if wanted.setup.server is None else None
        if base is not None:
            found.append((base[0], replace(wanted.setup, revision=base[1], calibration=None)))
        here = replace(wanted.setup, server=None)
        found += [(name, here) for name in tested.COMPARED if name != wanted.model]
    return found


def result_lines(done: list[Done]) -> list[str]:
    """The table of all models, and where the results are."""
    lines = summary.page([one.summary for one in done]).splitlines()
    for one in done:
        failed = sum(one.summary.errors.values())
        note = f" ({failed} of {one.summary.items} replies failed)" if failed else ""
        lines.append(f"{one.summary.model}: {one.folder}{note}")
        lines += _about_judge(one.summary)
    return lines


def _about_judge(found: summary.Summary) -> list[str]:
    """What went wrong with the judge, in a line."""
    if not found.judge_failures or found.judge is None:
        return []
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(found.judge_failures.items()))
    return [f"  judge {found.judge['model']}: useless replies and calls without one: {counts}"]


def _comparable(first: summary.Summary, second: summary.Summary) -> tuple[Measure | Statistic, ...]:
    """The measures of both evaluations: the judge's only where the same judge scored both."""
    judged = first.judge if first.judge == second.judge else None
    rubrics: dict[str, dict[str, Any]] = judged["rubrics"] if judged else {}
    of_judge = (m for name, told in rubrics.items() for m in judge_measures(name, told["tasks"]))
    return (*benchmark_of(first.benchmark).measures, *of_judge)


@dataclass(frozen=True)
class Compared:
    """Two results set against each other, and whether both were scored by the same judge, if any."""

    found: compare.Comparison
    same_judge: bool


def compare_results(folder_a: Path, folder_b: Path, seed: int) -> Compared:
    """Compare two evaluations' folders. Raises InputError."""
    first, second = summary.read_summary(folder_a), summary.read_summary(folder_b)
    found = compare.compare(folder_a, folder_b, _comparable(first, second), seed)
    return Compared(found, first.judge == second.judge)


def comparison_lines(compared: Compared) -> list[str]:
    """The table of a comparison, and what it leaves out."""
    found = compared.found
    lines = compare.table(found).splitlines()
    if not compared.same_judge:
        lines.append("the judges' scores aren't compared: judge, rubrics or rounds differ")
    if found.only_a or found.only_b:
        lines.append(f"{found.items} items compared; {found.only_a} only in A, {found.only_b} only in B")
    return lines
