"""Random fields anchored to picture positions: a crop draws the same values as the whole picture.

Each field is a PCG64 stream laid out row by row over the whole picture's grid; a crop skips to its rows.
Sixteen random bits per value are enough for 8-bit pictures, and a normal value is looked up by its rank.
"""

from __future__ import annotations

import math
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
# Up to this many words of a row are faster to draw and drop than to skip.
_SKIPPED = 400


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
    word, skip = divmod(start, _PER_WORD)
    count = -(-(skip + columns * channels) // _PER_WORD)
    if stride - count <= _SKIPPED:
        stream.advance(first_row * stride)
        words = stream.random_raw(rows * stride).view(np.uint16).reshape(rows, stride * _PER_WORD)
        return words[:, start : start + columns * channels].reshape(rows, columns, channels)
    out = np.empty((rows, count), np.uint64)
    stream.advance(first_row * stride + word)
    for row in range(rows):
        out[row] = stream.random_raw(count)
        stream.advance(stride - count)
    return out.view(np.uint16)[:, skip : skip + columns * channels].reshape(rows, columns, channels)


def normal(frame: Frame, name: str, channels: int, grain: float, box: int = 1) -> Field:
    """Standard normal noise (h, w, channels) float32 with a grain of about `grain` pixels.

    The grain is rounded to whole pixels k and the amplitude multiplied by `grain / k`, which keeps the
    noise's power at a distance. So a grain below one pixel weakens per-pixel noise as area averaging would.
    `box` > 1 smooths the field by a box of that many grains, which weakens it as well.
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


def normal_cells(frame: Frame, name: str, channels: int, cell: int, apron: int) -> Field:
    """One standard normal value for each cell of `grid_bits`, (rows, columns, channels) float32."""
    return _normal_table(1.0)[grid_bits(frame, name, channels, cell, apron)]


def smooth(frame: Frame, name: str, channels: int, sigma: float) -> Field:
    """White noise blurred by a Gaussian of `sigma` pixels, scaled back to unit variance.

    (h, w, channels) float32. Drawn and blurred on a lattice of about half a sigma, then enlarged.
    """
    step = max(1, int(sigma / 2))
    reach = max(1, math.ceil(3.5 * sigma / step))
    kernel = cv2.getGaussianKernel(2 * reach + 1, max(sigma / step, 0.1))
    apron = reach + 2
    values = normal_cells(frame, name, channels, step, apron)
    shape = values.shape
    soft = cv2.sepFilter2D(values, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    values = np.asarray(soft / np.float32((kernel**2).sum()), np.float32).reshape(shape)
    top, left = (frame.top // step - apron) * step, (frame.left // step - apron) * step
    return enlarge(values, step, frame, top, left).reshape(
        frame.bottom - frame.top, frame.right - frame.left, channels
    )


def enlarge(values: Field, step: int, frame: Frame, top: int, left: int) -> Field:
    """The frame's part of a lattice, enlarged linearly by `step`; its first sample starts at (top, left).

    The lattice must extend one sample beyond the frame on each side, else its edge is repeated.
    """
    first_row, first_column = ((frame.top - top) // step - 1, (frame.left - left) // step - 1)
    first_row, first_column = max(0, first_row), max(0, first_column)
    last_row, last_column = (-(-(frame.bottom - top) // step) + 1, -(-(frame.right - left) // step) + 1)
    part = np.ascontiguousarray(values[first_row:last_row, first_column:last_column])
    if step > 1:
        size = (part.shape[1] * step, part.shape[0] * step)
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.float32)
    y, x = frame.top - top - first_row * step, frame.left - left - first_column * step
    return np.ascontiguousarray(part[y : y + frame.bottom - frame.top, x : x + frame.right - frame.left])


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
