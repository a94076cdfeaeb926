"""Results made by hand, for what draws and tells them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.grounded_answer import Answer, Axis, Grounding, Placed, Result, Segmented

COLUMNS = ("left", "center", "right")
ROWS = ("top", "center", "bottom")
TEXT = "The smooth dark blue area at the top left of the picture looks worst, then the patch on the right."


def answer(text: str = TEXT) -> Answer:
    empty = np.zeros((0,), np.int64)
    return Answer(empty, text, np.zeros((0, 2), np.int64), empty, np.zeros((0, 0), np.float32))


def axis(classes: tuple[str, ...], values: tuple[float, ...]) -> Axis:
    return Axis(classes, np.array(values), 3)


def grounding(
    text: str, phrase: str, x: tuple[float, ...], y: tuple[float, ...] | None, noun: str | None = None
) -> Grounding:
    start = text.index(phrase)
    rows = np.array(y if y is not None else (1 / 3,) * 3)
    points = [[float(np.dot(x, (1, 3, 5))) / 6, float(np.dot(rows, (1, 3, 5))) / 6]]
    if y is None:
        points = [[points[0][0], (2 * k + 1) / 6] for k in range(3)]
    return Grounding(
        span=(start, start + len(phrase)),
        horizontal=axis(COLUMNS, x),
        vertical=None if y is None else axis(ROWS, y),
        map=np.outer(rows, x),
        points=np.array(points),
        uncertain=y is None,
        noun=noun,
    )


def ellipse(shape: tuple[int, ...], x: float, y: float, a: float, b: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.asarray(
        ((columns / shape[1] - x) / a) ** 2 + ((rows / shape[0] - y) / b) ** 2 < 1 + 0.2 * np.sin(columns / 9)
    )


def two_places(shape: tuple[int, ...]) -> Result:
    """A sure place at the top left, and an unsure one at the right."""
    first = grounding(TEXT, "top left", (0.82, 0.12, 0.06), (0.7, 0.2, 0.1), "the smooth dark blue area")
    second = grounding(TEXT, "right", (0.2, 0.3, 0.5), None, "the patch")
    masks = (
        Segmented(ellipse(shape, 0.27, 0.3, 0.2, 0.22), 0.91, 1),
        Segmented(ellipse(shape, 0.8, 0.55, 0.12, 0.35), 0.48, 0, "too large"),
    )
    seconds = {"answer": 1.234, "points": 0.001, "encode": 0.21, "segment": 0.013}
    return Result(
        "Which region of this picture has the worst quality?", answer(), Placed((first, second), False),
        masks, seconds,
    )  # fmt: skip


def whole(shape: tuple[int, ...]) -> Result:
    text = "The whole picture suffers from strong noise."
    mask = Segmented(np.ones(shape[:2], bool), 1.0, 0)
    return Result("Where is the noise?", answer(text), Placed((), True), (mask,), {"answer": 0.5})


def nowhere() -> Result:
    return Result("Is it sharp?", answer("It is sharp."), Placed((), False), ())
