"""From a model's low-resolution logits to pixels of a crop."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation.regions.automask.grid import Crop

Logits = NDArray[np.float32]
PHASE = 1 / 64  # pixels by which an enlarged window may be shifted


@dataclass(frozen=True)
class View:
    """How a crop lies in the model's square input of `side` pixels.

    The crop fills the input's first `rows` and `columns`; the rest, if any, is padding. `twice` says that the
    original enlarges logits to the input's size first and to the crop's then, as SAM's does.
    """

    crop: Crop
    picture: tuple[int, int]
    side: int
    rows: int
    columns: int
    twice: bool

    def used(self, logits_side: int) -> tuple[float, float]:
        """Rows and columns of `logits_side` x `logits_side` logits that show the crop, with fractions."""
        return self.rows * logits_side / self.side, self.columns * logits_side / self.side


def enlarge(logits: Logits, view: View) -> Logits:
    """A mask's (h, w) logits at the crop's size, transposed: (width, height). Bilinear, as the original."""
    size = (view.crop.height, view.crop.width)
    plane = np.ascontiguousarray(logits.T)
    if view.twice:
        plane = cv2.resize(plane, (view.side, view.side), interpolation=cv2.INTER_LINEAR)
        plane = plane[: view.columns, : view.rows]
    if plane.shape == size[::-1]:
        return plane
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR))


@dataclass(frozen=True)
class Window:
    """The part of a mask's logits that holds the mask, transposed, and the pixel where it begins."""

    logits: Logits
    scale: tuple[float, float]
    x: int
    y: int


def window(logits: Logits, box: tuple[int, int, int, int], view: View, side: int) -> Window:
    """The window of `box` (x0, y0, x1, y1 in logits, ends left out), outside of which no logit is positive.

    `logits` are the used part of a plane of `side` x `side`.

    It has a margin of one, which is all that bilinear enlarging reaches over, and begins where a logit's edge
    is a pixel's edge, so that enlarging the window is enlarging the whole.
    """
    used = view.used(side)
    rows, columns = logits.shape
    scale_y, scale_x = view.crop.height / used[0], view.crop.width / used[1]
    left, top = _aligned(max(0, box[0] - 1), scale_x), _aligned(max(0, box[1] - 1), scale_y)
    right, bottom = min(columns, box[2] + 1), min(rows, box[3] + 1)
    part = np.ascontiguousarray(logits[top:bottom, left:right].T)
    return Window(part, (scale_x, scale_y), round(left * scale_x), round(top * scale_y))


def enlarge_window(part: Window, view: View) -> NDArray[np.uint8]:
    """The mask in the window at the crop's resolution, 0 or 1, transposed, in one bilinear step."""
    scale_x, scale_y = part.scale
    # What a window at the far edges holds beyond the crop is cut off; less than a pixel can't be asked for.
    height = max(1, round(part.logits.shape[1] * scale_y))
    width = max(1, round(part.logits.shape[0] * scale_x))
    exact = height == part.logits.shape[1] * scale_y and width == part.logits.shape[0] * scale_x
    if exact or min(part.logits.shape[1] * scale_y, part.logits.shape[0] * scale_x) < 0.5:
        plane = cv2.resize(part.logits, (height, width), interpolation=cv2.INTER_LINEAR)
    else:
        plane = cv2.resize(part.logits, None, fx=scale_y, fy=scale_x, interpolation=cv2.INTER_LINEAR)
    plane = plane[: view.crop.width - part.x, : view.crop.height - part.y]
    return np.asarray(plane > 0).view(np.uint8)


def _aligned(place: int, scale: float) -> int:
    """The last logit up to `place` whose edge is on a pixel's edge."""
    edges = np.arange(place + 1) * scale
    return int(np.flatnonzero(np.abs(edges - np.rint(edges)) < PHASE)[-1])
