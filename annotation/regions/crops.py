"""Crops of a picture around a mask's bounding box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation.regions.interface import Picture

if TYPE_CHECKING:
    import torch

MAX_RATIO = 8
"""Longer over shorter side of what a model gets; a longer strip is stretched across.

Image processors scale the SHORTER side to a fixed number of pixels, so a strip of 1 x 4000 would become a
picture of 224 x 896,000.
"""
LAYOUT = {"input_data_format": "channels_first", "return_tensors": "pt"}
"""What image processors are told of `as_tensors`: left to guess, they take a picture of one row for one with
one channel."""
Box = tuple[int, int, int, int]


def scaled_box(bbox: Box, scale: float, size: tuple[int, int]) -> Box:
    """A bounding box [x, y, width, height] grown by `scale` about its center, as [x0, y0, x1, y1] within a
    picture of `size` (height, width); x1 and y1 are not part of it. Holds a pixel at least.
    """
    x, y, width, height = bbox
    x0, x1 = _interval(x, width, scale, size[1])
    y0, y1 = _interval(y, height, scale, size[0])
    return x0, y0, x1, y1


def cut(image: Picture, box: Box) -> Picture:
    """The part [x0, y0, x1, y1] of an (H, W, 3) picture, stretched where it is a strip (MAX_RATIO)."""
    x0, y0, x1, y1 = box
    return bounded(image[y0:y1, x0:x1])


def bounded(image: Picture) -> Picture:
    """An (H, W, 3) picture with its shorter side stretched so that MAX_RATIO holds; most stay as they are."""
    height, width = image.shape[:2]
    least = -(-max(height, width) // MAX_RATIO)
    if min(height, width) >= least:
        return image
    size = (max(width, least), max(height, least))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def as_tensors(pictures: Sequence[Picture]) -> list[torch.Tensor]:
    """(H, W, 3) pictures as (3, H, W) tensors of their own."""
    import torch

    return [torch.from_numpy(np.array(picture.transpose(2, 0, 1), order="C")) for picture in pictures]


def coverage(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    """How much of each cell of a (height, width) grid over the mask is set, 0..1: the mean over the cell."""
    full = np.ascontiguousarray(mask, dtype=np.float32)
    if full.shape == size:
        return full
    shape = (size[1], size[0])
    return np.asarray(cv2.resize(full, shape, interpolation=cv2.INTER_AREA), dtype=np.float32).reshape(size)


def _interval(start: int, length: int, scale: float, limit: int) -> tuple[int, int]:
    middle, half = start + length / 2, max(length, 1) * scale / 2
    low = min(max(int(np.floor(middle - half)), 0), limit - 1)
    return low, max(low + 1, min(int(np.ceil(middle + half)), limit))
