"""One seed of the proof: a base that knows the form, stage one on the rows, answers before and after."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import InputError
from training.proof.answering import Generated, answers
from training.proof.base import base_rows, form
from training.proof.model import new_model, processor, save
from training.proof.rows import pointed, rows_of
from training.sft.options import TrainOptions
from training.sft.run import train
from training.sft.saving import load_base, load_processor, load_trained

_PICTURES = 1000
"""Training pictures whose patches give the first layer's filters."""
_BATCH = 64


@dataclass(frozen=True)
class BaseSteps:
    """How long and how fast a base is trained on the form."""

    steps: int
    batch: int
    rate: float


@dataclass(frozen=True)
class Proved:
    """One seed's answers to the test rows, in their order, before and after stage one.

    `seconds` are processor seconds by part, `loss` stage one's loss at each logged step.
    """

    seed: int
    before: list[Generated]
    after: list[Generated]
    seconds: dict[str, float]
    loss: list[tuple[int, float]]


def prove(options: TrainOptions, base: BaseSteps, test: Path, split: str, most: int) -> Proved:
    """Train a base and, from it, stage one by `options`, whose `model` is replaced by the base.

    `options.out` gets base, checkpoints and adapter; `test` is the dataset of the photographs held back.
    """
    import torch

    torch.set_num_threads(1)
    seed, out = options.seed, options.out
    seconds: dict[str, float] = {}
    rows = rows_of(options.data.dataset.resolve(), options.data.split)
    held_back = rows_of(test.resolve(), split, most)
    folder = out / "base"

    begun = time.process_time()
    first = base_rows(rows, seed)
    reader = processor((m["content"] for row in [*rows, *first] for m in row["messages"]), _side(rows))
    model = new_model(reader, [np.asarray(row["images"][0]) for row in rows[:_PICTURES]], seed)
    formed = form(model, reader, first, base.steps, base.batch, base.rate, seed)
    save(model, reader, folder)
    print(f"seed {seed}: base, loss {formed.loss:.3f}", flush=True)
    begun = _passed(seconds, "base", begun)

    named = options.model.model_copy(update={"name": str(folder), "tiny": None})
    done = train(options.model_copy(update={"model": named}), pointed)
    loss = [(int(entry["step"]), float(entry["loss"])) for entry in done.log if "loss" in entry]
    begun = _passed(seconds, "stage one", begun)

    reader = load_processor(str(folder), None)
    plain = load_base(named, str(folder), "float32").eval()
    before = list(answers(plain, reader, held_back, _BATCH))
    after = list(answers(load_trained(done.adapter), reader, held_back, _BATCH))
    _passed(seconds, "answers", begun)
    return Proved(seed, before, after, seconds, loss)


def _side(rows: Sequence[dict[str, Any]]) -> int:
    sides = {side for row in rows for side in row["images"][0].size}
    if len(sides) != 1 or (side := sides.pop()) % 16:
        raise InputError(f"the proof's pictures are squares of one size, a multiple of 16, not {sides}")
    return int(side)


def _passed(seconds: dict[str, float], part: str, begun: float) -> float:
    now = time.process_time()
    seconds[part] = round(now - begun, 1)
    return now
