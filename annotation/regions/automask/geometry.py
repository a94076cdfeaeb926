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
        plane = _resize(plane, (view.side, view.side))
        plane = plane[: view.columns, : view.rows]
    if plane.shape == size[::-1]:
        return plane
    return _resize(plane, size)


@dataclass(frozen=True)
class Window:
    """The part of a mask's logits that holds the mask, transposed, and the pixel of the crop it begins at.

    `first` holds how often the model's input has a logit's width, `then` the pixels to one of the input's,
    down and across.
    """

    logits: Logits
    x: int
    y: int
    first: int
    then: tuple[float, float]
    limit: tuple[int, int]


def window(logits: Logits, box: tuple[int, int, int, int], view: View, side: int) -> Window:
    """The window of `box` (x0, y0, x1, y1 in logits, ends left out), outside of which no logit is positive.

    `logits` are the used part of a plane of `side` x `side`, and a row and a column more if there are. The
    window has a margin of one, which is all that bilinear enlarging reaches over, and begins where a logit's
    edge is a pixel's edge, so that enlarging the window is enlarging the whole.
    """
    first = view.side // side if view.twice else 1
    used = (view.rows, view.columns) if view.twice else view.used(side)
    down, across = view.crop.height / used[0], view.crop.width / used[1]
    left, top = _aligned(max(0, box[0] - 1), first * across), _aligned(max(0, box[1] - 1), first * down)
    part = np.ascontiguousarray(logits[top : box[3] + 1, left : box[2] + 1].T)
    x, y = round(left * first * across), round(top * first * down)
    limit = round(used[1]) - left * first, round(used[0]) - top * first
    return Window(part, x, y, first, (down, across), limit)


def enlarge_window(part: Window, view: View) -> NDArray[np.uint8]:
    """The mask in the window at the crop's resolution, 0 or 1, transposed: (width, height)."""
    plane, limit = part.logits, part.limit
    if part.first > 1:
        plane = _resize(plane, None, part.first, part.first)
        plane = plane[: limit[0], : limit[1]]
    down, across = part.then
    if (down, across) != (1.0, 1.0):
        width, height = plane.shape[0] * across, plane.shape[1] * down
        if min(width, height) < 1:  # OpenCV takes no size of zero
            plane = _resize(plane, (max(1, round(height)), max(1, round(width))))
        else:
            plane = _resize(plane, None, down, across)
    plane = plane[: view.crop.width - part.x, : view.crop.height - part.y]
    return np.asarray(plane > 0).view(np.uint8)


def _resize(plane: Logits, size: tuple[int, int] | None, down: float = 0, across: float = 0) -> Logits:
    """A transposed plane at `size` (height, width), or `down` and `across` times as large. Bilinear."""
    result = cv2.resize(plane, size, fx=down, fy=across, interpolation=cv2.INTER_LINEAR)
    return np.asarray(result, np.float32)


def _aligned(place: int, scale: float) -> int:
    """The last logit up to `place` whose edge is on a pixel's edge."""
    edges = np.arange(place + 1) * scale
    return int(np.flatnonzero(np.abs(edges - np.rint(edges)) < PHASE)[-1])
