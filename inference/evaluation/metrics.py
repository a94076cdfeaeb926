"""Metrics over masks, answers and scores: IoU, points inside, correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pycocotools import mask as coco_mask

from schemas import masks
from schemas.drawing.outlines import spot
from schemas.records import Mask

Numbers = NDArray[np.float64]
_FIT_TOLERANCE, _FIT_STEPS = 1e-6, 300
"""Where scores follow a straight line the logistic's ends run off to infinity; the correlation stands still
(to 1e-5) long before they do, so a fit that is still under way counts as it stands.
"""


def overlap(predicted: Sequence[Mask], truth: Mask) -> tuple[int, int]:
    """Pixels of the intersection and of the union of the true mask with all predicted masks together.

    No predicted mask is an empty one. Raises ValueError for masks of another size than the true one, and for
    runs that don't fill their size.
    """
    for mask in (*predicted, truth):
        masks.area(mask)
        if mask.size != truth.size:
            raise ValueError(f"a mask of {mask.size} can't be compared with one of {truth.size}")
    real = _rle(truth)
    if not predicted:
        return 0, int(coco_mask.area(real))
    found = coco_mask.merge([_rle(mask) for mask in predicted])
    both = coco_mask.merge([found, real], intersect=True)
    return int(coco_mask.area(both)), int(coco_mask.area(coco_mask.merge([found, real])))


def _rle(mask: Mask) -> dict[str, Any]:
    return {"size": mask.size, "counts": mask.counts.encode("ascii")}


def full_mask(height: int, width: int) -> Mask:
    """The mask of all pixels."""
    return masks.encode(np.ones((height, width), np.bool_))


def ious(intersections: ArrayLike, unions: ArrayLike) -> Numbers:
    """Intersection over union of each mask, 1 where the union is empty (nothing to find, nothing found)."""
    both, either = np.asarray(intersections, np.float64), np.asarray(unions, np.float64)
    return np.divide(both, either, out=np.ones_like(either), where=either > 0)


def share_inside(points: Sequence[tuple[float, float]], truth: Mask) -> float:
    """The share of points, x, y from 0 to 1, that lie in a mask; 0 for no point.

    A point lies in the pixel that covers it; 1.0 is in the last one. Raises ValueError for a broken mask.
    """
    if not points:
        return 0.0
    inside = masks.decode(truth)
    height, width = inside.shape
    places = np.asarray(points, np.float64)
    x = np.clip((places[:, 0] * width).astype(np.int64), 0, width - 1)
    y = np.clip((places[:, 1] * height).astype(np.int64), 0, height - 1)
    return float(inside[y, x].mean())


def inner_point(mask: Mask) -> tuple[float, float]:
    """The middle of the mask's deepest pixel, x, y from 0 to 1. Raises ValueError if broken or empty."""
    height, width = mask.size
    x, y = spot(masks.decode(mask))
    return x / width, y / height


def srcc(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Spearman's rank correlation, ties at their mean rank. NaN for under two values or a constant side."""
    from scipy.stats import rankdata

    return plcc(rankdata(np.asarray(predicted)), rankdata(np.asarray(truth)))


def plcc(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Pearson's linear correlation of the values as they are. NaN for under two or a constant side.

    `scipy.stats.pearsonr` gives the same and a p value, in 5 to 50 times the time: too long for a bootstrap.
    """
    x, y = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if x.size < 2:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(np.clip((x @ y) / scale, -1.0, 1.0)) if scale > 0 else float("nan")


def fitted_plcc(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Pearson's correlation after the 4-parameter logistic is fitted to map predicted scores to true ones.

    f(x) = b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)), least squares from b1 = max(y), b2 = min(y),
    b3 = mean(x), b4 = std(x) / 4 (VQEG, final report of FR-TV phase II, 2003, as quality assessment uses it).
    NaN for under five values or a constant side.
    """
    x, y = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if x.size < 5 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return plcc(_fit_logistic((x - x.mean()) / x.std(), (y - y.mean()) / y.std()), y)


def _fit_logistic(x: Numbers, y: Numbers) -> Numbers:
    """The fitted logistic at `x`, both standardised (which leaves the correlation as it is)."""
    from scipy.optimize import least_squares
    from scipy.special import expit

    def curve(b: Numbers) -> Numbers:
        width = max(abs(float(b[3])), 1e-9)
        return np.asarray(b[1] + (b[0] - b[1]) * expit((x - b[2]) / width))

    def slopes(b: Numbers) -> Numbers:
        width = max(abs(float(b[3])), 1e-9)
        place = (x - b[2]) / width
        share = expit(place)
        steep = (b[0] - b[1]) * share * (1 - share) / width
        return np.stack([share, 1 - share, -steep, -steep * place * np.sign(b[3])], axis=1)

    start = [float(y.max()), float(y.min()), 0.0, 0.25]
    limits = {"ftol": _FIT_TOLERANCE, "xtol": _FIT_TOLERANCE, "max_nfev": _FIT_STEPS}
    found = least_squares(lambda b: curve(b) - y, start, jac=slopes, method="lm", **limits)
    return curve(found.x)
