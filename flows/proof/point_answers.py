"""Gets a model's answers to the proof's rows and turns them into points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inference.generate import Sampling, generate_answers
from inference.grounded_answer import Answer
from inference.place_tokens import Vocabulary
from inference.points import text_to_point
from training.proof.scores import Point

_BATCH = 64
_TOKENS = 24


def answer_rows(model: Any, processor: Any, rows: Sequence[dict[str, Any]]) -> list[Answer]:
    """The greedy answer to each row's first question, in order; reads only picture and question."""
    processor.tokenizer.padding_side = "left"
    columns = Vocabulary.of(processor.tokenizer).columns
    found: list[Answer] = []
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        pictures = [np.asarray(row["images"][0]) for row in some]
        questions = [row["messages"][0]["content"] for row in some]
        found += generate_answers(
            model, processor, pictures, questions, columns, Sampling(max_new_tokens=_TOKENS)
        )
    return found


def find_point(answer: Answer, vocabulary: Vocabulary) -> Point | None:
    """The point of the first position an answer names, by the strategy `grid`; None when it names none.

    For a position that has three points, such as a side, the middle one.
    """
    placed = text_to_point(answer, vocabulary, "grid")
    if not placed.groundings:
        return None
    points = placed.groundings[0].points
    x, y = points[len(points) // 2]
    return float(x), float(y)
