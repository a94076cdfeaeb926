"""Masks as COCO run-length encoding: encode, decode, area, bounding box, and the words for a place."""

from __future__ import annotations

from typing import Literal

import numpy as np
import stringzilla
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from schemas.records import Mask

PositionGrid = Literal["thirds", "quadrants"]
BoolMask = NDArray[np.bool_]

MAX_PIXELS = 16384 * 16384
"""The largest mask, as large as the largest stored picture; larger ones are refused before allocating."""
_MAX_GROUPS = 6
"""5-bit groups of one run: 6 hold a signed number of 30 bits, more than MAX_PIXELS."""
_ROWS = {"thirds": ("top", "center", "bottom"), "quadrants": ("top", "bottom")}
_COLUMNS = {"thirds": ("left", "center", "right"), "quadrants": ("left", "right")}


def encode(mask: BoolMask) -> Mask:
    """Encode a boolean (H, W) array."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Mask(size=[int(n) for n in rle["size"]], counts=rle["counts"].decode("ascii"))


def decode(mask: Mask) -> BoolMask:
    """Decode to a boolean (H, W) array. Raises ValueError for runs that don't fit the size."""
    height, width = mask.size
    lengths = _checked_runs(mask)
    values = np.arange(lengths.size) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def area(mask: Mask) -> int:
    """Number of pixels set, without decoding. Raises ValueError like `decode`."""
    return int(_checked_runs(mask)[1::2].sum())


def bounding_box(mask: BoolMask) -> list[int]:
    """Tight [x, y, width, height] of a boolean (H, W) array; [0, 0, 0, 0] for an empty one."""
    if mask.flags.f_contiguous and not mask.flags.c_contiguous:
        y, x, height, width = bounding_box(mask.T)
        return [x, y, width, height]
    flat = np.ascontiguousarray(mask).reshape(-1)
    last = stringzilla.find_last_not_of(flat.view(np.uint8).data, b"\0")
    if last < 0:
        return [0, 0, 0, 0]
    top, bottom = int(flat.argmax()) // mask.shape[1], int(last) // mask.shape[1]
    columns = np.flatnonzero(mask[top : bottom + 1].any(axis=0))
    x = int(columns[0])
    return [x, top, int(columns[-1]) - x + 1, bottom - top + 1]


def position(mask: BoolMask, grid: PositionGrid = "thirds") -> str:
    """The words for the cell that holds the mask's centroid: "top left", "center", "bottom" and so on.

    "thirds" is a 3x3 grid ("top left", "top", "top right", "left", "center", ...), "quadrants" a 2x2 grid.
    The centroid is the mean of pixel centers; a centroid on a border belongs to the cell after it. Raises
    ValueError for an empty mask.
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


def _checked_runs(mask: Mask) -> NDArray[np.int64]:
    """Lengths of the runs, column-major, alternately clear and set, the first clear. Raises ValueError."""
    height, width = mask.size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"mask size {mask.size} is out of range")
    runs = _runs(mask.counts)
    if int(runs.sum()) != height * width:
        raise ValueError(f"mask runs do not add up to {height} x {width} pixels")
    return runs


def _runs(counts: str) -> NDArray[np.int64]:
    """The runs of a compressed COCO string.

    The format (pycocotools, maskApi.c rleToString): numbers of 5-bit groups, lowest first, bit 5 set on all
    but a number's last group, bit 4 of the last group its sign; from the fourth run on a number is the
    difference to the run before last. pycocotools' C reader trusts the string, so this reads it instead.
    """
    try:
        groups = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError as error:
        raise ValueError("mask counts hold a character that is not ASCII") from error
    if groups.size == 0 or groups.min() < 0 or groups.max() > 63:
        raise ValueError("mask counts are empty or hold an invalid character")
    last = np.flatnonzero((groups & 0x20) == 0)
    if last.size == 0 or last[-1] != groups.size - 1:
        raise ValueError("mask counts end inside a run")
    first = np.concatenate(([0], last[:-1] + 1))
    lengths = last - first + 1
    if lengths.max() > _MAX_GROUPS:
        raise ValueError("mask counts hold a run that is too long")
    digit = np.arange(groups.size) - np.repeat(first, lengths)
    numbers = np.add.reduceat((groups & 0x1F) << (5 * digit), first)
    numbers -= np.where(groups[last] & 0x10, np.int64(1) << (5 * lengths), 0)
    runs = numbers.copy()
    runs[1::2] = np.cumsum(numbers[1::2])
    runs[2::2] = np.cumsum(numbers[2::2])
    if runs.min() < 0:
        raise ValueError("mask counts hold a negative run")
    return runs
