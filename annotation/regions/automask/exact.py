"""Automatic mask generation step by step as segment-anything has it, with its thresholds for duplicates.

Stability is measured on enlarged masks. Within a crop and then over all crops, where a smaller crop's mask
wins, a mask is a duplicate when its BOX overlaps a better one's by an IoU above 0.7; small holes and islands
are cleaned last, and boxes are compared once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from annotation.regions.automask import cleaning, runs, suppress
from annotation.regions.automask.found import Found, Guesses, near_crop_edge
from annotation.regions.automask.geometry import View, enlarge
from annotation.regions.automask.runs import Encoded
from schemas.regions_config import SamConfig

BOX_OVERLAP = 0.7
"""`box_nms_thresh` and `crop_nms_thresh` of segment-anything's generator; SSA leaves both as they are."""


class Exact:
    """The masks of one picture, gathered crop by crop."""

    def __init__(self, config: SamConfig, dropped: Counter[str]) -> None:
        self._config = config
        self._dropped = dropped
        self._of_crop: list[Found] = []
        self._done: list[Found] = []

    def measure(self, guesses: Guesses, view: View, dropped: Counter[str]) -> list[Found]:
        """The stable masks among `guesses` that keep off the crop's inner edges, one enlarged at a time."""
        offset, least = self._config.stability_offset, self._config.min_stability
        crop = view.crop
        result = []
        low = guesses.logits.cpu().numpy()
        for index in range(low.shape[0]):
            plane = enlarge(low[index], view)
            sure, possible = (np.count_nonzero(plane > level) for level in (offset, -offset))
            stability = float(sure / possible) if possible else float("nan")
            if least > 0 and not stability >= least:
                dropped["unstable"] += 1
                continue
            encoded = runs.encode((plane > 0).view(np.uint8), crop.x, crop.y, view.picture)
            box = _box(encoded)
            if near_crop_edge(box[None], crop, view.picture)[0]:
                dropped["crop-edge"] += 1
                continue
            x, y = guesses.points[index]
            point = (float(x) + crop.x, float(y) + crop.y)
            result.append(Found(encoded, float(guesses.predicted_iou[index]), stability, point, crop, box))
        return result

    def add(self, found: Sequence[Found], view: View) -> None:
        """Take in what `measure` found."""
        self._of_crop.extend(found)

    def end_crop(self, view: View) -> None:
        """Drop duplicates within the crop that ends here."""
        self._done += self._distinct(self._of_crop, [item.predicted_iou for item in self._of_crop])
        self._of_crop = []

    def result(self) -> list[Found]:
        """The masks of all crops, cleaned, without duplicates."""
        kept = self._done
        if any(item.crop.layer for item in kept):
            kept = self._distinct(kept, [1 / (item.crop.width * item.crop.height) for item in kept])
        if self._config.min_island:
            cleaned = [_cleaned(item, self._config.min_island) for item in kept]
            same = [float(new is old) for new, old in zip(cleaned, kept, strict=True)]
            kept = self._distinct(cleaned, same)
        return kept

    def _distinct(self, found: list[Found], scores: list[float]) -> list[Found]:
        if not found:
            return found
        boxes = np.stack([item.box for item in found])
        kept = suppress.by_box(boxes, np.array(scores, np.float32), BOX_OVERLAP)
        self._dropped["duplicate"] += len(found) - len(kept)
        return [found[index] for index in kept]


def _cleaned(item: Found, least: int) -> Found:
    size = (item.encoded.mask.size[0], item.encoded.mask.size[1])
    x, y, width, height = cleaning.window(item.encoded.bbox, least, size)
    before = runs.decode(item.encoded.mask)[x : x + width, y : y + height]
    before = np.ascontiguousarray(before)
    after = cleaning.clean(before, least)
    if after is before:
        return item
    encoded = runs.encode(after, x, y, size)
    return replace(item, encoded=encoded, box=_box(encoded))


def _box(encoded: Encoded) -> np.ndarray:
    x, y, width, height = encoded.bbox
    return np.array([x, y, x + max(width - 1, 0), y + max(height - 1, 0)], np.float32)
