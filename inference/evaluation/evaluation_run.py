"""One evaluation: items asked in batches, replies kept, scored and summed up; its folder."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from inference.evaluation import summary as told
from inference.evaluation.benchmark_interface import Benchmark, Item, Model, Opened, Reply, Scorer, Values
from inference.evaluation.judge import Judge
from inference.evaluation.replies import KeptReplies
from inference.evaluation.summary import Summary
from schemas import __version__
from schemas.errors import InputError
from schemas.evaluations import Results, results_bytes
from schemas.hashing import content_key
from schemas.store import wrap_disk_errors, write_atomically

Step = Callable[[int, int, int], None]
"""Called after each batch: items that were asked, that stood already, and that aren't for the model."""


@dataclass(frozen=True)
class Task:
    """What is evaluated: a benchmark's opened data, a model, a judge beside the benchmark's own scores."""

    benchmark: Benchmark
    opened: Opened
    model: Model
    limit: int | None = None
    judge: Judge | None = None
    seed: int = 0

    @property
    def scorers(self) -> tuple[Scorer, ...]:
        """The benchmark, then the judge."""
        return (self.benchmark,) if self.judge is None else (self.benchmark, self.judge)

    def key(self) -> str:
        """What the replies depend on."""
        return content_key(self.benchmark.name, self.opened.identity, dict(self.model.settings))

    def folder(self, out: Path) -> Path:
        """Where the results of this run go: a folder of its own in `out`."""
        limited = "" if self.limit is None else f"-first-{self.limit}"
        name = re.sub(r"[^\w.-]+", "-", self.model.name).strip("-.") or "model"
        return out / f"{self.benchmark.name}{limited}-{name[-60:]}-{self.key()[:8]}"


@dataclass(frozen=True)
class Done:
    """A finished evaluation: its folder and summary."""

    folder: Path
    summary: Summary


def evaluate(task: Task, out: Path, step: Step | None = None) -> Done:
    """Ask what hasn't been answered yet, score everything, and write the folder of the results.

    The folder holds replies.jsonl, results.parquet, table.md and summary.json; each file appears whole, the
    summary last. Replies that failed (`error`) are scored as no answer, counted, and asked again by the next
    run. Raises InputError for data that isn't as published, StoreError for a full disk.
    """
    folder = task.folder(out)
    failed_before = Counter(task.judge.failures if task.judge else {})
    with KeptReplies(folder / told.REPLIES, task.key()) as kept:
        rows = _rows(task, kept, step)
    scorers = task.scorers
    results = Results(
        head={"benchmark": task.benchmark.name, "model": task.model.name, "key": task.key()},
        labels=task.opened.labels,
        numbers=tuple(dict.fromkeys(name for scorer in scorers for name in scorer.columns)),
        rows=rows,
    )
    measures = [measure for scorer in scorers for measure in scorer.measures]
    found = Summary(
        format=told.FORMAT,
        benchmark=task.benchmark.name,
        model=task.model.name,
        key=task.key(),
        data=task.opened.identity,
        limit=task.limit,
        seed=task.seed,
        items=len(rows),
        groups=len({row["group"] for row in rows}),
        settings=dict(task.model.settings),
        judge=None if task.judge is None else task.judge.settings,
        judge_failures=dict(Counter(task.judge.failures if task.judge else {}) - failed_before),
        errors=dict(Counter(row["error"] for row in rows if row["error"] is not None)),
        seconds=sum(row["seconds"] for row in rows),
        code_version=__version__,
        measured=told.measured(results, measures, task.seed),
    )
    _write(folder, results, found)
    return Done(folder, found)


def _write(folder: Path, results: Results, found: Summary) -> None:
    text = json.dumps(found.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    with wrap_disk_errors(folder):
        (folder / told.SUMMARY).unlink(missing_ok=True)
        write_atomically(folder / told.RESULTS, results_bytes(results), folder)
        write_atomically(folder / told.TABLE, told.page([found]).encode(), folder)
        write_atomically(folder / told.SUMMARY, text.encode(), folder)


def _rows(task: Task, kept: KeptReplies, step: Step | None) -> list[dict[str, Any]]:
    """The rows of the results, batch by batch; only one batch's pictures are in memory."""
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for batch in _batches(task):
        for item in batch:
            if item.id in seen:
                what = f"two items are called {item.id!r}; give data without doubles"
                raise InputError(f"{task.benchmark.name}: {what}")
            seen.add(item.id)
        items = [item for item in batch if task.model.can_answer(item)]
        new = [item for item in items if item.id not in kept.found]
        if new:
            kept.add([item.id for item in new], task.model.ask(new))
        answered = [kept.found[item.id] for item in items]
        scores = [scored.score(items, answered) for scored in task.scorers]
        for place, (item, reply) in enumerate(zip(items, answered, strict=True)):
            rows.append(_row(item, reply, [values[place] for values in scores]))
        if step is not None:
            step(len(new), len(items) - len(new), len(batch) - len(items))
    return rows


def _batches(task: Task) -> Iterator[list[Item]]:
    items = task.opened.items()
    while batch := list(islice(items, max(1, task.model.at_once))):
        yield batch


def _row(item: Item, reply: Reply, scores: Sequence[Values]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": item.id,
        "group": item.group,
        "task": item.task,
        **item.labels,
        "questions": list(item.questions),
        "answers": list(reply.texts),
        "reference": item.reference,
        "whole_image": reply.whole_image,
        "masks": [mask.model_dump() for mask in reply.masks],
        "mask_scores": list(reply.scores),
        "points": [list(point) for point in reply.points],
        "words": list(reply.words),
        "seconds": reply.seconds,
        "error": reply.error,
    }
    for values in scores:
        row.update({name: None if value is None else float(value) for name, value in values.items()})
    return row
