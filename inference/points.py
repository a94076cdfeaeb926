"""Text to point: the logits of the place words of an answer become a map of the picture, and points.

The method (IQA-Spider): position words in the answer, a softmax with temperature over the closed set of an
axis' words at the step that chose one of them. `paper` is its formula as published; `grid` and `proposal` go
on from there (docs/grounding.md says how and how far).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.clauses import speaks_of_whole
from inference.grounded_answer import Answer, Axis, Grounding, Placed, Region
from inference.place_tokens import PAPER, Vocabulary
from inference.positions import find_positions
from inference.proposals import choose_region
from inference.settled_points import Parts, settle
from inference.words import CLASSES, AxisName, Position, Word
from schemas.choices import Strategy
from schemas.drawing.outlines import spot

ANCHORS = np.array([0.08, 0.5, 0.92])
"""Where the point of each class of an axis stands, in unit coordinates. Not the cells' centers 1/6, 1/2, 5/6,
nor the expected coordinate, which lies between cells: regions called "left" reach the picture's border
more often than the center of its left third (docs/grounding.md has the figures).
"""
SIDE_POINTS = np.array([0.45, 0.5, 0.55])
"""Where points stand along an axis that the answer says nothing about ("the left side"): around its middle,
the expectation of what is uniform, close enough together to lie in one thing.
"""
UNCERTAIN = 0.9
"""Share of the largest entropy from which an axis is too flat to trust: the best of three classes at about
.57, the rest shared equally; the better of two at .68.
"""
SPOKEN = 0.9
"""Probability of the class an answer utters where its logits can't be read (the word begins with a token that
no table knows): the words are all there is.
"""
_TWO_PEAKS = 0.5
"""The lower of two peaks counts from this share of the higher."""


@dataclass(frozen=True)
class Temperatures:
    """What logits are divided by before the softmax of each axis; 1 leaves them alone."""

    horizontal: float = 1.0
    vertical: float = 1.0

    def __post_init__(self) -> None:
        if not all(np.isfinite(t) and t > 0 for t in (self.horizontal, self.vertical)):
            raise ValueError(f"temperatures are above 0, not {self.horizontal} and {self.vertical}")

    def of(self, axis: AxisName) -> float:
        """The temperature of one axis."""
        return self.horizontal if axis == "horizontal" else self.vertical


ONE = Temperatures()


def text_to_point(
    answer: Answer,
    vocabulary: Vocabulary,
    strategy: Strategy = "grid",
    temperatures: Temperatures = ONE,
    regions: Sequence[Region] | None = None,
    parts: Parts | None = None,
) -> Placed:
    """The places an answer names, each with its axes, map and points; or that it means the whole picture.

    "paper": x = p(right), y = p(bottom) in unit coordinates, p the softmax over the two words of the axis in
    the spelling of the uttered word; an axis without a word is 1/2. Its map has the same two classes. "grid":
    three classes an axis over all spellings and synonyms (log-sum-exp); the point of the likeliest
    cell, or of each of two where an axis has two peaks; three points in line along an axis that the answer
    doesn't name; an uncertain map falls back to the cell of the uttered words. With the `parts` of a picture
    each point settles inside the part that lies where the words say (`inference.settled_points.settle`).
    "proposal": the axes and the noun choose one of `regions`, all (H, W) of one size; the grounding carries
    it, and its point is the most interior one. With no fitting region the grid's points stay.

    Raises ValueError when the answer watched other columns than the vocabulary's, or "proposal" has no
    `regions`.
    """
    if not np.array_equal(answer.columns, vocabulary.columns):
        raise ValueError("the answer's columns are not those of the vocabulary")
    if strategy == "proposal" and regions is None:
        raise ValueError("the strategy 'proposal' needs regions")
    positions = find_positions(answer.text)
    if speaks_of_whole(answer.text, positions):
        return Placed((), whole_image=True)
    found = []
    for position in _distinct(positions):
        if strategy == "paper":
            grounding = _paper(answer, vocabulary, position, temperatures)
        else:
            grounding = _grid(answer, vocabulary, position, temperatures, parts)
        if strategy == "proposal" and regions:
            grounding = _proposed(grounding, regions)
        found.append(grounding)
    return Placed(tuple(found), whole_image=False)


def step_of(answer: Answer, word: Word) -> int | None:
    """The step whose token begins a word of the answer's text; None when no token covers its first letter."""
    covers = (answer.offsets[:, 0] <= word.start) & (word.start < answer.offsets[:, 1])
    steps = np.flatnonzero(covers)
    return int(steps[0]) if steps.size else None


def readable(answer: Answer, vocabulary: Vocabulary, word: Word) -> tuple[int, int] | None:
    """The step of a word and the column of its token; None where that token isn't watched as one of its class
    or a logit isn't a number.
    """
    step = step_of(answer, word)
    if step is None:
        return None
    column = vocabulary.place(int(answer.ids[step]))
    if column is None or column not in vocabulary.classes[word.name] or np.isnan(answer.logits[step]).any():
        return None
    return step, column


def class_probabilities(
    logits: NDArray[np.float32], vocabulary: Vocabulary, axis: AxisName, temperature: float = 1.0
) -> NDArray[np.float64]:
    """Probabilities (3,) of an axis' classes from the (K,) logits of one step: softmax at `temperature` over
    all tokens of the three classes, summed by class. A class without tokens gets 0.
    """
    scores = np.array(
        [_log_sum_exp(logits[vocabulary.classes[name]] / np.float64(temperature)) for name in CLASSES[axis]]
    )
    return _softmax(scores)


def pair_probabilities(
    logits: NDArray[np.float32], pair: tuple[int, int], temperature: float = 1.0
) -> NDArray[np.float64]:
    """The paper's closed-set softmax (2,) over the two words of an axis, from the (K,) logits of one step."""
    return _softmax(logits[list(pair)].astype(np.float64) / temperature)


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    best = scores.max()
    if not np.isfinite(best):
        return np.full(scores.size, 1 / scores.size)
    weights = np.exp(scores - best)
    return np.asarray(weights / weights.sum())


def _log_sum_exp(scores: NDArray[np.float64]) -> float:
    if not scores.size:
        return -np.inf
    best = scores.max()
    return float(best + np.log(np.exp(scores - best).sum())) if np.isfinite(best) else float(best)


def _distinct(positions: list[Position]) -> list[Position]:
    """Positions without those that say again what an earlier one said of the same thing."""
    kept: list[Position] = []
    for position in positions:
        said = [other for other in kept if other.names == position.names]
        if not any(position.noun is None or other.noun in (None, position.noun) for other in said):
            kept.append(position)
    return kept


def _axes(position: Position) -> list[tuple[AxisName, Word]]:
    both: tuple[AxisName, ...] = ("horizontal", "vertical")
    return [(axis, word) for axis in both if (word := position.word(axis)) is not None]


def _paper(
    answer: Answer, vocabulary: Vocabulary, position: Position, temperatures: Temperatures
) -> Grounding:
    axes: dict[AxisName, Axis] = {}
    for axis, word in _axes(position):
        names = PAPER[axis]
        step = step_of(answer, word)
        read = readable(answer, vocabulary, word)
        pair = vocabulary.pair(axis, read[1]) if read else None
        if read is None or pair is None:
            axes[axis] = Axis(names, _spoken(names, word), -1 if step is None else step)
        else:
            probabilities = pair_probabilities(answer.logits[read[0]], pair, temperatures.of(axis))
            axes[axis] = Axis(names, probabilities, read[0])
    point = [axes[axis].probabilities[1] if axis in axes else 0.5 for axis in CLASSES]
    ends = {axis: np.insert(found.probabilities, 1, 0.0) for axis, found in axes.items()}
    return _grounding(position, axes, ends, np.array([point]))


def _grid(
    answer: Answer,
    vocabulary: Vocabulary,
    position: Position,
    temperatures: Temperatures,
    parts: Parts | None,
) -> Grounding:
    axes: dict[AxisName, Axis] = {}
    for axis, word in _axes(position):
        read = readable(answer, vocabulary, word)
        if read is None:
            step = step_of(answer, word)
            axes[axis] = Axis(CLASSES[axis], _spoken(CLASSES[axis], word), -1 if step is None else step)
        else:
            found = class_probabilities(answer.logits[read[0]], vocabulary, axis, temperatures.of(axis))
            axes[axis] = Axis(CLASSES[axis], found, read[0])
    peaks: dict[AxisName, list[NDArray[np.float64] | None]] = {axis: [None] for axis in CLASSES}
    flat = any(_is_flat(axis.probabilities) for axis in axes.values())
    for axis, word in _axes(position):
        said = np.eye(3)[CLASSES[axis].index(word.name)]
        peaks[axis] = [said] if flat else _peaks(axes[axis].probabilities)
    places = [(across, down) for down in peaks["vertical"] for across in peaks["horizontal"]]
    points = np.concatenate(
        [
            _anchored(across, down) if parts is None else settle(parts, across, down, ANCHORS)
            for across, down in places
        ]
    )
    return _grounding(position, axes, {axis: found.probabilities for axis, found in axes.items()}, points)


def _anchored(across: NDArray[np.float64] | None, down: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """The points of one place without a picture: at the anchors of the likeliest classes."""
    xs, ys = (
        SIDE_POINTS if weights is None else ANCHORS[[int(np.argmax(weights))]] for weights in (across, down)
    )
    return np.array([[x, y] for y in ys for x in xs])


def _grounding(
    position: Position,
    axes: dict[AxisName, Axis],
    thirds: dict[AxisName, NDArray[np.float64]],
    points: NDArray[np.float64],
) -> Grounding:
    uniform = np.full(3, 1 / 3)
    return Grounding(
        span=(position.start, position.end),
        horizontal=axes.get("horizontal"),
        vertical=axes.get("vertical"),
        map=np.outer(thirds.get("vertical", uniform), thirds.get("horizontal", uniform)),
        points=points,
        uncertain=any(_is_flat(axis.probabilities) for axis in axes.values()),
        noun=position.noun,
    )


def _spoken(names: tuple[str, ...], word: Word) -> NDArray[np.float64]:
    """Probabilities where only the uttered word is known; equal ones where it is none of `names`."""
    if word.name not in names:
        return np.full(len(names), 1 / len(names))
    rest = (1 - SPOKEN) / (len(names) - 1)
    return np.array([SPOKEN if name == word.name else rest for name in names])


def _is_flat(probabilities: NDArray[np.float64]) -> bool:
    some = probabilities[probabilities > 0]
    return bool(-(some * np.log(some)).sum() > UNCERTAIN * np.log(probabilities.size))


def _peaks(probabilities: NDArray[np.float64]) -> list[NDArray[np.float64] | None]:
    """Class weights (3,) for each point along an axis: its probabilities, or those of each half where the
    middle is less likely than either end and neither end is much less likely than the other.
    """
    first, middle, last = probabilities
    if middle < min(first, last) and min(first, last) >= _TWO_PEAKS * max(first, last):
        return [probabilities * [1, 1, 0], probabilities * [0, 1, 1]]
    return [probabilities]


def _proposed(grounding: Grounding, regions: Sequence[Region]) -> Grounding:
    chosen = choose_region(grounding, regions)
    if chosen is None:
        return grounding
    return replace(grounding, region=chosen, points=(np.array([spot(chosen.mask)]) / chosen.mask.shape[::-1]))
