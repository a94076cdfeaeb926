"""The strategy `proposal`: which proposed region an answer's map and noun mean, and a point inside it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.answers import Region
from inference.nouns import likeness
from schemas.masks import BoolMask

STRANGER = 0.2
"""What a label that shares no word with the noun leaves of a region's score; a full match leaves all."""


def choose_region(map_: NDArray[np.float64], noun: str | None, regions: Sequence[Region]) -> Region | None:
    """The region with the highest `score * mean(P in mask) * coverage * label match`, None when all are 0.

    P is the (3, 3) map spread over the picture (`spread_map`); its mean counts relative to its highest pixel,
    coverage is the share of it inside the mask. Raises ValueError for masks of different sizes.
    """
    if not regions:
        return None
    if len({region.mask.shape for region in regions}) > 1:
        raise ValueError("the regions' masks differ in size")
    spread = spread_map(map_, regions[0].mask.shape)
    scores = [_fit(spread, noun, region) for region in regions]
    best = int(np.argmax(scores))
    return regions[best] if scores[best] > 0 else None


def spread_map(map_: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A (3, 3) map over (H, W) pixels, summing to 1: linear between centres of cells, level outside."""
    rows, columns = (_weights(length) for length in shape[:2])
    spread = rows @ map_ @ columns.T
    return np.asarray(spread / spread.sum())


def interior_point(mask: BoolMask) -> NDArray[np.float64]:
    """The pixel of a non-empty (H, W) mask that is farthest from all outside, the picture's border included:
    its centre as x, y in unit coordinates. Raises ValueError for an empty mask.
    """
    if not mask.any():
        raise ValueError("an empty mask has no point inside")
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), mask.shape)
    height, width = mask.shape
    return np.array([(x + 0.5) / width, (y + 0.5) / height])


def _fit(spread: NDArray[np.float64], noun: str | None, region: Region) -> float:
    inside = spread[region.mask]
    if not inside.size:
        return 0.0
    match = 1.0
    if noun is not None and region.label is not None:
        match = STRANGER + (1 - STRANGER) * likeness(noun, region.label)
    return float(region.score * inside.mean() / spread.max() * inside.sum() * match)


def _weights(length: int) -> NDArray[np.float64]:
    """(length, 3) weights of the three cells at each pixel of an axis."""
    at = np.clip((np.arange(length) + 0.5) / length * 3 - 0.5, 0, 2)
    return np.maximum(0.0, 1 - np.abs(at[:, None] - np.arange(3)))
