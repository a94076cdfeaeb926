"""Real photographs and hostile pictures for the segmenters' tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.conftest import photograph

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "china", "flower")
HOSTILE: dict[str, NDArray[np.uint8]] = {
    "one pixel": np.full((1, 1, 3), 200, np.uint8),
    "one row": np.ascontiguousarray(photograph("coffee", 300)[100:101]),
    "one column": np.ascontiguousarray(photograph("coffee", 300)[:, 100:101]),
    "flat": np.full((90, 160, 3), 77, np.uint8),
    "thin": np.ascontiguousarray(np.repeat(photograph("china", 640)[200:202], 1, axis=0)),
    "noise": np.random.default_rng(3).integers(0, 256, (64, 48, 3), dtype=np.uint8),
}
ONE = np.array([[0.4, 0.6]])
SETS = [ONE, np.array([[0.25, 0.3], [0.7, 0.35]]), np.array([[1.0, 1.0]]), np.array([[0.0, 0.0]] * 3)]
"""Sets of one and several points, corners among them."""


def unit(pixels: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The middles of (n, 2) x, y pixels of a (height, width) in unit coordinates."""
    return np.asarray((pixels + 0.5) / [size[1], size[0]])
