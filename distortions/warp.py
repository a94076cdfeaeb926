"""Warps: every pixel takes its value from a short distance away (pixel-wise jitter, elastic waves).

All lengths are in pixels of the given picture.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from distortions import random_fields
from distortions.frame import Frame, Image

# No displacement is longer than this many standard deviations.
_LIMIT = 4.5
_SIDE_LIMIT = 32_766


def jitter(pixels: Image, frame: Frame, amount: float, grain: float, passes: float) -> Image:
    """Each grain of pixels takes its value from its own normal displacement, repeated `passes` times.

    `amount` is the displacement's standard deviation on each axis, `grain` as in `random_fields.normal`.
    """
    out = pixels
    for number in range(max(1, round(passes))):
        field = random_fields.normal(frame, f"displacement-{number}", 2, grain)
        out = _displace(out, np.clip(field, -_LIMIT, _LIMIT) * np.float32(amount))
    return out


def jitter_padding(frame: Frame, amount: float, grain: float, passes: float) -> int:
    """Reach in pixels."""
    del frame, grain
    return max(1, round(passes)) * _reach(amount)


def elastic(pixels: Image, frame: Frame, amount: float, smooth: float) -> Image:
    """The picture warped by a smoothly varying displacement.

    `amount` is its standard deviation on each axis, `smooth` the sigma of the Gaussian that it was
    made with from white noise.
    """
    field = random_fields.smooth(frame, "displacement", 2, smooth)
    return _displace(pixels, np.clip(field, -_LIMIT, _LIMIT) * np.float32(amount))


def elastic_padding(frame: Frame, amount: float, smooth: float) -> int:
    """Reach in pixels."""
    del frame, smooth
    return _reach(amount)


def remap(source: Image, rows: NDArray[Any], columns: NDArray[Any]) -> Image:
    """`source` at float32 positions (h, w), linearly interpolated, mirrored beyond its edges."""
    if max(*rows.shape, *source.shape[:2]) > _SIDE_LIMIT:
        raise ValueError(f"warps can't take a side above {_SIDE_LIMIT} pixels; got {source.shape[:2]}")
    looked_up = cv2.remap(source, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(looked_up, dtype=np.uint8)


def _displace(pixels: Image, field: NDArray[np.float32]) -> Image:
    height, width = pixels.shape[:2]
    rows = field[:, :, 0] + np.arange(height, dtype=np.float32)[:, None]
    columns = field[:, :, 1] + np.arange(width, dtype=np.float32)[None, :]
    return remap(np.ascontiguousarray(pixels), rows, columns)


def _reach(amount: float) -> int:
    return math.ceil(_LIMIT * amount) + 2
