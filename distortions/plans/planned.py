"""What planning gives back: a sample with its picture and recipe, or a stated skip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from schemas.records import Sample, SampleKind

Picture = NDArray[np.uint8]

SkipReason = Literal[
    "no-regions",
    "no-large-region",
    "too-few-disjoint-regions",
    "no-allowed-pair",
    "not-visible",
    "margin-not-reached",
    "order-not-visible",
]


@dataclass(frozen=True)
class PlannedSample:
    """A planned sample: its truth, its picture ((H, W, 3) uint8 RGB), the recipe to make it again.

    `recipe` is what `distortions.plans.recipe.rebuild` reads: JSON values only.
    """

    sample: Sample
    picture: Picture
    recipe: dict[str, Any]


@dataclass(frozen=True)
class PlanSkip:
    """A sample that this picture can't give, and why; it is counted, it is no error."""

    sample_id: str
    source: str
    kind: SampleKind
    reason: SkipReason
    detail: str


class Unplannable(Exception):
    """Raised inside a planner when its picture can't give the sample; becomes a PlanSkip."""

    def __init__(self, reason: SkipReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: SkipReason = reason
        self.detail = detail
