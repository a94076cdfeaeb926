"""The data ablation: runs that differ only in their sources, compared on the same held-out rows."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schemas.dataset import load_manifest, split_files
from schemas.errors import InputError
from schemas.markdown import markdown_table
from schemas.meter import SILENT, Progress
from schemas.records import OWN_SOURCE
from schemas.row_group_reader import row_labels
from schemas.store import write_atomically
from training.photograph_bootstrap import Interval
from training.sft.held_out import TaskSummary, held_out_rows, score_held_out, summarize_tasks
from training.sft.train_config import TrainOptions

RESULT = "ablation.json"
FIRST = "ours"
ALL = "all"
Evaluation = Callable[[Path], Mapping[str, float]]
"""A run's scores by name, from the run's folder, which holds `adapter`."""


@dataclass(frozen=True)
class Ablation:
    """The results, keyed by the runs' folder names; `sources` are those of a run's rows, as in the column."""

    sources: dict[str, tuple[str, ...]]
    steps: int
    rows_a_step: int
    train_rows: dict[str, int]
    summaries: dict[str, dict[str, TaskSummary]]
    evaluations: dict[str, dict[str, float]]
    left_out: dict[str, int]

    def as_json(self, options: TrainOptions) -> dict[str, Any]:
        """The contents of ablation.json: dataset, what the runs share, and each run's figures."""
        manifest = load_manifest(options.data.dataset.resolve())
        return {
            "dataset": {"name": manifest.name, "digest": manifest.digest},
            "options": options.model_dump(mode="json"),
            "steps": self.steps,
            "rows_a_step": self.rows_a_step,
            "held_out": {"split": options.data.eval_split, "left_out": self.left_out},
            "runs": {
                name: {
                    "sources": list(self.sources[name]),
                    "train_rows": self.train_rows[name],
                    "tasks": {task: asdict(found) for task, found in by_task.items()},
                    "evaluations": self.evaluations[name],
                }
                for name, by_task in self.summaries.items()
            },
        }


def list_sources(dataset: Path, split: str) -> dict[str, tuple[str, ...]]:
    """The sources of each run by its folder: our own alone, with each of the others, and with all of them.

    Raises InputError when the split has no rows of our own, or no others.
    """
    labels = row_labels(path for path, _ in split_files(dataset.resolve(), split))
    found = sorted({source for _, source in labels.names})
    others = [source for source in found if source != OWN_SOURCE]
    if OWN_SOURCE not in found or not others:
        raise InputError(
            f"{dataset}: the ablation compares {OWN_SOURCE} with other sources, but the split {split!r} has "
            f"only rows of {', '.join(found)}; merge another dataset into it (merge.external)"
        )
    runs: dict[str, tuple[str, ...]] = {FIRST: (OWN_SOURCE,)}
    runs |= {name: (OWN_SOURCE, name) for name in others}
    return runs if len(others) == 1 else runs | {ALL: (OWN_SOURCE, *others)}


def plan_runs(options: TrainOptions, processes: int = 1) -> tuple[dict[str, TrainOptions], dict[str, int]]:
    """The options of each run, equal but for sources and folder, and each run's number of rows.

    All take the same number of steps; `run.epochs` counts the rows of all sources. Raises InputError, before
    anything is trained, when the dataset has only one source or no held-out split.
    """
    from training.sft.feed import open_reader
    from training.sft.fine_tune import count_steps

    data = options.data
    if data.sources is not None:
        raise InputError("data.sources: the ablation chooses the sources of its runs; leave it out")
    if data.eval_split is None or data.eval_split == data.split:
        raise InputError("data.eval_split: the ablation compares on held-out rows; set their split")
    next(held_out_rows(data, data.eval_split), None)
    chosen = {
        name: data.model_copy(update={"sources": list(sources), "eval_split": None})
        for name, sources in list_sources(data.dataset, data.split).items()
    }
    rows = {name: open_reader(part, data.split, options.seed, 0, 1).rows for name, part in chosen.items()}
    steps = count_steps(options, max(rows.values()), processes)
    run = options.run.model_copy(update={"steps": steps, "epochs": None})
    runs = {
        name: options.model_copy(update={"out": options.out / name, "data": part, "run": run})
        for name, part in chosen.items()
    }
    return runs, rows


def run_ablation(
    options: TrainOptions, evaluations: Sequence[Evaluation] = (), progress: Progress = SILENT
) -> Ablation:
    """Train and compare the runs, each in `out/NAME`, and write `out/ablation.json`.

    Finished runs are reused and interrupted ones resume. Each of `evaluations` gets each run's folder, in the
    main process. Raises InputError.
    """
    from training.sft.fine_tune import train

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    first = os.environ.get("RANK", "0") == "0"
    runs, rows = plan_runs(options, processes)
    assert options.data.eval_split is not None
    scores = {}
    others: dict[str, dict[str, float]] = {}
    left_out: dict[str, int] = {}
    for name, one in runs.items():
        done = train(one, progress=progress)
        found = score_held_out(done.adapter, options, options.data.eval_split)
        if not found.scores:
            reasons = (
                ", ".join(f"{count} {reason}" for reason, count in found.left_out.items()) or "it is empty"
            )
            what = f"no row of the split {options.data.eval_split!r} can be scored: {reasons}"
            raise InputError(f"{options.data.dataset}: {what}; set data.eval_split")
        scores[name], left_out = found.scores, found.left_out
        others[name] = {}
        for evaluation in evaluations if first else ():
            others[name].update(evaluation(one.out))
        gc.collect()
    result = Ablation(
        sources={name: tuple(one.data.sources or ()) for name, one in runs.items()},
        steps=runs[FIRST].run.steps or 0,
        rows_a_step=options.run.batch * options.run.accumulation * processes,
        train_rows=rows,
        summaries={
            name: summarize_tasks(found, scores[FIRST], options.seed) for name, found in scores.items()
        },
        evaluations=others,
        left_out=left_out,
    )
    if first:
        text = json.dumps(result.as_json(options), indent=2) + "\n"
        write_atomically(options.out / RESULT, text.encode(), options.out)
    return result


def format_markdown(found: Ablation) -> str:
    """Markdown tables: rows seen, then loss, its difference from the first run's, and accuracy, by task."""
    titles = [name if name in (FIRST, ALL) else f"+ {name}" for name in found.summaries]
    seen = {name: found.steps * found.rows_a_step / rows for name, rows in found.train_rows.items()}
    parts = [
        f"{found.steps} steps of {found.rows_a_step} rows per run.",
        markdown_table(
            ["", *titles],
            [
                ["rows", *(f"{rows:,}" for rows in found.train_rows.values())],
                ["times each row was seen", *(f"{times:.2f}" for times in seen.values())],
            ],
        ),
    ]
    for title, field in (
        ("Loss, nats per token", "loss"),
        (f"Loss minus that of {titles[0]}", "loss_difference"),
        ("Token accuracy", "accuracy"),
    ):
        first = 1 if field == "loss_difference" else 0
        shown = list(found.summaries.values())[first:]
        lines = [
            [
                f"{task} ({summary.rows} rows, {summary.photographs} photographs)",
                *(_cell(getattr(by_task[task], field)) for by_task in shown),
            ]
            for task, summary in found.summaries[FIRST].items()
        ]
        parts.append(markdown_table([title, *titles[first:]], lines))
    names = list(dict.fromkeys(name for scores in found.evaluations.values() for name in scores))
    if names:
        lines = [
            [
                name,
                *(f"{scores[name]:.4f}" if name in scores else "" for scores in found.evaluations.values()),
            ]
            for name in names
        ]
        parts.append(markdown_table(["Evaluation", *titles], lines))
    return "\n\n".join(part.rstrip("\n") for part in parts)


def _cell(interval: Interval) -> str:
    value, low, high = interval
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
