"""The random draws of one sample: its generator, its cards from the picture's decks, its attempt budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from distortions.plans.planned import SkipReason, Unplannable
from schemas.hashing import rng
from schemas.records import SampleKind

T = TypeVar("T")


class Draw:
    """The draws of sample number `number` of a kind on one picture.

    Decks balance a picture's samples: each deck is one shuffle per picture and kind; each sample starts at
    its own position in it, so that the first `n` samples take `n` different cards. Everything depends only on
    (seed, source, kind, number), not on other samples or the order in which they are made.
    """

    def __init__(self, seed: int, source_id: str, kind: SampleKind, number: int, attempts: int) -> None:
        self.sample_id = f"{source_id[:12]}-{kind}-{number}"
        self.random: np.random.Generator = rng(seed, "distort", source_id, self.sample_id)
        self.kind: SampleKind = kind
        self.number = number
        self._source_id = source_id
        self._seed = seed
        self._left = attempts

    def deck(self, name: str, cards: Sequence[T], step: int = 1) -> list[T]:
        """The picture's shuffle of `cards`, rotated to this sample's card; each sample gets `step` cards."""
        if not cards:
            return []
        random = rng(self._seed, "distort", self._source_id, "deck", self.kind, name)
        order = np.roll(random.permutation(len(cards)), -(self.number * step % len(cards)))
        return [cards[int(i)] for i in order]

    def shuffle(self, items: Sequence[T]) -> list[T]:
        """`items` in this sample's own random order."""
        return [items[int(i)] for i in self.random.permutation(len(items))]

    def between(self, low: float, high: float) -> float:
        """Uniform between the two; `low` when the interval is empty."""
        return low if high <= low else float(self.random.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.random.random() < probability)

    def spend(self, reason: SkipReason) -> None:
        """Count one attempt. Raises Unplannable(reason) when the sample has none left."""
        if self._left <= 0:
            raise Unplannable(reason, "the attempts this sample may make are used up")
        self._left -= 1
