"""The point that a generated answer means: its first place words, read by the logits that chose them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.proof.answering import Generated
from training.proof.scores import CENTRE, Point

COLUMN = ("left", "center", "right")
ROW = ("top", "center", "bottom")
_CENTRES = np.array([1 / 6, 1 / 2, 5 / 6])
_WORD = re.compile(r"[^A-Za-z]*(top|bottom|left|right|center)", re.IGNORECASE)


def point_of(answer: Generated, vocabulary: Mapping[str, int]) -> Point | None:
    """The point of the first place an answer names, None when it names none.

    Of two place words in a row the first is the row's and the second the column's; of one alone, "left" and
    "right" are a column and others a row. Each axis that is named is the mean of its three cell centres,
    weighted by the probabilities of its three words at the step that chose the word; one that isn't is the
    middle.
    """
    texts = {number: token for token, number in vocabulary.items()}
    words = [_WORD.fullmatch(texts.get(int(number), "")) for number in answer.ids]
    first = next((step for step, match in enumerate(words) if match is not None), None)
    if first is None:
        return None
    if first + 1 < len(words) and words[first + 1] is not None:
        return _mean(answer, first + 1, COLUMN, texts), _mean(answer, first, ROW, texts)
    alone = words[first]
    if alone is not None and alone[1].lower() in ("left", "right"):
        return _mean(answer, first, COLUMN, texts), CENTRE[1]
    return CENTRE[0], _mean(answer, first, ROW, texts)


def _mean(answer: Generated, step: int, classes: tuple[str, ...], texts: Mapping[int, str]) -> float:
    logits = [_joined(answer.logits[step], answer, name, texts) for name in classes]
    weights = np.exp(np.asarray(logits) - max(logits))
    return float(weights @ _CENTRES / weights.sum())


def _joined(step: NDArray[np.float32], answer: Generated, name: str, texts: Mapping[int, str]) -> float:
    """The logarithm of the summed exponentials over all spellings of a word."""
    own = [
        float(value)
        for value, column in zip(step, answer.columns.tolist(), strict=True)
        if (match := _WORD.fullmatch(texts[column])) is not None and match[1].lower() == name
    ]
    return float(np.logaddexp.reduce(own)) if own else -np.inf
