"""Random fields anchored to picture positions: a crop draws the same values as the whole picture.

Each field is a PCG64 stream laid out row by row over the whole picture's grid; a crop jumps to its rows.
Sixteen random bits a value are enough for 8-bit pictures, and a normal value is looked up by its rank.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from distortions.frame import Frame
from schemas.hashing import derived_seed

Bits = NDArray[np.uint16]
Field = NDArray[np.float32]

_PER_WORD = 4


def grid_bits(frame: Frame, name: str, channels: int, cell: int, apron: int = 0) -> Bits:
    """Uniform 16-bit values for the `cell`-pixel grid cells the frame touches and `apron` cells around.

    Returns (rows, columns, channels) uint16; the first row is cell `top // cell - apron` of the picture's
    grid.
    """
    first_row, first_column = frame.top // cell, frame.left // cell
    rows = (frame.bottom - 1) // cell - first_row + 1 + 2 * apron
    columns = (frame.right - 1) // cell - first_column + 1 + 2 * apron
    stride = -(-((frame.width - 1) // cell + 1 + 2 * apron) * channels // _PER_WORD)
    stream = np.random.PCG64(derived_seed(frame.seed, name))
    start = first_column * channels
    if columns * channels > (stride - 1) * _PER_WORD and start == 0:
        stream.advance(first_row * stride)
        words = stream.random_raw(rows * stride).view(np.uint16).reshape(rows, stride * _PER_WORD)
        return words[:, : columns * channels].reshape(rows, columns, channels)
    word, skip = divmod(start, _PER_WORD)
    count = -(-(skip + columns * channels) // _PER_WORD)
    out = np.empty((rows, count), np.uint64)
    stream.advance(first_row * stride + word)
    for row in range(rows):
        out[row] = stream.random_raw(count)
        stream.advance(stride - count)
    return out.view(np.uint16)[:, skip : skip + columns * channels].reshape(rows, columns, channels)


def normal(frame: Frame, name: str, channels: int, grain: float, box: int = 1) -> Field:
    """Standard normal noise (h, w, channels) float32 with a grain of about `grain` pixels.

    The grain is rounded to whole pixels k and the amplitude multiplied by `grain / k`, which keeps the
    noise's power seen from afar. So a grain below one pixel weakens per-pixel noise as area averaging
    would. `box` > 1 smooths the field by a box of that many grains, which weakens it as well.
    """
    cell = max(1, round(grain))
    apron = (0 if cell == 1 else 2) + box // 2
    gain = grain / cell / _cubic_deviation(cell)
    values = _normal_table(float(gain))[grid_bits(frame, name, channels, cell, apron)]
    if box > 1:
        soft = cv2.blur(values, (box, box), borderType=cv2.BORDER_REPLICATE)
        values = np.asarray(soft, np.float32).reshape(values.shape)
    if cell == 1:
        return values[apron : values.shape[0] - apron, apron : values.shape[1] - apron]
    rows, columns = values.shape[:2]
    large = cv2.resize(values, (columns * cell, rows * cell), interpolation=cv2.INTER_CUBIC)
    large = np.asarray(large, np.float32).reshape(rows * cell, columns * cell, channels)
    y, x = apron * cell + frame.top % cell, apron * cell + frame.left % cell
    return large[y : y + frame.bottom - frame.top, x : x + frame.right - frame.left]


def cells(frame: Frame, name: str, channels: int, grain: float) -> Bits:
    """Uniform 16-bit values (h, w, channels), constant on square cells of about `grain` whole pixels."""
    cell = max(1, round(grain))
    values = grid_bits(frame, name, channels, cell)
    if cell == 1:
        return values
    rows = (np.arange(frame.top, frame.bottom) // cell) - frame.top // cell
    columns = (np.arange(frame.left, frame.right) // cell) - frame.left // cell
    return values[:, columns][rows]


@lru_cache(maxsize=64)
def _normal_table(gain: float) -> Field:
    """Normal quantiles for each 16-bit rank, unit variance times `gain`, float32 (65536,)."""
    ranks = (np.arange(65536) + 0.5) / 65536
    values = ndtri(ranks)
    return np.asarray(values * (gain / values.std()), dtype=np.float32)


@lru_cache(maxsize=64)
def _cubic_deviation(cell: int) -> float:
    """Standard deviation that unit white noise has after enlarging by `cell` with OpenCV's cubic filter."""
    if cell == 1:
        return 1.0
    impulse = np.zeros((1, 9), np.float32)
    impulse[0, 4] = 1
    response = cv2.resize(impulse, (9 * cell, 1), interpolation=cv2.INTER_CUBIC)
    return float((response**2).sum() / cell)
