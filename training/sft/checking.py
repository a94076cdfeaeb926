"""What `train --check` says before a run: tokens by task, what trains, memory, hours, rows."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

from schemas.errors import InputError
from training.sft.check_page import Shown, page
from training.sft.encode_rows import IGNORED, UnfitRow, encoded
from training.sft.fine_tune import Prepared, prepare
from training.sft.train_config import TrainOptions

if TYPE_CHECKING:
    from training.sft.estimates import Size

SAMPLE = 64
TIMED = 4
PAGE = "check.html"


def check(options: TrainOptions, sample: int = SAMPLE) -> list[str]:
    """Encode a sample of rows, write `out/check.html`, return lines for people. Raises InputError.

    On the device the run is for (a GPU, or the CPU with `run.device: cpu`) some rows are timed forward and
    backward. Elsewhere the model's weights aren't loaded: its configuration is enough for all estimates.
    """
    from training.sft.feed import reader_of

    prepared = prepare(options)
    reader = reader_of(options.data, options.data.split, options.seed, 0, 1)
    fitting: list[Shown] = []
    unfit: Counter[str] = Counter()
    for number, row in enumerate(reader):
        if number == sample:
            break
        try:
            found = encoded(row, prepared.processor, prepared.marks, options.run.max_tokens)
        except UnfitRow as error:
            unfit[error.reason] += 1
        else:
            fitting.append(Shown(row, found))
    reasons = ", ".join(f"{count} {reason}" for reason, count in unfit.items())
    if not fitting:
        raise InputError(f"{options.data.dataset}: none of the first rows can be trained on: {reasons}")
    cells = _by_task(fitting)
    lines = [f"left out: {reasons or 'none'}", *_of_model(options, prepared, fitting, reader.rows)]
    first = {shown.row["task"]: shown for shown in reversed(fitting)}
    options.out.mkdir(parents=True, exist_ok=True)
    place = options.out / PAGE
    shown = [first[task] for task in sorted(first)]
    place.write_text(page(options.name, cells, lines, shown, prepared.processor), encoding="utf-8")
    return [*_aligned(cells), *lines, str(place)]


def _by_task(fitting: list[Shown]) -> list[list[str]]:
    """A table with its head: by task its rows, mean tokens, longest row, mean of the tokens trained on."""
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


def _aligned(table: list[list[str]]) -> list[str]:
    return [f"{line[0]:<22} " + " ".join(f"{cell:>8}" for cell in line[1:]) for line in table]


def _of_model(options: TrainOptions, prepared: Prepared, fitting: list[Shown], rows: int) -> list[str]:
    """What trains, memory, and hours for the whole run on one device."""
    import torch

    from training.sft.estimates import hours_line, memory_line, size_of, timed_line
    from training.sft.groups import adapted, layout_of, table
    from training.sft.saving import empty_base, load_base

    measures = options.run.device == "cpu" or torch.cuda.is_available()
    name = prepared.base
    base = (
        load_base(options.model, name, options.model.dtype) if measures else empty_base(options.model, name)
    )
    layout = layout_of(base)
    model = adapted(base, options.lora, options.rates)
    sizes: list[Size] = [size_of(shown.found, base.config) for shown in fitting]
    run = options.run
    all_rows = run.steps * run.batch * run.accumulation if run.steps else math.ceil(rows * (run.epochs or 0))
    lines = [
        *table(model, layout, options.rates).splitlines(),
        memory_line(model, layout, sizes, options),
        hours_line(model, layout, sizes, options, all_rows),
    ]
    if measures:
        examples: list[dict[str, Any]] = [shown.found for shown in fitting[:TIMED]]
        lines.append(timed_line(model, examples, options, all_rows))
    return lines
