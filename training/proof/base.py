"""The base of the proof: it finds patches and says where they are, and knows nothing of distortions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from schemas.hashing import rng
from schemas.masks import position
from training.proof.proof_rows import answer_at
from training.sft.encode_rows import UnfitRow, collated, encoded, marks_of

_SHARE = (0.05, 0.2)
"""A patch's share of the picture."""


@dataclass(frozen=True)
class Formed:
    """What the training of a base did: its steps, and the mean loss of the last tenth of them."""

    steps: int
    loss: float


def base_rows(rows: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """What a base learns from: each row's picture with a patch pasted on it, and where the patch is.

    It learns the form of the answer, to find what stands out and to say where that is; no question and no
    answer of its training is about a distortion, and no target of it is a region of the dataset.
    """
    random = rng(seed, "proof", "patches")
    return [patched(row, random) for row in rows]


def patched(row: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """A row with a rectangle of 5-20% of its picture in one random colour, or in stripes of two, 1-4 pixels
    wide, at a place drawn evenly; the answer has the form of `training.proof.proof_rows.pointed`.
    """
    pixels = np.array(row["images"][0])
    height, width = pixels.shape[:2]
    area, ratio = random.uniform(*_SHARE) * height * width, np.exp(random.uniform(-0.7, 0.7))
    tall = int(np.clip(round(np.sqrt(area * ratio)), 1, height))
    wide = int(np.clip(round(np.sqrt(area / ratio)), 1, width))
    y, x = int(random.integers(0, height - tall + 1)), int(random.integers(0, width - wide + 1))
    colours = random.integers(0, 256, (2, 3)).astype(np.uint8)
    kind, stripe = int(random.integers(0, 3)), int(random.integers(1, 5))
    down, across = np.mgrid[:tall, :wide] // stripe % 2
    inside = np.s_[y : y + tall, x : x + wide]
    pixels[inside] = colours[(np.zeros_like(down), down, across)[kind]]
    mask = np.zeros((height, width), dtype=bool)
    mask[inside] = True
    question = {"role": "user", "content": "Where is the patch?"}
    return {**row, "images": [Image.fromarray(pixels)], "messages": [question, answer_at(position(mask))]}


def form(
    model: Any, reader: Any, rows: Sequence[dict[str, Any]], steps: int, batch: int, rate: float, seed: int
) -> Formed:
    """Train all weights of a new model on `rows`, each with its picture."""
    import torch

    marks = marks_of(reader)
    examples = []
    for row in rows:
        try:
            examples.append(encoded(row, reader, marks, 4096))
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
        given = collated([examples[number] for number in chosen], reader.tokenizer.pad_token_id)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(**given).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        losses.append(float(loss.detach()))
    last = losses[-max(1, steps // 10) :]
    return Formed(steps, sum(last) / len(last))
