"""Run-length encoding of a mask from the window that holds it, without a picture-sized array."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from schemas.records import Mask

Columns = NDArray[np.uint8]
"""A part of a mask, 0 or 1, transposed: (width, height), C order, as COCO's run lengths go down columns."""


class Encoded(NamedTuple):
    """A mask's runs, its pixels, and its tight [x, y, width, height]; zeros for an empty mask."""

    mask: Mask
    area: int
    bbox: tuple[int, int, int, int]


def encode(window: Columns, x: int, y: int, size: tuple[int, int]) -> Encoded:
    """The mask of a picture of `size` (height, width) that is `window` at (x, y) and 0 elsewhere.

    The string is the one pycocotools gives for the whole mask.
    """
    height, width = size
    columns, rows = window.shape
    if rows < height:
        framed = np.zeros((columns, rows + 1), np.uint8)  # a clear row ends every column's last run
        framed[:, :rows] = window
    else:
        framed = np.ascontiguousarray(window)
    stride = framed.shape[1]
    flat = framed.reshape(-1).view(np.bool_)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    first, last = flat[:1].nonzero()[0], np.array([flat.size])[: int(flat[-1:].any())]
    edges = np.concatenate([first, edges, last])
    if edges.size == 0:
        return Encoded(_mask([height * width], size), 0, (0, 0, 0, 0))
    starts, stops = edges[::2], edges[1::2]
    (left, top), (right, bottom) = _corner(starts, stride), _corner(stops - 1, stride)
    if np.any(left != right):  # a run that goes on in the next column
        highest, lowest = 0, rows - 1
    else:
        highest, lowest = int(top.min()), int(bottom.max())
    bbox = (x + int(left[0]), y + highest, int(right[-1] - left[0]) + 1, lowest - highest + 1)
    column, row = _corner(edges, stride)
    lengths = np.diff((x + column) * height + y + row, prepend=0, append=height * width)
    counts = lengths[:-1] if lengths[-1] == 0 else lengths
    return Encoded(_mask(counts.tolist(), size), int((stops - starts).sum()), bbox)


def decode(mask: Mask) -> Columns:
    """The whole mask as columns."""
    rle = {"size": mask.size, "counts": mask.counts.encode("ascii")}
    return np.ascontiguousarray(np.asarray(coco_mask.decode([rle])[..., 0]).T)


def _corner(place: NDArray[np.intp], stride: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return place // stride, place % stride


def _mask(counts: list[int], size: tuple[int, int]) -> Mask:
    rle = coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size)
    return Mask(size=list(size), counts=rle["counts"].decode("ascii"))
