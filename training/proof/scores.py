"""Scores of points against regions: hits, errors, and intervals over photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from schemas.hashing import rng
from schemas.masks import BoolMask, decode
from schemas.records import Mask
from training.photograph_bootstrap import percentile_interval, resample_totals, sum_by_photograph

CENTER = (0.5, 0.5)
DRAWS = 2000
Point = tuple[float, float]
"""x and y from 0 to 1, from the picture's top left corner."""


@dataclass(frozen=True)
class PointScore:
    """Means over rows with 95% intervals over photographs: `hit` from 0 to 1, `error` as in `judge_point`."""

    rows: int
    hit: float
    hit_interval: tuple[float, float]
    error: float
    error_interval: tuple[float, float]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def decode_target(row: Mapping[str, Any]) -> BoolMask:
    """The mask (H, W) of a grounding row's one region."""
    (wanted,) = row["target_region_ids"]
    region = next(region for region in row["regions"] if region["region_id"] == wanted)
    return decode(Mask.model_validate(region["mask"]))


def judge_point(point: Point | None, mask: BoolMask) -> tuple[bool, float]:
    """Whether a point lies in the region, and its distance from the region's centroid.

    The distance is in unit coordinates, divided by the square root of 2, so that 1 is the picture's diagonal.
    No point counts as a miss, with the error of the picture's center.
    """
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    middle = ((columns.mean() + 0.5) / width, (rows.mean() + 0.5) / height)
    x, y = CENTER if point is None else point
    inside = mask[min(int(y * height), height - 1), min(int(x * width), width - 1)]
    error = float(np.hypot(x - middle[0], y - middle[1]) / np.sqrt(2))
    return point is not None and bool(inside), error


def score_points(
    hits: Sequence[bool], errors: Sequence[float], photographs: Sequence[str], seed: int = 0
) -> PointScore:
    """Means over rows; intervals, 2.5% to 97.5%, by drawing whole photographs with replacement."""
    sums = sum_by_photograph(np.stack([hits, errors, np.ones(len(hits))], axis=1), photographs)
    drawn = resample_totals(sums, DRAWS, rng(seed, "proof", "bootstrap"))
    hit, error = (percentile_interval(drawn[:, column] / drawn[:, 2]) for column in (0, 1))
    return PointScore(len(hits), hit[0], hit[1:], error[0], error[1:])


def are_disjoint(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two intervals don't overlap."""
    return bool(one[0] > other[1] or one[1] < other[0])
