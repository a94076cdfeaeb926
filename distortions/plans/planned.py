"""The results of planning: a sample with its picture and recipe, or a skip with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from distortions.frame import Image
from schemas.records import Sample, SampleKind

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
    """A planned sample: its ground truth, its picture ((H, W, 3) uint8 RGB), the recipe to rebuild it.

    `recipe` is the input of `distortions.plans.recipe.rebuild`: JSON values only.
    """

    sample: Sample
    picture: Image
    recipe: dict[str, Any]


@dataclass(frozen=True)
class PlanSkip:
    """A sample that can't be made from this picture, and why; counted, not an error."""

    sample_id: str
    source: str
    kind: SampleKind
    reason: SkipReason
    detail: str


class Unplannable(Exception):
    """Raised inside a planner when the sample can't be made from its picture; becomes a PlanSkip."""

    def __init__(self, reason: SkipReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: SkipReason = reason
        self.detail = detail
