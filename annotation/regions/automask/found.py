"""What automatic mask generation knows of a mask, and the two filters that need no enlarged mask."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from annotation.regions.automask.grid import Crop
from annotation.regions.automask.runs import Encoded

if TYPE_CHECKING:
    import torch

EDGE = 20.0  # pixels within which a box touches an edge (segment-anything, is_box_near_crop_edge)


@dataclass(frozen=True)
class Found:
    """A mask of the whole picture; its point in pixels of the picture, its box as corners (see `box`).

    `box` is x0, y0, x1, y1; in exact mode the last row and column are part of it, as in the original.
    """

    encoded: Encoded
    predicted_iou: float
    stability: float
    point: tuple[float, float]
    crop: Crop
    box: NDArray[np.float32]


@dataclass(frozen=True)
class Guesses:
    """What the model says about some points of a crop, a mask a row: all tensors and arrays have N rows.

    `logits` is (N, h, w) float32 on the model's device, `predicted_iou` (N,) and `points` (N, 2) in pixels of
    the crop.
    """

    logits: torch.Tensor
    predicted_iou: NDArray[np.float32]
    points: NDArray[np.float64]


def guesses(
    logits: torch.Tensor,
    predicted_iou: torch.Tensor,
    points: NDArray[np.float64],
    least: float,
    dropped: Counter[str],
) -> Guesses:
    """The masks whose predicted IoU is above `least`, which is no limit when 0, as in the original.

    `logits` (P, M, h, w) and `predicted_iou` (P, M) hold M masks for each of P points.
    """
    scores = predicted_iou.flatten().cpu().numpy()
    keep = scores > least if least > 0 else np.ones(scores.shape, bool)
    dropped["low-predicted-iou"] += int(np.count_nonzero(~keep))
    rows = keep.nonzero()[0]
    flat = logits.flatten(0, 1)
    chosen = flat if keep.all() else flat[rows.tolist()]
    return Guesses(chosen, scores[keep], points[rows // logits.shape[1]])


def near_crop_edge(boxes: NDArray[np.float32], crop: Crop, picture: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether boxes (N, 4: x0, y0, x1, y1 in the picture) touch an edge of the crop that isn't its edge."""
    whole = np.array([0, 0, picture[1], picture[0]], np.float32)
    near = np.abs(boxes - crop.corners()) <= EDGE
    return np.asarray((near & ~(np.abs(boxes - whole) <= EDGE)).any(axis=1))
