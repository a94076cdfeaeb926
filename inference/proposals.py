"""The strategy `proposal`: which proposed region an answer's map and noun mean, and a point inside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.grounded_answer import Grounding, Region
from inference.likelihood import along
from inference.placed_noun import likeness
from schemas.masks import BoolMask

STRANGER = 0.1
"""What a label that shares no word with the noun leaves of a region's score; a full match leaves all."""


def choose_region(grounding: Grounding, regions: Sequence[Region]) -> Region | None:
    """The region with the highest `score * L(its centroid) * label match`, None when all are 0.

    L is the likelihood of the place (`inference.likelihood`) around the centers of the cells of 3x3, which
    by their centroids are what place words mean in the dataset (`schemas.masks.position`). Ties go to the
    larger region. Raises ValueError for masks of different sizes.
    """
    if not regions:
        return None
    if len({region.mask.shape for region in regions}) > 1:
        raise ValueError("the regions' masks differ in size")
    scores = [(_fit(grounding, region), int(region.mask.sum())) for region in regions]
    best = max(range(len(scores)), key=scores.__getitem__)
    return regions[best] if scores[best][0] > 0 else None


def _fit(grounding: Grounding, region: Region) -> float:
    if not region.mask.any():
        return 0.0
    match = 1.0
    if grounding.noun is not None and region.label is not None:
        match = STRANGER + (1 - STRANGER) * likeness(grounding.noun, region.label)
    likely = 1.0
    for at, axis in zip(centroid(region.mask), (grounding.horizontal, grounding.vertical), strict=True):
        likely *= float(along(np.array([at]), None if axis is None else axis.probabilities)[0])
    return region.score * likely * match


def centroid(mask: BoolMask) -> tuple[float, float]:
    """x and y of the centroid of a non-empty (H, W) mask, in unit coordinates."""
    found = []
    for axis, length in ((0, mask.shape[1]), (1, mask.shape[0])):
        counts = mask.sum(axis=axis, dtype=np.int64)
        found.append((float(counts @ np.arange(length)) / float(counts.sum()) + 0.5) / length)
    return found[0], found[1]
