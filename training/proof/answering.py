"""What a model generates for a question about a picture, with the raw logits of the words for places."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

WORDS = ("top", "bottom", "left", "right", "center")


@dataclass(frozen=True)
class Generated:
    """An answer: `ids` (T,) int64 its tokens, their `text`, `offsets` (T, 2) int64 each token's characters in
    it, `columns` (K,) int64 the tokens watched and `logits` (T, K) float32 theirs, raw, at each step.

    A step's logits are conditional on the tokens generated before it.
    """

    ids: NDArray[np.int64]
    text: str
    offsets: NDArray[np.int64]
    columns: NDArray[np.int64]
    logits: NDArray[np.float32]


def watched(vocabulary: Mapping[str, int]) -> list[int]:
    """The tokens that are a word for a place, with whatever sign or space before it."""
    pattern = re.compile(rf"[^A-Za-z]*(?:{'|'.join(WORDS)})", re.IGNORECASE)
    return sorted(number for token, number in vocabulary.items() if pattern.fullmatch(token))


def answers(
    model: Any, reader: Any, rows: Sequence[Mapping[str, Any]], batch: int, most: int = 24
) -> Iterator[Generated]:
    """The greedy answer to each row's first question, in order; only picture and question are read.

    `most` bounds the tokens of an answer.
    """
    import torch

    words = reader.tokenizer
    words.padding_side = "left"
    columns = watched(words.get_vocab())
    for start in range(0, len(rows), batch):
        asked = [_question(row) for row in rows[start : start + batch]]
        given = reader.apply_chat_template(
            asked, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True,
            processor_kwargs={"padding": True, "add_special_tokens": False},
        )  # fmt: skip
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            found = model.generate(
                **given,
                max_new_tokens=most,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
        begun = given["input_ids"].shape[1]
        logits = torch.stack(found.logits, dim=1)[:, :, columns].float().numpy()
        for ids, step_logits in zip(found.sequences[:, begun:].tolist(), logits, strict=True):
            yield _generated(words, ids, columns, step_logits)


def _question(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    first = next(message["content"] for message in row["messages"] if message["role"] == "user")
    parts = [{"type": "image", "image": picture} for picture in row["images"]]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": first}]}]


def _generated(words: Any, ids: list[int], columns: list[int], logits: NDArray[np.float32]) -> Generated:
    if words.eos_token_id in ids:
        ids = ids[: ids.index(words.eos_token_id) + 1]
    text, offsets = "", []
    for number in ids:
        piece = words.decode([number], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        offsets.append((len(text), len(text) + len(piece)))
        text += piece
    return Generated(
        np.asarray(ids, dtype=np.int64), text, np.asarray(offsets, dtype=np.int64).reshape(-1, 2),
        np.asarray(columns, dtype=np.int64), np.asarray(logits[: len(ids)], dtype=np.float32),
    )  # fmt: skip
