"""Fills small holes of a mask and drops its small islands."""

from __future__ import annotations

import cv2
import numpy as np

from annotation.regions.automask.runs import Columns


def clean(mask: Columns, least: int) -> Columns:
    """The mask without holes and then without islands of fewer than `least` pixels; `mask` if it has none.

    Pixels that touch at a corner are connected, in holes too. If every island is small, the largest stays.
    As segment-anything's `remove_small_regions`.
    """
    if least == 0:
        return mask
    labels, small, _ = _components(mask ^ 1, least)
    if small.size:
        holes = np.zeros(int(labels.max()) + 1, np.uint8)
        holes[small] = 1
        mask = mask | holes[labels]
    labels, small, largest = _components(mask, least)
    if small.size == 0:
        return mask
    kept = np.ones(int(labels.max()) + 1, np.uint8)
    kept[0] = 0
    kept[small] = 0
    kept[largest] = kept[largest] or not kept.any()
    return kept[labels]


def window(
    box: tuple[int, int, int, int], margin: int, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """A [x, y, width, height] box grown by `margin` on all sides, but not over a picture of `size`.

    `clean` with `least` up to `margin` gives the same on this window of a mask as on the whole: what is
    outside of the mask's box and touches the window's edge has `margin` pixels within the window alone.
    """
    x, y, width, height = box
    left, top = max(0, x - margin), max(0, y - margin)
    right, bottom = min(size[1], x + width + margin), min(size[0], y + height + margin)
    return left, top, right - left, bottom - top


def _components(mask: Columns, least: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels, the labels of the components below `least` pixels, and that of the largest (0: none)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    largest = int(sizes.argmax()) + 1 if sizes.size else 0
    return labels, np.flatnonzero(sizes < least) + 1, largest
