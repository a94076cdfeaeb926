"""Trains the proof's base model, which points at pasted patches and knows nothing about distortions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from schemas.hashing import rng
from schemas.masks import position
from training.proof.proof_rows import position_answer
from training.sft.encode_rows import UnfitRow, collate, encode_row, find_marks

_SHARE = (0.05, 0.2)
"""Minimum and maximum share of the picture that a patch covers."""


@dataclass(frozen=True)
class TrainedBase:
    """The training of a base: its steps, and the mean loss of the last tenth of them."""

    steps: int
    loss: float


def make_base_rows(rows: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """What a base learns from: each row's picture with a patch pasted on it, and where the patch is.

    It learns the form of the answer, to find what stands out, and to name its position; no question or
    answer it is trained on is about a distortion, and no target is a region of the dataset.
    """
    random = rng(seed, "proof", "patches")
    return [paste_patch(row, random) for row in rows]


def paste_patch(row: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """A row with a rectangle of 5-20% of its picture in one random color, or in stripes of two colors, 1-4
    pixels wide, at a uniformly drawn position; the answer has the form that
    `training.proof.proof_rows.to_pointing_row` gives.
    """
    pixels = np.array(row["images"][0])
    height, width = pixels.shape[:2]
    area, ratio = random.uniform(*_SHARE) * height * width, np.exp(random.uniform(-0.7, 0.7))
    tall = int(np.clip(round(np.sqrt(area * ratio)), 1, height))
    wide = int(np.clip(round(np.sqrt(area / ratio)), 1, width))
    y, x = int(random.integers(0, height - tall + 1)), int(random.integers(0, width - wide + 1))
    colors = random.integers(0, 256, (2, 3)).astype(np.uint8)
    kind, stripe = int(random.integers(0, 3)), int(random.integers(1, 5))
    down, across = np.mgrid[:tall, :wide] // stripe % 2
    inside = np.s_[y : y + tall, x : x + wide]
    pixels[inside] = colors[(np.zeros_like(down), down, across)[kind]]
    mask = np.zeros((height, width), dtype=bool)
    mask[inside] = True
    question = {"role": "user", "content": "Where is the patch?"}
    return {
        **row,
        "images": [Image.fromarray(pixels)],
        "messages": [question, position_answer(position(mask))],
    }


def train_base(
    model: Any, reader: Any, rows: Sequence[dict[str, Any]], steps: int, batch: int, rate: float, seed: int
) -> TrainedBase:
    """Train all weights of a new model on `rows`, each with its picture."""
    import torch

    marks = find_marks(reader)
    examples = []
    for row in rows:
        try:
            examples.append(encode_row(row, reader, marks, 4096))
        except UnfitRow:
            continue
    generator = rng(seed, "proof", "base")
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.05)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * min(1.0, step / steps))),
    )
    model.train()
    losses = []
    order: list[int] = []
    for _ in range(steps):
        if len(order) < batch:
            order = generator.permutation(len(examples)).tolist()
        chosen, order = order[:batch], order[batch:]
        given = collate([examples[number] for number in chosen], reader.tokenizer.pad_token_id)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(**given).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        losses.append(float(loss.detach()))
    last = losses[-max(1, steps // 10) :]
    return TrainedBase(steps, sum(last) / len(last))
