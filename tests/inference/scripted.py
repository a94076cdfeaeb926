"""A source that says what it is told, with the tokens of a real tokenizer and logits as sure as wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.generate import decoder, traced
from inference.grounded_answer import Answer, Picture
from inference.place_tokens import Vocabulary
from inference.sources import Spoken
from tests.inference.small import tiny


class Scripted:
    """Answers with `texts` in turn; each uttered token's logit is `sure` above that of all others."""

    name = "scripted"

    def __init__(self, *texts: str, sure: float = 6.0) -> None:
        self.texts = texts
        self.sure = sure
        self.batches: list[list[str]] = []

    def ask_all(self, pictures: Sequence[Picture], questions: Sequence[str]) -> list[Spoken]:
        assert len(pictures) == len(questions)
        begun = sum(map(len, self.batches))
        self.batches.append(list(questions))
        return [
            (spoken(self.texts[(begun + k) % len(self.texts)], self.sure), vocabulary(), ())
            for k in range(len(questions))
        ]


def vocabulary() -> Vocabulary:
    return Vocabulary.of(tiny("qwen2.5-vl").processor.tokenizer)


def spoken(text: str, sure: float = 6.0) -> Answer:
    tokenizer = tiny("qwen2.5-vl").processor.tokenizer
    ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    said, offsets = traced(decoder(tokenizer), ids)
    columns = vocabulary().columns
    logits = np.zeros((len(ids), len(columns)), np.float32)
    logits[np.array(ids)[:, None] == columns[None]] = sure
    return Answer(np.array(ids, np.int64), said, offsets, columns, logits)
