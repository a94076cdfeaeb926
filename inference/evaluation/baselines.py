"""Models to compare with: the truth itself, the center, the whole picture, chance, a mask found by a noun."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from inference.evaluation.benchmark_interface import Item, Reply
from inference.evaluation.metrics import inner_point
from inference.grounded_answer import Encoded, Segmented, Segmenter
from schemas import masks
from schemas.hashing import rng

Point = tuple[float, float]
ByNoun = Callable[[Encoded, str], Segmented | None]
"""Finds what a noun names in a picture that a segmenter looked at; None when it finds nothing."""
AT_ONCE = 32


@dataclass(frozen=True)
class Oracle:
    """Says the true answer and gives the true mask: every score must be the best one there is."""

    name: str = "oracle"
    at_once: int = AT_ONCE

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"baseline": self.name}

    def can_answer(self, item: Item) -> bool:
        return bool(item.reference or item.asks_where or item.ideal)

    def ask(self, items: Sequence[Item]) -> list[Reply]:
        return [_truth(item) for item in items]


def _truth(item: Item) -> Reply:
    texts = (item.reference,) if item.reference else ()
    if item.target is None or item.whole_image:
        return Reply(texts, whole_image=item.whole_image, words=item.ideal)
    points = (inner_point(item.target),) if masks.area(item.target) else ()
    return Reply(texts, (item.target,), (1.0,), points)


@dataclass(frozen=True)
class WholePicture:
    """Answers every question after a place with the whole picture."""

    name: str = "whole"
    at_once: int = AT_ONCE

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"baseline": self.name}

    def can_answer(self, item: Item) -> bool:
        return item.asks_where

    def ask(self, items: Sequence[Item]) -> list[Reply]:
        return [Reply(whole_image=True) for _ in items]


class Center:
    """The point in the middle of the picture, given to a segmenter."""

    name = "center"
    at_once = AT_ONCE

    def __init__(self, segmenter: Segmenter) -> None:
        self._look = Look(segmenter)
        self.settings: Mapping[str, Any] = {"baseline": self.name, "segmenter": segmenter.name}

    def can_answer(self, item: Item) -> bool:
        return item.asks_where

    def ask(self, items: Sequence[Item]) -> list[Reply]:
        return [self._look.reply(item, (0.5, 0.5)) for item in items]


class Chance:
    """A random point given to a segmenter; other questions get the true answer to another item of the task.

    `answered` are all items of the benchmark, whose answers are drawn from. Each draw is seeded by the item.
    """

    name = "random"
    at_once = AT_ONCE

    def __init__(self, segmenter: Segmenter, answered: Iterable[Item], seed: int = 0) -> None:
        self._look, self._seed = Look(segmenter), seed
        self.settings: Mapping[str, Any] = {
            "baseline": self.name, "segmenter": segmenter.name, "seed": seed,
        }  # fmt: skip
        self._said: dict[str, list[tuple[str, str]]] = {}
        for item in answered:
            if item.reference and not item.asks_where:
                self._said.setdefault(item.task, []).append((item.id, item.reference))

    def can_answer(self, item: Item) -> bool:
        return item.asks_where or bool(item.words) or item.task in self._said

    def ask(self, items: Sequence[Item]) -> list[Reply]:
        return [self._reply(item) for item in items]

    def _reply(self, item: Item) -> Reply:
        draw = rng(self._seed, "chance", item.id)
        if item.asks_where:
            x, y = draw.random(2)
            return self._look.reply(item, (float(x), float(y)))
        if item.words:
            return Reply(words=tuple(float(value) for value in draw.standard_normal(len(item.words))))
        others = [text for name, text in self._said[item.task] if name != item.id]
        return Reply((others[int(draw.integers(len(others)))],)) if others else Reply()


class Noun:
    """The mask of what the true region is called, found among the segmenter's regions: how far the right name
    alone gets.
    """

    name = "noun"
    at_once = AT_ONCE

    def __init__(self, segmenter: Segmenter, by_noun: ByNoun) -> None:
        self._look, self._find = Look(segmenter), by_noun
        self.settings: Mapping[str, Any] = {"baseline": self.name, "segmenter": segmenter.name}

    def can_answer(self, item: Item) -> bool:
        return item.asks_where and bool(item.noun)

    def ask(self, items: Sequence[Item]) -> list[Reply]:
        return [self._reply(item) for item in items]

    def _reply(self, item: Item) -> Reply:
        start = perf_counter()
        found = self._find(self._look.at(item), item.noun)
        seconds = perf_counter() - start
        if found is None:
            return Reply(seconds=seconds)
        return Reply(masks=(masks.encode(found.mask),), scores=(found.score,), seconds=seconds)


class Look:
    """A segmenter that looks once at the picture of items that come one after another."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._last: tuple[str, Encoded] | None = None

    def reply(self, item: Item, point: Point) -> Reply:
        """The reply of one point: its mask."""
        start = perf_counter()
        found = self.at(item).segment([np.array([point])])[0]
        return Reply(
            masks=(masks.encode(found.mask),), scores=(found.score,), points=(point,),
            seconds=perf_counter() - start,
        )  # fmt: skip

    def at(self, item: Item) -> Encoded:
        """The item's picture, looked at."""
        if self._last is not None and item.picture_key and self._last[0] == item.picture_key:
            return self._last[1]
        encoded = self._segmenter.encode(item.picture())
        self._last = item.picture_key, encoded
        return encoded
