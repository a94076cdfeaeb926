"""Automatic mask generation over a point-prompted model: a grid of points on a picture and on its crops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from annotation.regions import region_models
from annotation.regions.automask.exact import Exact
from annotation.regions.automask.fast import Fast
from annotation.regions.automask.found import Found, guesses
from annotation.regions.automask.geometry import View
from annotation.regions.automask.grid import points
from annotation.regions.interface import Candidate, Proposals
from schemas.regions_config import SamConfig

if TYPE_CHECKING:
    import torch

__all__ = ["Automask", "Predict", "View"]

Predict = Callable[[NDArray[np.float64]], "tuple[torch.Tensor, torch.Tensor]"]
"""From points (P, 2) in pixels of a crop to float32 logits (P, M, h, h) and predicted IoUs (P, M)."""


class Automask:
    """The masks of one picture: call `crop` for each of its crops, then `proposals`.

    With `exact` the steps, thresholds for duplicates and numbers are segment-anything's, without it they are
    taken on low-resolution logits: see `automask.exact` and `automask.fast`. Masks are run-length encoded
    batch by batch, so that memory doesn't grow with their number. Each rule's drops are counted:
    "low-predicted-iou", "unstable", "crop-edge", "duplicate", "empty".
    """

    def __init__(self, config: SamConfig, points_per_batch: int) -> None:
        self._config = config
        self._batch = points_per_batch
        self._dropped: Counter[str] = Counter()
        self._masks: Exact | Fast = (Exact if config.exact else Fast)(config, self._dropped)

    def crop(self, predict: Predict, view: View) -> None:
        """Prompt all points of the grid on one crop. Out of memory halves the batch of points."""
        grid = points(view.crop, self._config.points_per_side, self._config.crop_downscale)
        gather = self._masks

        def run(part: Sequence[int]) -> tuple[object, Counter[str]]:
            dropped: Counter[str] = Counter()
            chosen = grid[part[0] : part[-1] + 1]
            seen = guesses(*predict(chosen), chosen, self._config.min_predicted_iou, dropped)
            return gather.measure(seen, view, dropped), dropped

        for found, dropped in region_models.in_batches(range(len(grid)), self._batch, run):
            gather.add(found, view)  # type: ignore[arg-type]
            self._dropped += dropped
        gather.end_crop(view)

    def proposals(self) -> Proposals:
        """The picture's masks, best first, and the drops by reason."""
        kept = self._masks.result()
        candidates = [_candidate(item) for item in kept if item.encoded.area]
        self._dropped["empty"] += len(kept) - len(candidates)
        return Proposals(candidates, {name: count for name, count in sorted(self._dropped.items()) if count})


def _candidate(item: Found) -> Candidate:
    crop = item.crop
    return Candidate(
        mask=item.encoded.mask,
        area=item.encoded.area,
        bbox=item.encoded.bbox,
        score=min(1.0, max(0.0, item.predicted_iou)),
        facts={
            "predicted_iou": item.predicted_iou,
            "stability_score": item.stability,
            "point_x": item.point[0],
            "point_y": item.point[1],
            "crop_x": crop.x,
            "crop_y": crop.y,
            "crop_width": crop.width,
            "crop_height": crop.height,
        },
    )
