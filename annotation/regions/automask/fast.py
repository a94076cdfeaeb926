"""Automatic mask generation that decides on low-resolution logits and enlarges only what is left.

Stability, crop edges and duplicates within a crop are judged on the model's logits; masks that pass are
enlarged, each in its own window, cleaned and encoded. A mask is a duplicate when its pixels overlap a better
one's by an IoU above `max_overlap`; over all crops a smaller crop's mask is better.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from annotation.regions.automask import cleaning, runs, suppress
from annotation.regions.automask.found import Found, Guesses, near_crop_edge
from annotation.regions.automask.geometry import View, Window, enlarge_window, window
from annotation.regions.automask.runs import Encoded
from schemas.regions_config import SamConfig

if TYPE_CHECKING:
    import torch

HELD_BYTES = 48_000_000
"""Windows of logits above this many bytes are enlarged and encoded before duplicates are known."""


@dataclass
class Held:
    """A mask at low resolution: its runs, pixels and box there, and its window or the finished mask."""

    rle: dict[str, object]
    area: int
    box: NDArray[np.float32]
    predicted_iou: float
    stability: float
    point: tuple[float, float]
    part: Window | None
    encoded: Encoded | None = None


class Fast:
    """The masks of one picture, gathered crop by crop."""

    def __init__(self, config: SamConfig, dropped: Counter[str]) -> None:
        self._config = config
        self._dropped = dropped
        self._of_crop: list[Held] = []
        self._bytes = 0
        self._done: list[Found] = []

    def measure(self, guesses: Guesses, view: View, dropped: Counter[str]) -> list[Held]:
        """The stable masks among `guesses` that keep off the crop's inner edges."""
        side = guesses.logits.shape[-1]
        used = view.used(side)
        rows, columns = (min(math.ceil(part), side) for part in used)
        stability = _stability(guesses.logits[:, :rows, :columns], self._config.stability_offset)
        keep = stability >= self._config.min_stability if self._config.min_stability > 0 else stability > -1
        dropped["unstable"] += int(np.count_nonzero(~keep))
        chosen = keep.nonzero()[0]
        if not chosen.size:
            return []
        # Bilinear enlarging looks at one row and column of the padding, where there is padding.
        low = guesses.logits[chosen.tolist(), : rows + 1, : columns + 1].cpu().numpy()
        masks = low[:, :rows, :columns] > 0
        boxes = _boxes(masks)
        crop = view.crop
        scale = np.array([crop.width / used[1], crop.height / used[0]] * 2, np.float32)
        start = np.array([crop.x, crop.y] * 2, np.float32)
        empty = boxes[:, 2] == 0
        edge = near_crop_edge(boxes * scale + start, crop, view.picture) & ~empty
        dropped["crop-edge"] += int(np.count_nonzero(edge))
        dropped["empty"] += int(np.count_nonzero(empty))
        keep_rows = np.flatnonzero(~edge & ~empty)
        if not keep_rows.size:
            return []
        down = np.ascontiguousarray(masks[keep_rows].transpose(0, 2, 1)).view(np.uint8)
        rles = coco_mask.encode(down.transpose(2, 1, 0))
        areas = down.sum(axis=(1, 2), dtype=np.int64)
        result = []
        for row, rle, area in zip(keep_rows, rles, areas, strict=True):
            index = chosen[row]
            x0, y0, x1, y1 = (int(value) for value in boxes[row])
            x, y = guesses.points[index]
            result.append(
                Held(
                    rle=rle,
                    area=int(area),
                    box=boxes[row],
                    predicted_iou=float(guesses.predicted_iou[index]),
                    stability=float(stability[index]),
                    point=(float(x) + crop.x, float(y) + crop.y),
                    part=window(low[row], (x0, y0, x1, y1), view, side),
                )
            )
        return result

    def add(self, found: Sequence[Held], view: View) -> None:
        """Take in what `measure` found; encode what is held when it is much, which changes no result."""
        self._of_crop.extend(found)
        self._bytes += sum(item.part.logits.nbytes for item in found if item.part is not None)
        if self._bytes > HELD_BYTES:
            for item in self._of_crop:
                self._finish(item, view)
            self._bytes = 0

    def end_crop(self, view: View) -> None:
        """Drop duplicates within the crop that ends here, and encode the rest."""
        held, self._of_crop, self._bytes = self._of_crop, [], 0
        if not held:
            return
        kept = suppress.by_mask(
            [item.rle for item in held],
            np.array([item.area for item in held]),
            np.stack([item.box for item in held]),
            np.array([item.predicted_iou for item in held]),
            self._config.max_overlap,
        )
        self._dropped["duplicate"] += len(held) - len(kept)
        for index in kept:
            item = held[index]
            encoded = self._finish(item, view)
            if encoded.area == 0:
                self._dropped["empty"] += 1
                continue
            x, y, width, height = encoded.bbox
            box = np.array([x, y, x + width, y + height], np.float32)
            self._done.append(Found(encoded, item.predicted_iou, item.stability, item.point, view.crop, box))

    def result(self) -> list[Found]:
        """The masks of all crops without duplicates."""
        found = self._done
        if not found:
            return found
        # Smaller crops come first, and in one the masks the model rates higher.
        order = sorted(found, key=lambda item: (item.crop.width * item.crop.height, -item.predicted_iou))
        kept = suppress.by_mask(
            [
                {"size": item.encoded.mask.size, "counts": item.encoded.mask.counts.encode("ascii")}
                for item in order
            ],
            np.array([item.encoded.area for item in order]),
            np.stack([item.box for item in order]),
            -np.arange(len(order), dtype=np.float64),
            self._config.max_overlap,
        )
        self._dropped["duplicate"] += len(order) - len(kept)
        return [order[index] for index in kept]

    def _finish(self, item: Held, view: View) -> Encoded:
        if item.part is not None:
            item.encoded = _encode(item.part, view, self._config.min_island)
            item.part = None
        if item.encoded is None:
            raise ValueError("a mask is held without its logits and without its runs")
        return item.encoded


def _encode(part: Window, view: View, least: int) -> Encoded:
    """The window at the picture's resolution, holes filled and islands dropped."""
    mask = enlarge_window(part, view)
    x, y = view.crop.x + part.x, view.crop.y + part.y
    top, left, height, width = cv2.boundingRect(mask)
    if least and width:
        box = (x + left, y + top, width, height)
        wide = cleaning.window(box, least, view.picture)
        framed = np.zeros((wide[2], wide[3]), np.uint8)
        dx, dy = box[0] - wide[0], box[1] - wide[1]
        framed[dx : dx + width, dy : dy + height] = mask[left : left + width, top : top + height]
        mask, x, y = cleaning.clean(framed, least), wide[0], wide[1]
    return runs.encode(mask, x, y, view.picture)


def _stability(logits: torch.Tensor, offset: float) -> NDArray[np.float64]:
    """The IoU of (N, h, w) masks cut at `offset` above and below 0; nan where both are empty."""
    import torch

    sure, possible = (
        (logits > level).sum(-1, dtype=torch.int16).sum(-1, dtype=torch.int32).cpu().numpy()
        for level in (offset, -offset)
    )
    with np.errstate(invalid="ignore"):
        return np.asarray(sure / possible, np.float64)


def _boxes(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """x0, y0, x1, y1 of (N, h, w) masks, ends left out; zeros for an empty one."""
    ends = []
    for axis in (1, 2):
        line = np.asarray(masks.any(axis=axis))
        first, last = line.argmax(axis=1), line.shape[1] - line[:, ::-1].argmax(axis=1)
        full = np.asarray(line.any(axis=1))
        ends.append((np.where(full, first, 0), np.where(full, last, 0)))
    (x0, x1), (y0, y1) = ends
    return np.stack([x0, y0, x1, y1], axis=1).astype(np.float32)
