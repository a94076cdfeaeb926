"""Trains one seed of the proof: a base that can point, then stage one on the rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from schemas.errors import InputError
from training.proof.base import make_base_rows, train_base
from training.proof.proof_rows import load_proof_rows, to_pointing_row
from training.proof.tiny_internvl import make_model, make_processor, save_model
from training.sft.fine_tune import train
from training.sft.train_config import TrainOptions

_PICTURES = 1000
"""Number of training pictures whose patches set the first layer's filters."""


@dataclass(frozen=True)
class BaseSchedule:
    """Length and pace of a base's training: optimizer steps, rows per step, peak learning rate."""

    steps: int
    batch: int
    rate: float


@dataclass(frozen=True)
class TrainedSeed:
    """One seed's models: the folders of the base and of the adapter that stage one trained on it.

    `seconds` are processor seconds by part, `base_loss` is the base's final loss, `loss` stage one's at each
    logged step.
    """

    base: Path
    adapter: Path
    seconds: dict[str, float]
    base_loss: float
    loss: list[tuple[int, float]]


def train_seed(options: TrainOptions, base: BaseSchedule) -> TrainedSeed:
    """Train a base and, starting from it, stage one with `options`, whose `model` is replaced by the base.

    Base, checkpoints and adapter go to `options.out`.
    """
    import torch

    torch.set_num_threads(1)
    seed, folder = options.seed, options.out / "base"
    seconds: dict[str, float] = {}
    started = time.process_time()
    rows = load_proof_rows(options.data.dataset.resolve(), options.data.split)
    first = make_base_rows(rows, seed)
    reader = make_processor(
        (m["content"] for row in [*rows, *first] for m in row["messages"]), _picture_side(rows)
    )
    model = make_model(reader, [np.asarray(row["images"][0]) for row in rows[:_PICTURES]], seed)
    formed = train_base(model, reader, first, base.steps, base.batch, base.rate, seed)
    save_model(model, reader, folder)
    started = note_seconds(seconds, "base", started)

    named = options.model.model_copy(update={"name": str(folder), "tiny": None})
    done = train(options.model_copy(update={"model": named}), to_pointing_row)
    loss = [(int(entry["step"]), float(entry["loss"])) for entry in done.log if "loss" in entry]
    note_seconds(seconds, "stage one", started)
    return TrainedSeed(folder, done.adapter, seconds, formed.loss, loss)


def _picture_side(rows: Sequence[dict[str, Any]]) -> int:
    sides = {side for row in rows for side in row["images"][0].size}
    if len(sides) != 1 or (side := sides.pop()) % 16:
        raise InputError(
            f"the proof's pictures must be squares of one size, a multiple of 16, not {sides}; build again"
        )
    return int(side)


def note_seconds(seconds: dict[str, float], part: str, started: float) -> float:
    """Record the processor seconds since `started` under a part's name; returns the present time."""
    now = time.process_time()
    seconds[part] = round(now - started, 1)
    return now
