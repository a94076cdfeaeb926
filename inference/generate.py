"""Answers of a model with the raw logits of watched tokens, taken while it generates: no second pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.grounded_answer import Answer, Picture
from schemas.errors import InputError

PROMPT = "picture, question; the template's own system message"
"""How questions are put, for records: it changes when `conversation` does."""


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn.

    `temperature` 0 is greedy; `top_p` counts only above 0; `repetition_penalty` None is the model's own.
    `seed` makes draws repeatable for the same batch.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for a value no model takes."""
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens: {self.max_new_tokens} is below 1")
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature: {self.temperature} is not a number from 0 up")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p: {self.top_p} is not above 0 and at most 1")
        if self.repetition_penalty is not None and not 0 < self.repetition_penalty < float("inf"):
            raise InputError(f"repetition_penalty: {self.repetition_penalty} is not a number above 0")


def conversation(picture: Picture, *texts: str) -> list[dict[str, Any]]:
    """A picture and a dialogue in the form of chat templates, the texts a user's and the model's in turn, as
    the rows of training put them: the picture first, no system message but the template's own.
    """
    from PIL import Image

    messages = []
    for number, text in enumerate(texts):
        parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
        if number == 0:
            parts.insert(0, {"type": "image", "image": Image.fromarray(picture)})
        messages.append({"role": "assistant" if number % 2 else "user", "content": parts})
    return messages


def generate_answers(
    model: Any,
    processor: Any,
    pictures: Sequence[Picture],
    questions: Sequence[str],
    columns: NDArray[np.int64],
    sampling: Sampling | None = None,
) -> list[Answer]:
    """One answer for each (H, W, 3) uint8 RGB picture and its question, generated in one batch.

    `columns` (K,) int64 are the token ids to watch; their logits are read from the forward passes that
    generate the answer, before any processor or temperature. The processor must pad on the left. Raises
    InputError for a question that holds a word of the chat template, a model set to beam search or assisted
    decoding, columns outside the vocabulary, or no question at all.
    """
    import torch

    draw = sampling or Sampling()
    _check(model, processor, questions, columns)
    inputs = prompt(processor, pictures, questions).to(model.device, dtype=model.dtype)
    begun = inputs["input_ids"].shape[1]
    with torch.inference_mode(), _watched(model, columns) as steps, _seeded(draw.seed, model.device):
        made = model.generate(**inputs, **_options(draw))
    tokens = made[:, begun:].cpu().numpy().astype(np.int64)
    length = tokens.shape[1]
    if len(steps) < length:
        raise RuntimeError(f"{length} tokens came out of {len(steps)} passes of {type(model).__name__}")
    logits = torch.stack(steps[-length:], dim=1).cpu().numpy()
    ends = _ends(model)
    decode = decoder(processor.tokenizer)
    found = []
    for ids, read in zip(tokens, logits, strict=True):
        stop = next((k + 1 for k, token in enumerate(ids.tolist()) if token in ends), length)
        text, offsets = traced(decode, ids[:stop].tolist())
        found.append(Answer(ids[:stop], text, offsets, columns, np.ascontiguousarray(read[:stop])))
    return found


def prompt(processor: Any, pictures: Sequence[Picture], questions: Sequence[str]) -> Any:
    """The batch a model takes for pictures and questions, padded, ready for its answer."""
    return prompted(processor, [conversation(*pair) for pair in zip(pictures, questions, strict=True)])


def prompted(processor: Any, talks: Sequence[list[dict[str, Any]]], goes_on: bool = False) -> Any:
    """The batch a model takes for conversations, padded, ready for its answer; with `goes_on` each ends in
    the beginning of the answer, which the model continues.
    """
    return processor.apply_chat_template(
        talks,
        add_generation_prompt=not goes_on,
        continue_final_message=goes_on,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True, "add_special_tokens": False},
    )


def own_words(processor: Any) -> list[str]:
    """The words of a model's template, which no question may hold."""
    return [word for word in processor.tokenizer.added_tokens_encoder if word.strip()]


def traced(decode: Callable[[list[int]], str], ids: list[int]) -> tuple[str, NDArray[np.int64]]:
    """The text of tokens, and (T, 2) int64 the characters each of them adds to it, start and end.

    A character whose bytes come in several tokens belongs to the one that completes it. The pieces
    `text[start:end]` join to the text. `decode` turns tokens into text; the text of the first k tokens is
    compared with the whole, so that bytes still without a character and spaces that a tokenizer adds or
    drops are told apart from what stays.
    """
    text = decode(ids)
    offsets = np.zeros((len(ids), 2), np.int64)
    done = 0
    for k in range(len(ids)):
        begun = text if k + 1 == len(ids) else decode(ids[: k + 1])
        settled = max(done, _shared(begun, text, done))
        offsets[k] = done, settled
        done = settled
    return text, offsets


def _shared(first: str, second: str, known: int) -> int:
    """How many characters two texts have in common at their start, of which `known` have been seen before."""
    if second.startswith(first):
        return len(first)
    known = known if first[:known] == second[:known] else 0
    both = zip(first[known:], second[known:], strict=False)
    return known + sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], both))


def decoder(tokenizer: Any) -> Callable[[list[int]], str]:
    """A tokenizer as `traced` takes it: special tokens write nothing, spaces stay as they are."""

    def decode(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    return decode


def _check(model: Any, processor: Any, questions: Sequence[str], columns: NDArray[np.int64]) -> None:
    if not questions:
        raise InputError("there is no question to answer")
    special = own_words(processor)
    for question in questions:
        if not question.strip():
            raise InputError("the question is empty")
        for word in special:
            if word in question:
                raise InputError(f"the question holds {word}, a word of the model's own; leave it out")
    settings = model.generation_config
    if (settings.num_beams or 1) > 1 or settings.prompt_lookup_num_tokens:
        raise InputError(
            "the model's generation_config.json asks for beams or assisted decoding, where a token's logits "
            "aren't those of one pass; take num_beams and prompt_lookup_num_tokens out"
        )
    size = model.get_output_embeddings().weight.shape[0]
    if columns.size and not 0 <= int(columns.min()) <= int(columns.max()) < size:
        raise InputError(f"a watched token is outside the model's {size}; its tokenizer belongs to another")


def _options(draw: Sampling) -> dict[str, Any]:
    """The arguments of `generate`; None leaves the model's own setting of sampling without effect."""
    options: dict[str, Any] = {
        "max_new_tokens": draw.max_new_tokens,
        "do_sample": draw.temperature > 0,
        "temperature": draw.temperature or None,
        "top_p": draw.top_p if draw.temperature else None,
        "top_k": 0 if draw.temperature else None,
        "return_dict_in_generate": False,
    }
    if draw.repetition_penalty is not None:
        options["repetition_penalty"] = draw.repetition_penalty
    return options


def _ends(model: Any) -> frozenset[int]:
    """The tokens that end an answer."""
    end = model.generation_config.eos_token_id
    return frozenset([] if end is None else [end] if isinstance(end, int) else end)


@contextmanager
def _watched(model: Any, columns: NDArray[np.int64]) -> Iterator[list[Any]]:
    """A list that grows by (B, K) float32 logits of the last position with each forward pass of the model."""
    import torch

    index = torch.as_tensor(columns, device=model.device)
    steps: list[Any] = []

    def read(_module: Any, _inputs: Any, outputs: Any) -> None:
        steps.append(outputs.logits[:, -1].index_select(-1, index).float())

    handle = model.register_forward_hook(read)
    try:
        yield steps
    finally:
        handle.remove()


@contextmanager
def _seeded(seed: int, device: Any) -> Iterator[None]:
    """Draws of `generate`, which takes no generator, from a seed; the global generators stay as they are."""
    import torch

    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
