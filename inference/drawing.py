"""A result as a picture: masks and points on the photograph, the answer and its heat maps beside it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from inference.grounded_answer import Axis, Grounding, Picture, Result, Segmented
from inference.panels import MARKS, Panel
from schemas.drawing.lettering import typeface
from schemas.drawing.outlines import outline, spot
from schemas.drawing.text_column import DARK, INK, MUTED, PAPER, WHITE, Color
from schemas.masks import BoolMask

WIDTH, HEIGHT = 820, 1000
"""The room for the photograph, in pixels; a small one grows up to `LEAST`."""
LEAST = 460
PANEL_WIDTH = 460
MARGIN = 28
_SMOOTH = 4
_TINT = 0.28
_MOST_LETTERS = 3000
_MOST_MARKED = 12
_APART = 26


def draw_result(picture: Picture, result: Result, asked: BoolMask | None = None) -> Picture:
    """Draw a result beside its (H, W, 3) uint8 RGB picture.

    Each grounding has a color: of its outline, of its points and number on the photograph, of its words in
    the answer and of its 3x3 map. `asked` (H, W) is the region that the question was about, outlined by a
    dashed white line. The result is (H', W', 3) uint8 RGB. Raises ValueError for a mask of another size.
    """
    for mask in [item.mask for item in result.masks] + ([] if asked is None else [asked]):
        if mask.shape != picture.shape[:2]:
            raise ValueError(f"a mask of {mask.shape} does not fit a picture of {picture.shape[:2]}")
    left = marked(picture, result, asked)
    panel = _panel(result)
    height = 2 * MARGIN + max(left.shape[0], panel.shape[0])
    canvas = np.full((height, 3 * MARGIN + left.shape[1] + PANEL_WIDTH, 3), PAPER, np.uint8)
    canvas[MARGIN : MARGIN + left.shape[0], MARGIN : MARGIN + left.shape[1]] = left
    x = 2 * MARGIN + left.shape[1]
    canvas[MARGIN : MARGIN + panel.shape[0], x : x + PANEL_WIDTH] = panel
    return canvas


def marked(picture: Picture, result: Result, asked: BoolMask | None = None) -> Picture:
    """The photograph alone, as large as a screen, with masks, points, numbers: (H', W', 3) uint8 RGB."""
    out, scale = fitted(picture)
    marks = list(zip(result.placed.groundings, result.masks, strict=False))[:_MOST_MARKED]
    if not result.placed.whole_image:
        for k in reversed(range(len(marks))):
            _tint(out, marks[k][1].mask, MARKS[k % len(MARKS)])
        for k in reversed(range(len(marks))):
            _ring(out, marks[k][1].mask, scale, MARKS[k % len(MARKS)])
    elif result.masks:
        height, width = out.shape[:2]
        cv2.rectangle(out, (0, 0), (width - 1, height - 1), DARK, 13)
        cv2.rectangle(out, (0, 0), (width - 1, height - 1), MARKS[0], 9)
    if asked is not None:
        _dashes(out, asked, scale)
    image = Image.fromarray(out)
    draw = ImageDraw.Draw(image, "RGBA")
    if marks and not result.placed.whole_image:
        _thirds(draw, image.size)
    for k in reversed(range(len(marks))):
        grounding, segmented = marks[k]
        _points(draw, image.size, grounding, MARKS[k % len(MARKS)])
        _number(draw, image.size, grounding, segmented.mask, scale, k)
    return np.asarray(image, np.uint8)


def fitted(picture: Picture) -> tuple[Picture, float]:
    """A copy of the picture in its room (a small one is enlarged), and the scale."""
    height, width = picture.shape[:2]
    scale = min(WIDTH / width, HEIGHT / height, max(1.0, LEAST / max(height, width)))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.array(cv2.resize(picture, size, interpolation=how), np.uint8), scale


def _tint(out: Picture, mask: BoolMask, color: Color) -> None:
    size = (out.shape[1], out.shape[0])
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)[..., None] * _TINT
    out[:] = np.round(out * (1 - share) + np.array(color, np.float32) * share).astype(np.uint8)


def _rings(mask: BoolMask, scale: float) -> list[NDArray[np.float64]]:
    return outline(mask, scale) if mask.any() else []


def _ring(out: Picture, mask: BoolMask, scale: float, color: Color) -> None:
    points = [np.round(ring * 2**_SMOOTH).astype(np.int32) for ring in _rings(mask, scale)]
    for stroke, thickness in ((DARK, 7), (color, 4)):
        cv2.polylines(out, points, True, stroke, thickness, cv2.LINE_AA, _SMOOTH)


def _dashes(out: Picture, mask: BoolMask, scale: float, length: float = 9.0) -> None:
    """A dashed white line on a dark one around a mask."""
    for ring in _rings(mask, scale):
        closed = np.vstack([ring, ring[:1]])
        steps = np.linalg.norm(np.diff(closed, axis=0), axis=1)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        places = np.arange(0, along[-1], length / 2)
        dense = np.stack([np.interp(places, along, closed[:, axis]) for axis in (0, 1)], axis=1)
        whole = [np.round(ring * 2**_SMOOTH).astype(np.int32)]
        cv2.polylines(out, whole, True, DARK, 4, cv2.LINE_AA, _SMOOTH)
        for begin in range(0, len(dense), 4):
            dash = np.round(dense[begin : begin + 3] * 2**_SMOOTH).astype(np.int32)
            cv2.polylines(out, [dash], False, WHITE, 2, cv2.LINE_AA, _SMOOTH)


def _thirds(draw: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    """The lines of the 3x3 grid that position words speak of, faintly."""
    width, height = size
    for k in (1, 2):
        x, y = width * k / 3, height * k / 3
        for ends in (((x, 0), (x, height)), ((0, y), (width, y))):
            draw.line([(a + 1, b + 1) for a, b in ends], fill=(0, 0, 0, 60), width=1)
            draw.line(list(ends), fill=(255, 255, 255, 110), width=1)


def _points(draw: ImageDraw.ImageDraw, size: tuple[int, int], grounding: Grounding, color: Color) -> None:
    for x, y in grounding.points:
        a, b = float(x) * size[0], float(y) * size[1]
        a, b = min(max(a, 9), size[0] - 9), min(max(b, 9), size[1] - 9)
        for radius, fill in ((9, DARK), (7, WHITE), (5, color)):
            draw.ellipse((a - radius, b - radius, a + radius, b + radius), fill=fill)


def _number(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    grounding: Grounding,
    mask: BoolMask,
    scale: float,
    k: int,
) -> None:
    """The grounding's number inside its mask, or at the mask's upper edge where a point is in the way."""
    if not mask.any():
        return
    x, y = (scale * value for value in spot(mask))
    points = grounding.points * np.array(size)
    if len(points) and float(np.linalg.norm(points - (x, y), axis=1).min()) < _APART:
        row = int(mask.any(axis=1).argmax())
        x, y = scale * (float(np.flatnonzero(mask[row]).mean()) + 0.5), scale * row
    x, y = min(max(x, 15), size[0] - 15), min(max(y, 15), size[1] - 15)
    draw.ellipse((x - 13, y - 13, x + 13, y + 13), fill=MARKS[k % len(MARKS)], outline=DARK, width=2)
    draw.text((x, y), str(k + 1), font=typeface(14, bold=True), fill=DARK, anchor="mm")


def _panel(result: Result) -> Picture:
    pen = Panel(PANEL_WIDTH)
    groundings = result.placed.groundings[:_MOST_MARKED]
    pen.asked(result.question[:_MOST_LETTERS])
    spans = [] if result.placed.whole_image else [grounding.span for grounding in groundings]
    pen.answered(result.answer.text[:_MOST_LETTERS], spans)
    if result.placed.whole_image:
        pen.line("The answer is about the whole picture.", 15, INK, bold=True)
    elif not groundings:
        pen.line("The answer names no place.", 15, MUTED)
    else:
        for k, grounding in enumerate(groundings):
            segmented = result.masks[k] if k < len(result.masks) else None
            _key(pen, k, grounding, segmented, result.answer.text)
        hidden = len(result.placed.groundings) - len(groundings)
        if hidden:
            pen.line(f"and {hidden} more places", 13, MUTED)
    for note in result.notes:
        pen.line(note, 12, MUTED)
    took = " · ".join(f"{part} {seconds:.2f} s" for part, seconds in result.seconds.items())
    if took:
        pen.space(4)
        pen.line(took, 12, MUTED)
    return pen.to_array()


def _key(pen: Panel, k: int, grounding: Grounding, segmented: Segmented | None, text: str) -> None:
    """One grounding: number, words, map, axes, mask."""
    words = text[grounding.span[0] : grounding.span[1]]
    title = f"{grounding.noun}, {words}" if grounding.noun and grounding.noun != words else words
    lines = [describe(axis) for axis in (grounding.horizontal, grounding.vertical) if axis is not None]
    if segmented is not None:
        share = 100 * float(np.count_nonzero(segmented.mask)) / max(1, segmented.mask.size)
        lines.append(f"mask: {share:.1f}% of the picture, score {segmented.score:.2f}")
        if segmented.fallback:
            lines.append(f"no candidate fitted: {segmented.fallback}")
    if grounding.uncertain:
        lines.append("uncertain: the map is flat")
    pen.grounding(k, title, grounding.map, lines)


def describe(axis: Axis) -> str:
    """The classes of an axis with their probabilities: "left 0.91, center 0.06, right 0.03"."""
    pairs: Sequence[tuple[str, float]] = list(zip(axis.classes, axis.probabilities.tolist(), strict=True))
    return ", ".join(f"{name} {value:.2f}" for name, value in pairs)
