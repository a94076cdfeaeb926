"""A small benchmark of left and right, models that answer it, and a segmenter of halves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inference.evaluation import measures
from inference.evaluation.benchmark_interface import Item, Measure, Opened, Reply, Statistic, Values
from inference.evaluation.mask_scores import score_mask
from inference.grounded_answer import Picture, Region, Segmented
from inference.settled_points import Parts
from schemas import masks
from training.sft.tiny import save_tiny

SIZE = (20, 30)
COLUMNS = ("iou", "intersection", "union", "in_mask", "right", "no_answer")


def half(left: bool) -> np.ndarray:
    found = np.zeros(SIZE, np.bool_)
    found[:, : SIZE[1] // 2] = left
    found[:, SIZE[1] // 2 :] = not left
    return found


@dataclass(frozen=True)
class Halves:
    """Every picture is asked for a half, and for the half's name."""

    pictures: int = 12
    identity: str = "halves-1"
    name: str = "halves"
    needs_logits: bool = False
    judged: bool = False
    columns: tuple[str, ...] = COLUMNS
    measures: tuple[Measure | Statistic, ...] = (
        *measures.iou_measures(("where",), over="side"),
        measures.mean("point in mask", "in_mask", ("where",)),
        measures.mean("accuracy", "right", ("which",)),
        measures.mean("no answer", "no_answer", better="lower"),
    )

    def open(self, data: Path, limit: int | None) -> Opened:
        items = [item for n in range(self.pictures) for item in pair(n)][:limit]
        return Opened(lambda: iter(items), len(items), self.identity, ("side",))

    def score(self, items: Sequence[Item], replies: Sequence[Reply]) -> list[Values]:
        return [_score(item, reply) for item, reply in zip(items, replies, strict=True)]


def _score(item: Item, reply: Reply) -> Values:
    values: dict[str, float | None] = dict.fromkeys(COLUMNS)
    if item.asks_where:
        found = score_mask(item, reply)
        return {**values, **{name: found[name] for name in COLUMNS if name in found}}
    return {
        **values,
        "right": float(reply.text == item.reference),
        "no_answer": float(not reply.text),
    }


def pair(number: int) -> Iterator[Item]:
    left = number % 3 == 0
    side = "left" if left else "right"

    def picture() -> Picture:
        return np.full((*SIZE, 3), number, np.uint8)

    shared: dict[str, Any] = {"group": f"p{number}", "picture": picture, "picture_key": f"p{number}"}
    yield Item(
        id=f"{number}-where", task="where", questions=("Where?",), target=masks.encode(half(left)),
        reference=f"At the {side}.", labels={"side": side}, noun=side, **shared,
    )  # fmt: skip
    yield Item(
        id=f"{number}-which", task="which", questions=("Which?",), reference=side,
        labels={"side": side}, **shared,
    )  # fmt: skip


class Encoded:
    size = SIZE

    def segment(self, points: Sequence[np.ndarray]) -> list[Segmented]:
        return [Segmented(half(bool(p[:, 0].mean() < 0.5)), 0.9, 0) for p in points]

    def parts(self) -> Parts:
        return Parts.of(np.where(half(True), 0, 1).astype(np.int32))

    def regions(self) -> list[Region]:
        return [Region(half(left), 1.0) for left in (True, False)]


@dataclass
class HalfSegmenter:
    """The half that a point lies in."""

    name: str = "halves"
    needs_logits: bool = False
    judged: bool = False
    looked: int = 0

    def encode(self, image: Picture) -> Encoded:
        self.looked += 1
        return Encoded()


@dataclass
class Scripted:
    """Says "right" and points right; `break_after` items it raises, for `fails` it has no answer."""

    name: str = "scripted"
    break_after: int | None = None
    fails: frozenset[str] = frozenset()
    at_once: int = 5
    asked: list[str] = field(default_factory=list)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"scripted": True}

    def can_answer(self, item: Item) -> bool:
        return True

    def ask(self, items: Sequence[Item]) -> list[Reply]:
        if self.break_after is not None and len(self.asked) >= self.break_after:
            raise KeyboardInterrupt
        self.asked += [item.id for item in items]
        return [self._reply(item) for item in items]

    def _reply(self, item: Item) -> Reply:
        if item.id in self.fails:
            return Reply(error="timeout")
        if item.asks_where:
            return Reply(
                ("At the right.",), (masks.encode(half(False)),), (0.7,), ((0.75, 0.5),), seconds=1.0
            )
        return Reply(("right",), seconds=0.5)


def save_talkative(folder: Path, family: str = "qwen2.5-vl") -> None:
    """A tiny model that says something: its head isn't the embedding, which would repeat the last token."""
    import torch
    from transformers import AutoModelForImageTextToText

    save_tiny(family, folder)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32")
    head = torch.randn(model.lm_head.weight.shape, generator=torch.Generator().manual_seed(0))
    model.lm_head.weight = torch.nn.Parameter(head)
    model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = False
    model.save_pretrained(folder)
