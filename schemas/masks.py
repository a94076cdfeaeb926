"""Masks as COCO run-length encoding: encode, decode, area, bounding box, and the words for a place."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from schemas.records import Mask

PositionGrid = Literal["thirds", "quadrants"]
BoolMask = NDArray[np.bool_]

_ROWS = {"thirds": ("top", "center", "bottom"), "quadrants": ("top", "bottom")}
_COLUMNS = {"thirds": ("left", "center", "right"), "quadrants": ("left", "right")}


def encode(mask: BoolMask) -> Mask:
    """Encode a boolean (H, W) array."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Mask(size=[int(n) for n in rle["size"]], counts=rle["counts"].decode("ascii"))


def decode(mask: Mask) -> BoolMask:
    """Decode to a boolean (H, W) array. Raises ValueError when the runs don't fill `size`."""
    height, width = mask.size
    if height < 1 or width < 1 or height * width > 2**31:
        raise ValueError(f"mask size {mask.size} is out of range")
    if _run_total(mask.counts) != height * width:
        raise ValueError(f"mask runs do not add up to {height} x {width} pixels")
    rle = {"size": mask.size, "counts": mask.counts.encode("ascii")}
    return np.asarray(coco_mask.decode(rle), dtype=bool)


def area(mask: Mask) -> int:
    """Number of pixels set, without decoding."""
    return int(coco_mask.area({"size": mask.size, "counts": mask.counts.encode("ascii")}))


def bounding_box(mask: BoolMask) -> list[int]:
    """Tight [x, y, width, height] of a boolean (H, W) array; [0, 0, 0, 0] for an empty one."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return [0, 0, 0, 0]
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]


def position(mask: BoolMask, grid: PositionGrid = "thirds") -> str:
    """The words for the cell that holds the mask's centroid: "top left", "center", "bottom" and so on.

    "thirds" is a 3x3 grid ("top left", "top", "top right", "left", "center", ...), "quadrants" a 2x2 grid. The
    centroid is the mean of pixel centres; a centroid on a border belongs to the cell after it. Raises ValueError for
    an empty mask.
    """
    rows = mask.sum(axis=1, dtype=np.int64)
    columns = mask.sum(axis=0, dtype=np.int64)
    total = int(rows.sum())
    if total == 0:
        raise ValueError("an empty mask has no position")
    height, width = mask.shape
    y = (float(rows @ np.arange(height)) / total + 0.5) / height
    x = (float(columns @ np.arange(width)) / total + 0.5) / width
    names_y, names_x = _ROWS[grid], _COLUMNS[grid]
    word_y = names_y[min(int(y * len(names_y)), len(names_y) - 1)]
    word_x = names_x[min(int(x * len(names_x)), len(names_x) - 1)]
    if word_y == "center":
        return word_x
    return word_y if word_x == "center" else f"{word_y} {word_x}"


def position_words(grid: PositionGrid = "thirds") -> tuple[str, ...]:
    """All words `position` can return for `grid`, row by row."""
    words = []
    for word_y in _ROWS[grid]:
        for word_x in _COLUMNS[grid]:
            if word_y == "center":
                words.append(word_x)
            else:
                words.append(word_y if word_x == "center" else f"{word_y} {word_x}")
    return tuple(words)


def _run_total(counts: str) -> int:
    """Sum of the runs of a compressed COCO string (base 48 varints, differences from the run before last)."""
    total, runs, i = 0, [], 0
    while i < len(counts):
        value, shift = 0, 0
        while True:
            if i >= len(counts):
                raise ValueError("mask counts end inside a run")
            code = ord(counts[i]) - 48
            if not 0 <= code < 64:
                raise ValueError(f"mask counts hold the invalid character {counts[i]!r}")
            value |= (code & 0x1F) << (5 * shift)
            i, shift = i + 1, shift + 1
            if not code & 0x20:
                if code & 0x10:
                    value |= -1 << (5 * shift)
                break
        if len(runs) > 2:
            value += runs[-2]
        if value < 0:
            raise ValueError("mask counts hold a negative run")
        runs.append(value)
        total += value
    return total
