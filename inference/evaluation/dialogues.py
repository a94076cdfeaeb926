"""What a benchmark asks beside single answers: answers later in a dialogue, and logits of the next word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.generate import conversation, own_words, prompted
from inference.grounded_answer import Picture
from schemas.errors import InputError


@dataclass(frozen=True)
class Talk:
    """A dialogue about one picture that the model has to go on with.

    `turns` are the questions and the model's own answers so far, `question` the one to answer now; `start`
    are words that the answer is made to begin with.
    """

    picture: Picture
    question: str
    turns: tuple[tuple[str, str], ...] = ()
    start: str = ""


def continue_dialogues(model: Any, processor: Any, talks: Sequence[Talk], max_new_tokens: int) -> list[str]:
    """Greedy answers to the last question of each talk, without `start`; one batch.

    The processor must pad on the left. Raises InputError for a question that holds a word of the template.
    """
    import torch

    inputs = _inputs(model, processor, talks)
    with torch.inference_mode():
        made = model.generate(
            **inputs, max_new_tokens=max_new_tokens, do_sample=False, temperature=None, top_p=None, top_k=None
        )
    found = processor.tokenizer.batch_decode(
        made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return [str(text).strip() for text in found]


def next_words(
    model: Any, processor: Any, talks: Sequence[Talk], words: Sequence[Sequence[str]]
) -> list[tuple[float, ...]]:
    """The raw logits of words as the next one of each talk's answer, float32.

    A word's logit is that of its first token, written after a space. Raises InputError when two words of an
    item begin with the same token.
    """
    import torch

    columns = [[_first_token(processor.tokenizer, word) for word in chosen] for chosen in words]
    for chosen, ids in zip(words, columns, strict=True):
        if len(set(ids)) != len(ids):
            raise InputError(f"the model's vocabulary doesn't tell the next words {', '.join(chosen)} apart")
    inputs = _inputs(model, processor, talks)
    with torch.inference_mode():
        logits = model(**inputs, logits_to_keep=1).logits[:, -1].float().cpu().numpy()
    return [
        tuple(np.asarray(row[ids], np.float64).tolist()) for row, ids in zip(logits, columns, strict=True)
    ]


def _first_token(tokenizer: Any, word: str) -> int:
    return int(tokenizer.encode(f" {word}", add_special_tokens=False)[0])


def _inputs(model: Any, processor: Any, talks: Sequence[Talk]) -> Any:
    """The padded batch of some talks, on the model's device. Either all of them have a `start`, or none."""
    special = own_words(processor)
    for talk in talks:
        for word in special:
            if word in talk.question:
                raise InputError(f"a question holds {word}, a word of the model's own; leave it out")
    found = prompted(processor, [_messages(talk) for talk in talks], goes_on=bool(talks[0].start))
    return found.to(model.device, dtype=model.dtype)


def _messages(talk: Talk) -> list[dict[str, Any]]:
    said = [part for turn in talk.turns for part in turn]
    return conversation(talk.picture, *said, talk.question, *([talk.start] if talk.start else []))
