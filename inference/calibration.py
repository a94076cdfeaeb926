"""Temperatures of text-to-point, fitted on held-out rows, and the file that keeps them with their model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.grounded_answer import Answer
from inference.place_tokens import PAPER, Vocabulary
from inference.points import Temperatures, class_probabilities, pair_probabilities, readable
from inference.positions import find_positions
from inference.words import CLASSES, AxisName
from schemas.errors import InputError
from schemas.store import write_atomically

LOWEST, HIGHEST = 0.05, 20.0
"""Bounds of a temperature."""
BINS = 10
_MOST_BYTES = 100_000
_AXES: tuple[AxisName, ...] = ("horizontal", "vertical")


@dataclass(frozen=True)
class Example:
    """The reading of one axis with its truth: (K,) logits of the step, the column of the uttered token, and
    the class that the row's region has on this axis.
    """

    axis: AxisName
    logits: NDArray[np.float32]
    column: int
    truth: str


class Fit(BaseModel):
    """What was fitted for one axis: its temperature, and negative log-likelihood (nats) and expected
    calibration error at temperature 1 and at this one. `rows` were read; with none the temperature is 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    temperature: float = Field(ge=LOWEST, le=HIGHEST)
    rows: int = Field(ge=0)
    nll_before: float
    nll: float
    ece_before: float
    ece: float


class Calibration(BaseModel):
    """The temperatures of a model under a prompt, for one way to read its logits."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    model: str
    prompt: str
    strategy: Literal["paper", "grid"]
    horizontal: Fit
    vertical: Fit

    @property
    def temperatures(self) -> Temperatures:
        """As `text_to_point` takes them."""
        return Temperatures(self.horizontal.temperature, self.vertical.temperature)


def examples(answer: Answer, vocabulary: Vocabulary, place: str) -> list[Example]:
    """What an answer gives to calibrate with, where its region's true place is "top left", "center", ...

    Only axes that the answer's first position names count; under "left" the truth of an unnamed vertical axis
    is no business of the logits. Raises ValueError for a place of other words.
    """
    truth = _truth(place)
    positions = find_positions(answer.text)
    found = []
    for axis in _AXES:
        word = positions[0].word(axis) if positions else None
        read = readable(answer, vocabulary, word) if word else None
        if read is not None:
            found.append(Example(axis, answer.logits[read[0]], read[1], truth[axis]))
    return found


def calibrate(
    rows: Iterable[Example],
    vocabulary: Vocabulary,
    model: str,
    prompt: str,
    strategy: Literal["paper", "grid"] = "grid",
) -> Calibration:
    """Fit the temperature of each axis by the least negative log-likelihood of the truth.

    `rows` are of held-out pictures. `model` and `prompt` say what the temperatures hold for, such as a hub
    name with its revision and a prompt's version. Under "paper" rows whose truth is "center" are left out:
    its two words can't say it.
    """
    listed = list(rows)
    fits = {
        axis: _fit([row for row in listed if row.axis == axis], vocabulary, axis, strategy) for axis in _AXES
    }
    return Calibration(
        model=model,
        prompt=prompt,
        strategy=strategy,
        horizontal=fits["horizontal"],
        vertical=fits["vertical"],
    )


def save(calibration: Calibration, path: Path) -> None:
    """Write as JSON; the file appears whole. Raises InputError where it can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (calibration.model_dump_json(indent=2) + "\n").encode(), path.parent)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give another place for the calibration") from error


def load(path: Path, model: str, prompt: str, strategy: Literal["paper", "grid"]) -> Calibration:
    """Read a calibration. Raises InputError when it is missing, malformed or was made for something else."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; no calibration is read from here") from error
    try:
        found = Calibration.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: {where}: {first['msg']}; calibrate again") from error
    wanted = {"model": model, "prompt": prompt, "strategy": strategy}
    for name, value in wanted.items():
        if getattr(found, name) != value:
            raise InputError(
                f"{path} was made for {name} {getattr(found, name)!r}, not {value!r}; calibrate for this one"
            )
    return found


def _fit(rows: Sequence[Example], vocabulary: Vocabulary, axis: AxisName, strategy: str) -> Fit:
    from scipy.optimize import minimize_scalar

    names = PAPER[axis] if strategy == "paper" else CLASSES[axis]
    used = [row for row in rows if row.truth in names]
    if strategy == "paper":
        used = [row for row in used if vocabulary.pair(axis, row.column) is not None]
    truth = np.array([names.index(row.truth) for row in used], int)

    def read(temperature: float) -> NDArray[np.float64]:
        found = [_probabilities(row, vocabulary, strategy, temperature) for row in used]
        return np.array(found).reshape(-1, len(names))

    def measured(temperature: float) -> tuple[float, float]:
        if not used:
            return 0.0, 0.0
        found = read(temperature)
        likely = np.maximum(found[np.arange(truth.size), truth], np.finfo(np.float64).tiny)
        right = found.argmax(axis=1) == truth
        return float(-np.log(likely).mean()), expected_calibration_error(found.max(axis=1), right, BINS)

    temperature = 1.0
    if used:
        bounds = (np.log(LOWEST), np.log(HIGHEST))
        best = minimize_scalar(lambda log: measured(float(np.exp(log)))[0], bounds=bounds, method="bounded")
        temperature = float(np.clip(np.exp(best.x), LOWEST, HIGHEST))
        if measured(temperature)[0] >= measured(1.0)[0]:
            temperature = 1.0
    (before, error_before), (after, error) = measured(1.0), measured(temperature)
    return Fit(
        temperature=temperature,
        rows=len(used),
        nll_before=before,
        nll=after,
        ece_before=error_before,
        ece=error,
    )


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> float:
    """ECE: over equal bins of confidence from 0 to 1, the mean distance of accuracy and confidence, weighted
    by the bins' sizes (Guo et al., arXiv 1706.04599; bins are open on the left). NaN for no value.

    Raises ValueError for a confidence outside 0..1.
    """
    sure, right = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if sure.size == 0:
        return float("nan")
    if not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError("a confidence is a number from 0 to 1")
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(place, right, bins) - np.bincount(place, sure, bins)
    return float(np.abs(gap).sum() / sure.size)


def _probabilities(
    row: Example, vocabulary: Vocabulary, strategy: str, temperature: float
) -> NDArray[np.float64]:
    pair = vocabulary.pair(row.axis, row.column) if strategy == "paper" else None
    if pair is not None:
        return pair_probabilities(row.logits, pair, temperature)
    return class_probabilities(row.logits, vocabulary, row.axis, temperature)


def _truth(place: str) -> dict[AxisName, str]:
    said = place.split()
    if not said or not set(said) <= {"left", "right", "top", "bottom", "center"}:
        raise ValueError(f"{place!r} is not a place")
    return {
        axis: next((word for word in said if word != "center" and word in CLASSES[axis]), "center")
        for axis in _AXES
    }
