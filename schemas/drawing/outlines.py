"""Outlines of masks for drawing: simplified rings, and the best point inside a region for its number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.masks import BoolMask

Contour = NDArray[np.integer[Any] | np.floating[Any]]
MOST_RINGS = 40


def outline(mask: BoolMask, scale: float = 1.0, tolerance: float = 0.6) -> list[NDArray[np.float64]]:
    """Rings around a boolean (H, W) mask and around its holes, each (N, 2) of (x, y) in pixels times `scale`.

    A ring deviates from the mask's edge by at most `tolerance` scaled pixels. Specks whose scaled ring
    encloses less than 4 square pixels are left out unless there is nothing else, and so are all but the 40
    largest rings. The picture's top left corner is (0, 0), so pixel (i, j) covers x from j to j + 1 and y
    from i to i + 1.
    """
    # Twice the size: the ring of pixel centers then lies within a quarter pixel of the true edge.
    grown = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    found, _ = cv2.findContours(grown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    simple = [cv2.approxPolyDP(contour, 2 * tolerance / scale, True) for contour in _largest(found, scale)]
    return [(ring.reshape(-1, 2).astype(np.float64) + 0.5) / 2 * scale for ring in simple]


def _largest(contours: Sequence[Contour], scale: float) -> list[Contour]:
    """The contours worth drawing, of a mask at twice its size, largest first."""
    areas = [cv2.contourArea(contour) * (scale / 2) ** 2 for contour in contours]
    order = sorted(range(len(areas)), key=lambda k: -areas[k])
    worth = [k for k in order[:MOST_RINGS] if areas[k] >= 4] or order[:1]
    return [contours[k] for k in worth]


def depth(mask: BoolMask) -> NDArray[np.float32]:
    """Distance in pixels, (H, W), of each pixel of a boolean mask to the nearest pixel outside the mask;
    everything beyond the picture's border is outside. 0 outside the mask.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance[1:-1, 1:-1], np.float32)


def spot(mask: BoolMask) -> tuple[float, float]:
    """(x, y) in pixels, the center of the deepest pixel of a boolean (H, W) mask, the first one on a tie.

    Raises ValueError for an empty mask.
    """
    if not mask.any():
        raise ValueError("an empty mask has no inside")
    row, column = divmod(int(depth(mask).argmax()), mask.shape[1])
    return column + 0.5, row + 0.5
