"""Which of a segmenter's candidates answers a set of points: the selection rule, in plain NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.grounded_answer import Segmented

LARGEST, SMALLEST = 0.90, 0.002
"""Shares of the picture above and below which a mask is no answer to a point."""


def to_pixels(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.int64]:
    """The pixels, (n, 2) int64 x and y, that hold (n, 2) points in unit coordinates of a (height, width).

    1.0 is the last pixel. Raises ValueError for no points, another shape, and coordinates outside 0..1.
    """
    given = np.asarray(points, np.float64)
    if given.ndim != 2 or given.shape[1] != 2 or len(given) == 0:
        raise ValueError(f"a set of points is (n, 2) with n >= 1, not {given.shape}")
    if not ((given >= 0) & (given <= 1)).all():  # also false for nan
        raise ValueError(f"points are x, y from 0 to 1, not {given.tolist()}")
    extent = np.array([size[1], size[0]])
    pixels: NDArray[np.int64] = np.minimum((given * extent).astype(np.int64), extent - 1)
    return pixels


def choose(masks: NDArray[np.bool_], scores: NDArray[np.floating], pixels: NDArray[np.int64]) -> Segmented:
    """The best of (C, H, W) candidate masks with (C,) scores for the (n, 2) x, y pixels that asked for them.

    A candidate fits when it covers between 0.2% and 90% of the picture and holds every pixel; of those that
    fit, the one with the highest score is taken, the first of equal ones. None fits: the highest score among
    those that hold the pixels, `fallback` "size"; else among those of a fitting size, "point"; else among
    those that aren't empty, "neither"; and if all are empty, the highest score, "empty". The score is cut
    to 0..1. Raises ValueError when there is no candidate or a score isn't finite.
    """
    if len(masks) == 0 or len(masks) != len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"{len(masks)} candidates with the scores {np.asarray(scores).tolist()}")
    area: NDArray[np.int64] = masks.sum(axis=(1, 2), dtype=np.int64)
    share = area / (masks.shape[1] * masks.shape[2])
    sized = np.asarray((share >= SMALLEST) & (share <= LARGEST))
    holding = np.asarray(masks[:, pixels[:, 1], pixels[:, 0]].all(axis=1))
    groups: tuple[tuple[NDArray[np.bool_], str | None], ...] = (
        (np.logical_and(sized, holding), None),
        (holding, "size"),
        (sized, "point"),
        (np.asarray(area > 0), "neither"),
        (np.ones(len(masks), bool), "empty"),
    )
    allowed, fallback = next((group, name) for group, name in groups if group.any())
    best = int(np.where(allowed, scores, -np.inf).argmax())
    return Segmented(masks[best].copy(), float(np.clip(scores[best], 0, 1)), best, fallback)
