"""Pastes an injected patch into a picture that may already have other patches."""

from __future__ import annotations

import cv2
import numpy as np

from distortions.frame import BoolMask, Image

Box = tuple[slice, slice]


def tight_box(mask: BoolMask, margin: int = 0) -> Box:
    """Rows and columns around a mask, widened by `margin` pixels; empty for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return slice(0, 0), slice(0, 0)
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def paste(picture: Image, source: Image, patch: Image, mask: BoolMask, box: Box, feather: int) -> None:
    """Write `patch` (the injected picture's pixels in `box`) into `picture` in place.

    `source` is the clean picture, `mask` the region's; both and `picture` are whole, (H, W, 3) and (H, W).
    Without a feather, the mask's pixels are written; with one, every pixel that the injection changed, which
    extends as far as the feather.
    """
    inside = mask[box] if feather == 0 else (patch != source[box]).any(axis=2)
    target = picture[box]
    np.copyto(target, cv2.copyTo(patch, inside.astype(np.uint8), target.copy()))
