"""What a model is shown of a sample: the picture, the picture with regions outlined, and a region cut out."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation.chat.messages import Picture
from schemas import masks
from schemas.drawing.outlines import outline, spot
from schemas.records import Region

Rgb = NDArray[np.uint8]

CROP_MARGIN = 0.15
"""Of the region's box, added on every side of a crop."""
LEAST_CROP = 32
"""Pixels a crop has on either side, where the picture has them."""
_LINE = (255, 220, 0)
_EDGE = (0, 0, 0)


def fitted(rgb: Rgb, side: int) -> Rgb:
    """(H, W, 3) with its long side at most `side` pixels; a smaller picture stays as it is."""
    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def whole(rgb: Rgb, side: int) -> Picture:
    """The picture as it is."""
    return Picture.of(fitted(rgb, side))


def outlined(rgb: Rgb, regions: Sequence[Region], side: int, numbered: bool) -> Picture:
    """The picture with a line around each region, and their numbers from 1 inside if `numbered`."""
    shown = np.array(fitted(rgb, side))
    scale = max(shown.shape[:2]) / max(rgb.shape[:2])
    decoded = [masks.decode(region.mask) for region in regions]
    rings = [
        np.round(ring).astype(np.int32).reshape(-1, 1, 2) for mask in decoded for ring in outline(mask, scale)
    ]
    cv2.polylines(shown, rings, True, _EDGE, 3)
    cv2.polylines(shown, rings, True, _LINE, 1)
    if numbered:
        for number, mask in enumerate(decoded, start=1):
            x, y = spot(mask)
            _write(shown, str(number), x * scale, y * scale)
    return Picture.of(shown)


def cropped(rgb: Rgb, region: Region, side: int) -> Picture:
    """The region's box with a margin, cut out of the full picture."""
    height, width = rgb.shape[:2]
    x, y, w, h = region.bbox
    left, right = _span(x, w, width)
    top, bottom = _span(y, h, height)
    return Picture.of(fitted(np.ascontiguousarray(rgb[top:bottom, left:right]), side))


def _span(start: int, length: int, limit: int) -> tuple[int, int]:
    grown = max(round(length * (1 + 2 * CROP_MARGIN)), LEAST_CROP)
    begin = min(max(0, start - (grown - length) // 2), max(0, limit - grown))
    return begin, min(limit, begin + grown)


def _write(shown: Rgb, text: str, x: float, y: float) -> None:
    size = max(0.4, max(shown.shape[:2]) / 1200)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    at = (round(x - width / 2), round(y + height / 2))
    cv2.putText(shown, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, _EDGE, 4, cv2.LINE_8)
    cv2.putText(shown, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, _LINE, 1, cv2.LINE_8)
