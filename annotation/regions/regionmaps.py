"""The working size: pictures down to it, region maps back up from it, and the texture of a region there."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation.regions.interface import Picture
from schemas.masks import BoolMask

LONG_SIDE = 320  # pixels of the working picture
TEXTURE_BLUR = 2.0  # sigma in pixels of a picture with 320 px long side
SMOOTH, TEXTURED = 1.0, 2.2  # mean |L - blurred L|, L in 0..100


def working_rgb(image: Picture) -> Picture:
    """The picture at 320 px long side by area averaging; a smaller picture keeps its size."""
    height, width = image.shape[:2]
    scale = LONG_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small.reshape(size[1], size[0], 3), dtype=np.uint8)


def working_lab(small: Picture) -> NDArray[np.float32]:
    """CIE Lab (D65, L 0..100) of a (h, w, 3) uint8 sRGB picture, float32."""
    floats = np.ascontiguousarray(small, dtype=np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(floats, cv2.COLOR_RGB2LAB), dtype=np.float32).reshape(small.shape)


def upsample_labels(labels: NDArray[np.int32], size: tuple[int, int]) -> NDArray[np.int32]:
    """Labels 0..k-1 at `size` (height, width): each region's map is resized linearly, the largest wins, ties
    the first.

    Regions that vanish are closed up, so the result has no gaps in its numbers. Works in 8 bits, one region
    at a time: peak memory is about 8 bytes a full-size pixel.
    """
    if labels.shape == size:
        return labels
    best = np.zeros(size, dtype=np.uint8)
    result = np.zeros(size, dtype=np.int32)
    for index in range(int(labels.max()) + 1):
        share = _resize((labels == index).astype(np.uint8) * np.uint8(255), size)
        won = share > best
        best[won] = share[won]
        result[won] = index
    present = np.bincount(result.ravel(), minlength=1) > 0
    if present.all():
        return result
    return np.asarray((np.cumsum(present) - 1)[result], dtype=np.int32)


def upsample_mask(mask: BoolMask, size: tuple[int, int]) -> BoolMask:
    """A mask at `size` (height, width): linear resize, at least one half. A mask inside another stays inside
    it.
    """
    if mask.shape == size:
        return mask.copy()
    return np.asarray(_resize(mask.astype(np.uint8) * np.uint8(255), size) >= 128)


def _resize(plane: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def texture_amount(lightness: NDArray[np.float32], mask: BoolMask) -> float:
    """Mean |L - blurred L| inside the eroded mask, in units of L (0..100); the whole mask where erosion
    leaves nothing.
    """
    blurred = cv2.GaussianBlur(lightness, (0, 0), TEXTURE_BLUR, borderType=cv2.BORDER_REPLICATE).reshape(
        lightness.shape
    )
    inner = (
        cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1)
        .reshape(mask.shape)
        .astype(bool)
    )
    inside = inner if inner.any() else mask
    return float(np.abs(lightness - blurred)[inside].mean()) if inside.any() else 0.0


def texture_class(lightness: NDArray[np.float32], mask: BoolMask) -> str:
    """ "smooth", "" (in between) or "textured"."""
    amount = texture_amount(lightness, mask)
    return "smooth" if amount < SMOOTH else "textured" if amount > TEXTURED else ""
