"""What `train --check` reports before a run: tokens by task, what trains, memory, hours, rows."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

from schemas.errors import InputError
from training.sft.check_page import CheckedRow, render_page
from training.sft.encode_rows import IGNORED, UnfitRow, encode_row
from training.sft.fine_tune import Prepared, prepare
from training.sft.train_config import TrainOptions

if TYPE_CHECKING:
    from training.sft.estimates import RowSize

SAMPLE = 64
TIMED = 4
PAGE = "check.html"


def check_run(options: TrainOptions, sample: int = SAMPLE) -> list[str]:
    """Encode a sample of rows, write `out/check.html`, and return the report's lines. Raises InputError.

    On a device that can run the training (a GPU, or the CPU with `run.device: cpu`) the forward and backward
    passes of some rows are timed. Elsewhere the model's weights aren't loaded: its configuration is enough
    for all estimates.
    """
    from training.sft.feed import open_reader

    prepared = prepare(options)
    reader = open_reader(options.data, options.data.split, options.seed, 0, 1)
    fitting: list[CheckedRow] = []
    unfit: Counter[str] = Counter()
    for number, row in enumerate(reader):
        if number == sample:
            break
        try:
            found = encode_row(row, prepared.processor, prepared.marks, options.run.max_tokens)
        except UnfitRow as error:
            unfit[error.reason] += 1
        else:
            fitting.append(CheckedRow(row, found))
    reasons = ", ".join(f"{count} {reason}" for reason, count in unfit.items())
    if not fitting:
        raise InputError(
            f"{options.data.dataset}: none of the first {sample} rows can be trained on: {reasons}"
        )
    cells = _task_table(fitting)
    lines = [f"left out: {reasons or 'none'}", *_model_lines(options, prepared, fitting, reader.rows)]
    first = {shown.row["task"]: shown for shown in reversed(fitting)}
    options.out.mkdir(parents=True, exist_ok=True)
    place = options.out / PAGE
    shown = [first[task] for task in sorted(first)]
    place.write_text(render_page(options.name, cells, lines, shown, prepared.processor), encoding="utf-8")
    return [*_align_columns(cells), *lines, str(place)]


def _task_table(fitting: list[CheckedRow]) -> list[list[str]]:
    """A table with its header: rows, mean tokens, longest row and mean trained tokens of each task."""
    tasks: dict[str, list[tuple[int, int]]] = {}
    for shown in fitting:
        trained = int((shown.found["labels"] != IGNORED).sum())
        tasks.setdefault(shown.row["task"], []).append((shown.found["input_ids"].shape[1], trained))
    table = [["task", "rows", "tokens", "longest", "trained"]]
    for task, pairs in sorted(tasks.items()):
        tokens, trained_tokens = zip(*pairs, strict=True)
        means = (f"{statistics.mean(tokens):.0f}", str(max(tokens)), f"{statistics.mean(trained_tokens):.0f}")
        table.append([task, str(len(pairs)), *means])
    return table


def _align_columns(table: list[list[str]]) -> list[str]:
    return [f"{line[0]:<22} " + " ".join(f"{cell:>8}" for cell in line[1:]) for line in table]


def _model_lines(
    options: TrainOptions, prepared: Prepared, fitting: list[CheckedRow], rows: int
) -> list[str]:
    """What trains, memory, and hours of the entire run on one device."""
    import torch

    from training.sft.estimates import hours_line, measure_row, memory_line, timed_line
    from training.sft.groups import add_adapters, find_layout, parameter_table
    from training.sft.saving import empty_base, load_base

    measures = options.run.device == "cpu" or torch.cuda.is_available()
    name = prepared.base
    base = (
        load_base(options.model, name, options.model.dtype) if measures else empty_base(options.model, name)
    )
    layout = find_layout(base)
    model = add_adapters(base, options.lora, options.rates)
    sizes: list[RowSize] = [measure_row(shown.found, base.config) for shown in fitting]
    run = options.run
    all_rows = run.steps * run.batch * run.accumulation if run.steps else math.ceil(rows * (run.epochs or 0))
    lines = [
        *parameter_table(model, layout, options.rates).splitlines(),
        memory_line(model, layout, sizes, options),
        hours_line(model, layout, sizes, options, all_rows),
    ]
    if measures:
        examples: list[dict[str, Any]] = [shown.found for shown in fitting[:TIMED]]
        lines.append(timed_line(model, examples, options, all_rows))
    return lines
