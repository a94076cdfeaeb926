"""The strategy `grid` with a picture: the point of a place settles inside one of the picture's parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.likelihood import along
from schemas.drawing.outlines import depth

DEEP = 0.04
"""Distance from a part's border, in roots of the picture's area, from which deeper is no better."""
LINE = 0.05
"""How far points in line stand from the first, along an axis that the answer doesn't name."""


@dataclass(frozen=True)
class Parts:
    """Disjoint parts that cover a picture, at any working size.

    `labels` (h, w) int32, parts 0..n-1 without gaps; `centroids` (n, 2) float64, x and y from 0 to 1; `depth`
    (h, w) float32, each pixel's distance to the nearest one outside its part, the picture's border included,
    in roots of the picture's area.
    """

    labels: NDArray[np.int32]
    centroids: NDArray[np.float64]
    depth: NDArray[np.float32]

    @classmethod
    def of(cls, labels: NDArray[np.int32]) -> Parts:
        """The parts of a label map. Raises ValueError for one that isn't (h, w), is empty or has gaps."""
        if labels.ndim != 2 or labels.size == 0:
            raise ValueError(f"a label map is (h, w) with pixels, not {labels.shape}")
        sizes = np.bincount(labels.ravel()) if labels.min() >= 0 else np.zeros(1)
        if not sizes.all():
            raise ValueError("labels are 0, 1, 2, ... without gaps")
        height, width = labels.shape
        rows, columns = np.indices(labels.shape)
        x = np.bincount(labels.ravel(), (columns.ravel() + 0.5) / width) / sizes
        y = np.bincount(labels.ravel(), (rows.ravel() + 0.5) / height) / sizes
        pixels = np.zeros(labels.shape, np.float32)
        for label in range(sizes.size):
            pixels += depth(labels == label)
        return cls(labels, np.stack([x, y], axis=1), pixels / np.float32(np.sqrt(labels.size)))


def settle(
    parts: Parts,
    across: NDArray[np.float64] | None,
    down: NDArray[np.float64] | None,
    anchors: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The points (n, 2), x and y in unit coordinates, of one place among a picture's parts.

    `across`, `down`: probabilities (3,) of the axis' classes, None for an axis the answer doesn't name;
    `anchors` (3,) where the point of each class stands without a picture. The first point is the pixel with
    the highest `L(centroid of its part) * L(pixel) * sqrt(depth)`, L the likelihood of the place around the
    cells' centers and around the anchors: a part that is where the words say, and well inside of it. Along an
    axis without a word a point on either side joins it where the part reaches that far.
    """
    height, width = parts.labels.shape
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    of_part = along(parts.centroids[:, 0], across) * along(parts.centroids[:, 1], down)
    near = np.outer(along(y, down, anchors), along(x, across, anchors))
    score = of_part[parts.labels] * near * np.sqrt(np.minimum(parts.depth, DEEP))
    row, column = (int(at) for at in np.unravel_index(int(score.argmax()), score.shape))
    found = [(x[column], y[row])]
    for sign in (-1, 1):
        beside = column + sign * round(LINE * width) * (across is None)
        below = row + sign * round(LINE * height) * (down is None)
        moved = (beside, below) != (column, row) and 0 <= beside < width and 0 <= below < height
        if moved and parts.labels[below, beside] == parts.labels[row, column]:
            found.append((x[beside], y[below]))
    return np.array(found)
