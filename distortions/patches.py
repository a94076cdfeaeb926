"""Patches: slightly displaced squares of the picture, and squares of a single color.

Statistics: the region determines how many patches there are and where. Their centers are drawn among the
region's pixels, so every region gets its share and at least one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distortions.frame import Frame, Image
from schemas.hashing import rng

# `count` is the number of patches on a picture of this many squared short sides: 512x384, KADID-10k's size.
_REFERENCE_AREA = 4 / 3


def displaced(pixels: Image, frame: Frame, count: float, size: float, offset: float) -> Image:
    """`count` squares of `size` pixels filled from up to `offset` pixels away on each axis.

    All are copied from the undistorted picture; later ones cover earlier ones.
    """
    random, tops, lefts, side = _place_squares(frame, "displaced", count, size)
    shifts = random.uniform(-offset, offset, (len(tops), 2))
    # A shift that rounds to nothing would leave the square as it is.
    away = np.where(shifts < 0, -1, 1) * np.maximum(1, np.rint(np.abs(shifts))).astype(int)
    out = pixels.copy()
    height, width = pixels.shape[:2]
    for top, left, (down, right) in zip(tops, lefts, away, strict=True):
        y, x = max(0, top, -down), max(0, left, -right)
        bottom = min(height, top + side, height - down)
        end = min(width, left + side, width - right)
        if y < bottom and x < end:
            out[y:bottom, x:end] = pixels[y + down : bottom + down, x + right : end + right]
    return out


def displaced_padding(frame: Frame, count: float, size: float, offset: float) -> int:
    """Reach in pixels."""
    del frame, count
    return round(size) + round(offset) + 1


def blocks(pixels: Image, frame: Frame, count: float, size: float) -> Image:
    """`count` squares of `size` pixels, each filled with a uniformly random color."""
    random, tops, lefts, side = _place_squares(frame, "blocks", count, size)
    colors = random.integers(0, 256, (len(tops), 3), dtype=np.uint8)
    out = pixels.copy()
    for top, left, color in zip(tops, lefts, colors, strict=True):
        out[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = color
    return out


def _place_squares(
    frame: Frame, name: str, count: float, size: float
) -> tuple[np.random.Generator, NDArray[np.intp], NDArray[np.intp], int]:
    """The generator, the squares' corners in box positions (possibly outside the box) and their side."""
    height, width = frame.bottom - frame.top, frame.right - frame.left
    inside = None if frame.mask is None else np.flatnonzero(frame.mask)
    area = height * width if inside is None else len(inside)
    share = area / (_REFERENCE_AREA * frame.short_side**2)
    random = rng(frame.seed, name)
    drawn = random.integers(0, area, max(1, round(count * share)))
    rows, columns = np.divmod(drawn if inside is None else inside[drawn], width)
    side = max(1, round(size))
    return random, rows - side // 2, columns - side // 2, side
