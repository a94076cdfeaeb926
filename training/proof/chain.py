"""One seed of the proof: a base that can point, then stage one on the rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import InputError
from training.proof.base import base_rows, form
from training.proof.model import new_model, processor, save
from training.proof.proof_rows import pointed, rows_of
from training.sft.fine_tune import train
from training.sft.train_config import TrainOptions

_PICTURES = 1000
"""Training pictures whose patches give the first layer's filters."""


@dataclass(frozen=True)
class BaseSteps:
    """How long and how fast a base is trained on the form."""

    steps: int
    batch: int
    rate: float


@dataclass(frozen=True)
class Trained:
    """One seed's models: folders of the base and of the adapter that stage one made of it.

    `seconds` are processor seconds by part, `base_loss` is the base's loss at its end, `loss`
    stage one's at each logged step.
    """

    base: Path
    adapter: Path
    seconds: dict[str, float]
    base_loss: float
    loss: list[tuple[int, float]]


def train_seed(options: TrainOptions, base: BaseSteps) -> Trained:
    """Train a base and, from it, stage one by `options`, whose `model` is replaced by the base.

    `options.out` gets base, checkpoints and adapter.
    """
    import torch

    torch.set_num_threads(1)
    seed, folder = options.seed, options.out / "base"
    seconds: dict[str, float] = {}
    begun = time.process_time()
    rows = rows_of(options.data.dataset.resolve(), options.data.split)
    first = base_rows(rows, seed)
    reader = processor((m["content"] for row in [*rows, *first] for m in row["messages"]), _side(rows))
    model = new_model(reader, [np.asarray(row["images"][0]) for row in rows[:_PICTURES]], seed)
    formed = form(model, reader, first, base.steps, base.batch, base.rate, seed)
    save(model, reader, folder)
    begun = passed(seconds, "base", begun)

    named = options.model.model_copy(update={"name": str(folder), "tiny": None})
    done = train(options.model_copy(update={"model": named}), pointed)
    loss = [(int(entry["step"]), float(entry["loss"])) for entry in done.log if "loss" in entry]
    passed(seconds, "stage one", begun)
    return Trained(folder, done.adapter, seconds, formed.loss, loss)


def _side(rows: Sequence[dict[str, Any]]) -> int:
    sides = {side for row in rows for side in row["images"][0].size}
    if len(sides) != 1 or (side := sides.pop()) % 16:
        raise InputError(f"the proof's pictures are squares of one size, a multiple of 16, not {sides}")
    return int(side)


def passed(seconds: dict[str, float], part: str, begun: float) -> float:
    """Note the processor seconds since `begun` under a part's name; returns the time it is now."""
    now = time.process_time()
    seconds[part] = round(now - begun, 1)
    return now
