"""Scores of points against regions: hits, errors, and intervals over photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.hashing import rng
from schemas.masks import BoolMask, decode
from schemas.records import Mask
from training.photograph_bootstrap import interval, sums_by_photograph, totals

CENTRE = (0.5, 0.5)
DRAWS = 2000
Point = tuple[float, float]
"""x and y from 0 to 1, from the picture's top left corner."""


@dataclass(frozen=True)
class Score:
    """A mean over rows with its 95% interval over photographs: `hit` 0 to 1, `error` as `judged` has it."""

    rows: int
    hit: float
    hit_interval: tuple[float, float]
    error: float
    error_interval: tuple[float, float]

    def told(self) -> dict[str, Any]:
        return asdict(self)


def target_of(row: Mapping[str, Any]) -> BoolMask:
    """The mask (H, W) of a grounding row's one region."""
    (wanted,) = row["target_region_ids"]
    region = next(region for region in row["regions"] if region["region_id"] == wanted)
    return decode(Mask.model_validate(region["mask"]))


def judged(point: Point | None, mask: BoolMask) -> tuple[bool, float]:
    """Whether a point lies in the region, and its distance from the region's centroid.

    The distance is taken in unit coordinates and divided by the square root of 2, so that 1 is the picture's
    diagonal. No point is a miss, with the error of the centre.
    """
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    middle = ((columns.mean() + 0.5) / width, (rows.mean() + 0.5) / height)
    x, y = CENTRE if point is None else point
    inside = mask[min(int(y * height), height - 1), min(int(x * width), width - 1)]
    error = float(np.hypot(x - middle[0], y - middle[1]) / np.sqrt(2))
    return point is not None and bool(inside), error


def score(hits: Sequence[bool], errors: Sequence[float], photographs: Sequence[str], seed: int = 0) -> Score:
    """Means over rows; intervals by drawing whole photographs with replacement, 2.5% to 97.5%."""
    sums = sums_by_photograph(np.stack([hits, errors, np.ones(len(hits))], axis=1), photographs)
    drawn = totals(sums, DRAWS, rng(seed, "proof", "bootstrap"))
    hit, error = (interval(drawn[:, column] / drawn[:, 2]) for column in (0, 1))
    return Score(len(hits), hit[0], hit[1:], error[0], error[1:])


def apart(better: NDArray[np.float64] | tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two intervals share no point."""
    return bool(better[0] > other[1] or better[1] < other[0])
