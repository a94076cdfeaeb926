"""What passes between the parts of inference: an answer with its logits, groundings, masks, a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.masks import BoolMask

if TYPE_CHECKING:
    from inference.settled_points import Parts

Picture = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""


@dataclass(frozen=True)
class Answer:
    """A generated answer and the raw logits of the position words at each of its steps.

    `ids` (T,) int64 the generated tokens, the prompt left out and the end token kept where there is one;
    `text` their text without special tokens; `offsets` (T, 2) int64 each token's characters in `text`, start
    and end (equal for a token that writes nothing); `columns` (K,) int64 the token ids that were watched;
    `logits` (T, K) float32 their raw logits at the step that chose each token: before temperature, repetition
    penalty or any other processor.
    """

    ids: NDArray[np.int64]
    text: str
    offsets: NDArray[np.int64]
    columns: NDArray[np.int64]
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class Axis:
    """The reading of one axis: class names in order of the axis ("left", "center", "right", or two of them
    under `paper`), their probabilities (n,) float64 that sum to 1, and the step of the answer that was read.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    step: int


@dataclass(frozen=True)
class Region:
    """A proposed region of a picture: boolean (H, W) mask, score in 0..1, label where it has one."""

    mask: BoolMask
    score: float
    label: str | None = None


@dataclass(frozen=True)
class Grounding:
    """One place that an answer names.

    `span` are the characters of the position phrase in the answer's text. `horizontal`, `vertical`: what was
    read of each axis, None where the answer says nothing about it (never invented). `map` (3, 3) float64 sums
    to 1, rows top to bottom, columns left to right. `points` (n, 2) float64 are x, y from 0 to 1, from
    the picture's top left corner, all of them foreground. `uncertain` when the map is too flat to trust.
    `noun` is the phrase the answer places there ("wooden table"), None where it names nothing. `region` is
    the proposed region that was chosen, under `proposal` alone: its mask is the grounding's.
    """

    span: tuple[int, int]
    horizontal: Axis | None
    vertical: Axis | None
    map: NDArray[np.float64]
    points: NDArray[np.float64]
    uncertain: bool
    noun: str | None = None
    region: Region | None = None


@dataclass(frozen=True)
class Placed:
    """What an answer says about places: its groundings in order, or that it speaks of the whole picture.

    Neither when it names no place at all.
    """

    groundings: tuple[Grounding, ...]
    whole_image: bool


@dataclass(frozen=True)
class Segmented:
    """One mask for one set of points: boolean (H, W), the segmenter's score in 0..1, and the number of the
    candidate that was chosen; `fallback` says in a word why no candidate fitted, None where one did.
    """

    mask: BoolMask
    score: float
    candidate: int
    fallback: str | None = None


class Encoded(Protocol):
    """A picture that a segmenter has looked at once, for any number of questions."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        ...

    def segment(self, points: Sequence[NDArray[np.float64]]) -> list[Segmented]:
        """One mask for each set of (n, 2) foreground points, x, y in unit coordinates."""
        ...

    def parts(self) -> Parts:
        """The parts of the picture, in which points of the strategy `grid` settle; found once and kept."""
        ...

    def regions(self) -> list[Region]:
        """All regions of the picture, for the strategy `proposal`; found once and kept."""
        ...


class Segmenter(Protocol):
    """Turns points into masks; one object serves any number of pictures."""

    name: str

    def encode(self, image: Picture) -> Encoded:
        """Look at a (H, W, 3) uint8 RGB picture once."""
        ...


@dataclass(frozen=True)
class Result:
    """What Spider makes of a picture and a question.

    `masks` has one for each grounding, or one of all pixels for an answer about the whole picture, or none.
    `seconds` by part: "answer", "points", "encode", "segment". `notes` are sentences about where what was
    read is weaker than it looks, such as logits that a server cuts off.
    """

    question: str
    answer: Answer
    placed: Placed
    masks: tuple[Segmented, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
