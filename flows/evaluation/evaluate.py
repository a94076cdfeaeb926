"""Evaluations: benchmarks, models and baselines by name, run one after another, told as a table."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.evaluation import models_under_test as tested
from flows.evaluation.models_under_test import Setup
from inference.evaluation import compare, summary
from inference.evaluation.interface import Benchmark, Measure, Statistic, collect
from inference.evaluation.judge import Judge, judge_measures
from inference.evaluation.kadid10k import Kadid10k
from inference.evaluation.q_bench import QBenchA1
from inference.evaluation.q_ground import QGround
from inference.evaluation.run import Done, Task, evaluate
from inference.evaluation.spider import SpiderBenchmark
from schemas.errors import InputError
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


def benchmarks() -> dict[str, Benchmark]:
    """All benchmarks by name."""
    return collect([SpiderBenchmark(), QBenchA1(), QGround(), Kadid10k()])


def named(name: str) -> Benchmark:
    """The benchmark of a name. Raises InputError for an unknown one."""
    known = benchmarks()
    if name not in known:
        raise InputError(f"no benchmark {name!r}; there are {', '.join(known)}")
    return known[name]


def measures_of(name: str) -> tuple[Measure | Statistic, ...]:
    """The measures of a benchmark."""
    return named(name).measures


def run(wanted: Wanted, judge: Judge | None = None, progress: Progress = SILENT) -> list[Done]:
    """Evaluate a model, and with `baselines` what it is compared with. The model comes first. A judge scores
    what they say.

    Raises InputError for unknown names and data that isn't as published.
    """
    benchmark = named(wanted.benchmark)
    tested.check(wanted.model, wanted.setup, wanted.benchmark)
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


def print_done(done: list[Done], as_json: bool) -> None:
    """The table of all models, where the results are, and with `as_json` a line for programs."""
    print(summary.page([one.summary for one in done]), end="")
    for one in done:
        failed = sum(one.summary.errors.values())
        note = f" ({failed} of {one.summary.items} replies failed)" if failed else ""
        print(f"{one.summary.model}: {one.folder}{note}")
        for line in _about_judge(one.summary):
            print(line)
    if as_json:
        told = [{"folder": str(one.folder), **one.summary.model_dump(mode="json")} for one in done]
        print(json.dumps({"evaluations": told}))


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
    return (*measures_of(first.benchmark), *of_judge)


def print_comparison(folder_a: Path, folder_b: Path, seed: int, as_json: bool) -> None:
    """Compare two evaluations' folders."""
    first, second = summary.read_summary(folder_a), summary.read_summary(folder_b)
    found = compare.compare(folder_a, folder_b, _comparable(first, second), seed)
    print(compare.table(found), end="")
    if first.judge != second.judge:
        print("the judges' scores aren't compared: judge, rubrics or rounds differ")
    if found.only_a or found.only_b:
        print(f"{found.items} items compared; {found.only_a} only in A, {found.only_b} only in B")
    if as_json:
        told: dict[str, Any] = {
            "a": str(folder_a), "b": str(folder_b), "items": found.items, "only_a": found.only_a,
            "only_b": found.only_b, "compared": [one.model_dump(mode="json") for one in found.compared],
        }  # fmt: skip
        print(json.dumps(told))
