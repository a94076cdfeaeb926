"""Drops masks that repeat a better one: non-maximum suppression by boxes or by the masks themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

Floats = NDArray[np.float32] | NDArray[np.float64]


def by_box(boxes: NDArray[np.float32], scores: Floats, limit: float) -> list[int]:
    """Indices of the boxes (N, 4: x0, y0, x1, y1) that overlap no kept, better one by an IoU above `limit`.

    Best first; of equal scores the earlier box is better. The numbers are those of torchvision's `nms`.
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    areas = sides[:, 0] * sides[:, 1]

    def overlaps(index: int, others: NDArray[np.intp]) -> NDArray[np.bool_]:
        inside = _common(boxes[index], boxes[others])
        with np.errstate(invalid="ignore"):
            return np.asarray(inside / (areas[index] + areas[others] - inside) > limit)

    return _greedy(scores, overlaps)


def by_mask(
    rles: Sequence[dict[str, object]],
    areas: NDArray[np.int64],
    boxes: NDArray[np.float32],
    scores: Floats,
    limit: float,
) -> list[int]:
    """As `by_box`, but by the IoU of run-length encoded masks with their `areas` and `boxes`.

    Areas and boxes bound a pair's IoU, so that few masks are compared run by run. `boxes` hold x0, y0, x1, y1
    with the last row and column left out, in the masks' pixels.
    """

    def overlaps(index: int, others: NDArray[np.intp]) -> NDArray[np.bool_]:
        common = np.minimum(_common(boxes[index], boxes[others]), np.minimum(areas[index], areas[others]))
        most = common / np.maximum(areas[index] + areas[others] - common, 1)
        result = np.asarray(most > limit)
        near = others[result]
        if near.size:
            found = coco_mask.iou([rles[index]], [rles[other] for other in near], [0] * near.size)
            result[result] = found[0] > limit
        return result

    return _greedy(scores, overlaps)


def _greedy(scores: Floats, overlaps: Callable[[int, NDArray[np.intp]], NDArray[np.bool_]]) -> list[int]:
    left = np.argsort(-scores, kind="stable")
    kept = []
    while left.size:
        best, left = int(left[0]), left[1:]
        kept.append(best)
        left = left[~overlaps(best, left)]
    return kept


def _common(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    sides = np.maximum(high - low, 0)
    return np.asarray(sides[:, 0] * sides[:, 1])
