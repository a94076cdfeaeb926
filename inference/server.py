"""Answers from an OpenAI-compatible server that returns log-probabilities, as far as it returns them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from inference.answers import Answer, Picture
from inference.chat import LostError, connect, post
from inference.reading import Sampling, traced
from inference.sources import Spoken
from inference.vocabulary import Vocabulary, vocabulary_of_texts
from schemas.errors import InputError
from schemas.pictures import encode

TOP = 20
"""Alternatives a step: the most the protocol allows (`top_logprobs` of chat completions)."""
_LEAST = 1e-9
NOTE = (
    "logits come from the server's likeliest tokens of each step; a position word that isn't among them "
    "counts with the most it can have, so probabilities are flatter than the model's"
)


@dataclass(frozen=True)
class ServerSource:
    """A model behind `url` (ends in /v1), asked with as many requests at once as questions are given, at most
    `in_flight`.

    A key comes from the environment variable IQA_SPIDER_API_KEY and appears in no message. `deadline` is in
    seconds, a request and its answer. Raises InputError for what is no address.
    """

    url: str
    model: str
    sampling: Sampling = field(default_factory=Sampling)
    deadline: float = 120.0
    in_flight: int = 8

    def __post_init__(self) -> None:
        self.connect().close()

    @property
    def name(self) -> str:
        """Model and place."""
        return f"{self.model} at {self.url}"

    def connect(self) -> httpx.Client:
        """A client for `answer` and `talk`, to be closed; any number of threads may use it."""
        return connect(self.url, self.deadline)

    def answers(self, pictures: Sequence[Picture], questions: Sequence[str]) -> list[Spoken]:
        """One answer for each (H, W, 3) uint8 RGB picture and its question, with a vocabulary of its own.

        Raises InputError when the server refuses the request or returns no log-probabilities, BuildError when
        it can't be reached or answers nonsense.
        """
        with self.connect() as client, ThreadPoolExecutor(self.in_flight) as pool:
            asked = [
                pool.submit(self.answer, client, picture, question)
                for picture, question in zip(pictures, questions, strict=True)
            ]
            return [item.result() for item in asked]

    def answer(self, client: httpx.Client, picture: Picture, question: str) -> Spoken:
        """One answer, as those of `answers`. Raises RefusedError (an InputError) when the server refuses,
        LostError (a BuildError) when it can't be reached or answers nonsense, InputError without
        log-probabilities.
        """
        body = request_body(self.model, [opening(picture, question)], self.sampling, logprobs=True)
        answer, vocabulary = read_completion(post(client, self.url, body, self.deadline), self.url)
        return answer, vocabulary, (NOTE,)

    def talk(self, client: httpx.Client, picture: Picture, questions: Sequence[str]) -> tuple[str, ...]:
        """The answers to the questions about a picture in turn, each after the model's own answers to those
        before; no log-probabilities are asked for. Raises RefusedError, LostError as `answer`.
        """
        messages: list[dict[str, Any]] = []
        said: list[str] = []
        for question in questions:
            messages.append({"role": "user", "content": question} if said else opening(picture, question))
            body = request_body(self.model, messages, self.sampling, logprobs=False)
            said.append(read_text(post(client, self.url, body, self.deadline), self.url).strip())
            messages.append({"role": "assistant", "content": said[-1]})
        return tuple(said)


def opening(picture: Picture, question: str) -> dict[str, Any]:
    """A first message as training rows put their question: picture first, then the words."""
    url = f"data:image/png;base64,{base64.b64encode(encode(picture)).decode()}"
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
    return {"role": "user", "content": parts}


def request_body(
    model: str, messages: Sequence[dict[str, Any]], sampling: Sampling, *, logprobs: bool
) -> dict[str, Any]:
    """A chat completion's request."""
    body: dict[str, Any] = {
        "model": model,
        "messages": list(messages),
        "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
    }
    if logprobs:
        body |= {"logprobs": True, "top_logprobs": TOP}
    if sampling.temperature > 0:
        body |= {"top_p": sampling.top_p, "seed": sampling.seed}
    if sampling.repetition_penalty is not None:
        body["repetition_penalty"] = sampling.repetition_penalty
    return body


def read_text(reply: bytes, url: str) -> str:
    """The text of a chat completion. Raises LostError for anything else."""
    return _read(reply, url)[0]


def _read(reply: bytes, url: str) -> tuple[str, list[_Step]]:
    """Text and steps, none where the server returned no log-probabilities."""
    try:
        choice = json.loads(reply)["choices"][0]
        text = choice["message"]["content"]
        content = (choice.get("logprobs") or {}).get("content")
        if not isinstance(text, str):
            raise TypeError("no text")
        text.encode()
        return text, [_step(item) for item in content or []]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise LostError(
            f"the server {url} sent no chat completion; see what runs there", "not-a-completion"
        ) from error


def read_completion(reply: bytes, url: str) -> tuple[Answer, Vocabulary]:
    """The answer in a reply, its tokens numbered as they come, and the vocabulary of these numbers.

    Logits are log-probabilities. Where a watched token isn't among those that a step returned, it gets the
    most that is left for it: the least of the returned ones, or all that they leave over if that is less.
    Raises InputError without log-probabilities, LostError for anything but a chat completion.
    """
    text, steps = _read(reply, url)
    if text and not steps:
        raise InputError(
            f"the server {url} returns no logprobs, so that no place can be read from them; start it with "
            "logprobs, or load the model here"
        )
    seen = list(dict.fromkeys(token for step in steps for token in step.values))
    number = {token: k for k, token in enumerate(seen)}
    texts = [token.decode("utf-8", "replace") for token in seen]
    ids = [number[step.token] for step in steps]
    spelled, offsets = traced(lambda part: b"".join(seen[k] for k in part).decode("utf-8", "replace"), ids)
    start = spelled.find(text)
    if start < 0:
        raise LostError(
            f"the tokens that the server {url} returned don't spell its answer", "not-a-completion"
        )
    vocabulary = vocabulary_of_texts(texts)
    columns = vocabulary.columns
    logits = np.array([_logits(step, [seen[k] for k in columns]) for step in steps], np.float32)
    return (
        Answer(
            np.array(ids, np.int64),
            text,
            np.clip(offsets - start, 0, len(text)),
            columns,
            logits.reshape(len(steps), len(columns)),
        ),
        vocabulary,
    )


@dataclass(frozen=True)
class _Step:
    """The bytes of the token that was uttered, and the log-probabilities of all that were returned."""

    token: bytes
    values: dict[bytes, float]


def _step(item: Any) -> _Step:
    values: dict[bytes, float] = {}
    for each in [item, *(item.get("top_logprobs") or [])]:
        value = float(each["logprob"])
        if math.isnan(value):
            raise ValueError("not a number")
        token = _bytes(each)
        values[token] = max(values.get(token, -math.inf), min(value, 0.0), math.log(_LEAST))
    return _Step(_bytes(item), values)


def _bytes(each: Any) -> bytes:
    raw = each.get("bytes")
    return bytes(raw) if raw else str(each["token"]).encode("utf-8", "replace")


def _logits(step: _Step, wanted: Sequence[bytes]) -> list[float]:
    rest = max(1.0 - math.fsum(math.exp(value) for value in step.values.values()), _LEAST)
    most = min(*step.values.values(), math.log(rest)) if step.values else 0.0
    return [step.values.get(token, most) for token in wanted]
