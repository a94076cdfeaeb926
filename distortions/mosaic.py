"""Pixelation: the picture's grid of cells, each filled with its mean."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from distortions.frame import Frame, Image


def pixelate(pixels: Image, frame: Frame, cell: float) -> Image:
    """Fill the cells of the picture's grid with their mean; `cell` pixels wide, rounded to a whole count.

    Cells of about a pixel or less become a mix of one- and two-pixel cells, so that any size has some
    effect. A pixel belongs to the cell its center lies in. Within its padding, a box must hold every cell it
    touches.
    """
    rows = _cell_of(frame.top, frame.bottom, frame.height, cell)
    columns = _cell_of(frame.left, frame.right, frame.width, cell)
    row_starts, column_starts = _starts(rows), _starts(columns)
    corners = np.take(np.take(cv2.integral(pixels), row_starts, axis=0), column_starts, axis=1)
    in_rows = corners[1:] - corners[:-1]
    sums = in_rows[:, 1:] - in_rows[:, :-1]
    share = np.float32(1) / np.diff(row_starts)[:, None] / np.diff(column_starts)[None, :].astype(np.float32)
    means = cv2.multiply(sums, cv2.merge([share.astype(np.float32)] * 3), dtype=cv2.CV_8U)
    # A four-byte pixel is one number to copy.
    four = cv2.cvtColor(np.asarray(means).reshape(sums.shape), cv2.COLOR_RGB2RGBA).view(np.uint32)[:, :, 0]
    large = np.take(np.take(four, columns - columns[0], axis=1), rows - rows[0], axis=0)
    pixels_of = large.view(np.uint8).reshape(*large.shape, 4)
    return np.asarray(cv2.cvtColor(pixels_of, cv2.COLOR_RGBA2RGB), dtype=np.uint8)


def pixelate_padding(frame: Frame, cell: float) -> int:
    """Reach in pixels: the rest of a cell."""
    del frame
    return 2 * math.ceil(max(cell, 1)) + 1


def _cell_of(start: int, stop: int, length: int, cell: float) -> NDArray[np.int64]:
    """The grid cell of each position start..stop-1 on an axis of `length` pixels."""
    count = max(1, int(length / max(cell, 1 + 0.1 * cell)))
    return (2 * np.arange(start, stop, dtype=np.int64) + 1) * count // (2 * length)


def _starts(cell_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each cell starts, in box positions, and the end."""
    inner = np.flatnonzero(np.diff(cell_of)) + 1
    return np.concatenate([[0], inner, [len(cell_of)]])
