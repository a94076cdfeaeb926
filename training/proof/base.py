"""The base of the proof: it knows words, colours and places, and nothing of distortions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.hashing import rng
from training.proof.rows import named
from training.sft.rows import UnfitRow, collated, encoded, marks_of


@dataclass(frozen=True)
class Formed:
    """What the training of a base did: its steps, and the mean loss of the last tenth of them."""

    steps: int
    loss: float


def base_rows(rows: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """What a base learns from: rows that ask where a named region of the picture is, and nothing else.

    It learns the form of the answer, to look for colours and textures and to say where they are; no question
    and no answer of its training is about a distortion.
    """
    random = rng(seed, "proof", "named")
    asked = (named(row, random) for row in rows)
    return [row for row in asked if row is not None]


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
