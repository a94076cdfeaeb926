"""The regions of a picture as the dataset's builder would take them: filtered, disjoint, named."""

from __future__ import annotations

from collections.abc import Sequence

from annotation.regions import propose
from annotation.regions.interface import Candidate
from inference.grounded_answer import Picture, Region
from schemas import masks
from schemas.regions_config import RegionsConfig

SETTINGS = RegionsConfig(proposer="coco", labeller="appearance")
"""Candidates that are given, named by the `appearance` labeller, under the builder's default rules."""


def named(image: Picture, candidates: Sequence[Candidate]) -> list[Region]:
    """Regions made of candidate masks at the picture's size, largest first; labels unique, may be none."""
    result = propose(image, SETTINGS, candidates)
    return [
        Region(masks.decode(region.mask), item.score, region.label)
        for region, item in zip(result.regions, result.candidates, strict=True)
    ]
