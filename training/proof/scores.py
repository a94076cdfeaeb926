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
    names = sorted(set(photographs))
    member = [np.flatnonzero([name == photograph for photograph in photographs]) for name in names]
    values = np.stack([np.asarray(hits, dtype=float), np.asarray(errors, dtype=float)])
    sums = np.stack([values[:, rows].sum(axis=1) for rows in member])
    counts = np.array([len(rows) for rows in member], dtype=float)
    drawn = rng(seed, "proof", "bootstrap").integers(len(names), size=(DRAWS, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)[:, None]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return Score(
        values.shape[1], float(values[0].mean()), (float(low[0]), float(high[0])),
        float(values[1].mean()), (float(low[1]), float(high[1])),
    )  # fmt: skip


def apart(better: NDArray[np.float64] | tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two intervals share no point."""
    return bool(better[0] > other[1] or better[1] < other[0])
