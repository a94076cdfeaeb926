"""A sample of a picture's pixels, to tell by how much a picture made again differs from the first."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.hashing import rng

_GRID = 24
"""One pixel is drawn from each of 24 x 24 cells: 1,728 bytes a picture."""
_SIZE = ">II"


@dataclass(frozen=True)
class Difference:
    """How two pictures differ on sampled pixels: the largest difference of a channel (0-255), the share of
    pixels that differ at all, and how many were looked at.
    """

    largest: int
    share: float
    pixels: int

    def __str__(self) -> str:
        if not self.largest:
            return f"none of {self.pixels} sampled pixels differs, fewer than about 1 in {self.pixels // 3}"
        return f"{self.share:.1%} of {self.pixels} sampled pixels differ, by at most {self.largest} of 255"


def sample(rgb: NDArray[np.uint8]) -> bytes:
    """Size and some pixels of an (H, W, 3) uint8 picture; which ones depends on its size alone."""
    values = np.ascontiguousarray(rgb[_places(*rgb.shape[:2])])
    return struct.pack(_SIZE, *rgb.shape[:2]) + values.tobytes()


def difference(kept: bytes, rgb: NDArray[np.uint8]) -> Difference | None:
    """How a picture differs from the one `kept` was sampled from; None when their sizes differ."""
    if struct.unpack_from(_SIZE, kept) != rgb.shape[:2]:
        return None
    values = rgb[_places(*rgb.shape[:2])].astype(np.int16)
    first = np.frombuffer(kept, np.uint8, offset=struct.calcsize(_SIZE))
    apart = np.abs(values - first.reshape(values.shape)).max(axis=1)
    return Difference(int(apart.max()), float((apart > 0).mean()), len(apart))


def _places(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of one pixel a cell, drawn so that no regular pattern of distortions hides from them."""
    rows, columns = min(_GRID, height), min(_GRID, width)
    draw = rng(0, "pixel sample", str(height), str(width))
    edges_y, edges_x = (np.arange(n + 1) * side // n for n, side in ((rows, height), (columns, width)))
    y = draw.integers(edges_y[:-1, None], edges_y[1:, None], (rows, columns))
    x = draw.integers(edges_x[None, :-1], edges_x[None, 1:], (rows, columns))
    return y.ravel(), x.ravel()
