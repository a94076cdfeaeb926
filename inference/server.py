"""Answers from an OpenAI-compatible server that returns log-probabilities, as far as it returns them."""

from __future__ import annotations

import base64
import ipaddress
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from inference.answers import Answer, Picture
from inference.reading import Sampling, traced
from inference.vocabulary import Vocabulary, vocabulary_of_texts
from schemas.errors import BuildError, InputError
from schemas.pictures import encode

TOP = 20
"""Alternatives a step: the most the protocol allows (`top_logprobs` of chat completions)."""
KEY_VARIABLE = "IQA_SPIDER_API_KEY"
MOST_BYTES = 32_000_000
_TRIES = 3
_FIRST_WAIT = 0.5
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
    seconds, a request and its answer.
    """

    url: str
    model: str
    sampling: Sampling = field(default_factory=Sampling)
    deadline: float = 120.0
    in_flight: int = 8

    @property
    def name(self) -> str:
        """Model and place."""
        return f"{self.model} at {self.url}"

    def answers(
        self, pictures: Sequence[Picture], questions: Sequence[str]
    ) -> list[tuple[Answer, Vocabulary, tuple[str, ...]]]:
        """One answer for each (H, W, 3) uint8 RGB picture and its question, with a vocabulary of its own.

        Raises InputError when the server refuses the request or returns no log-probabilities, BuildError when
        it can't be reached or answers nonsense.
        """
        with _client(self.url, self.deadline) as client, ThreadPoolExecutor(self.in_flight) as pool:
            asked = [
                pool.submit(self._one, client, picture, question)
                for picture, question in zip(pictures, questions, strict=True)
            ]
            return [item.result() for item in asked]

    def _one(
        self, client: httpx.Client, picture: Picture, question: str
    ) -> tuple[Answer, Vocabulary, tuple[str, ...]]:
        body = request_body(self.model, picture, question, self.sampling)
        answer, vocabulary = read_completion(_post(client, self.url, body), self.url)
        return answer, vocabulary, (NOTE,)


def request_body(model: str, picture: Picture, question: str, sampling: Sampling) -> dict[str, Any]:
    """A chat completion as training rows put their question: picture first, then the words."""
    url = f"data:image/png;base64,{base64.b64encode(encode(picture)).decode()}"
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": parts}],
        "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "logprobs": True,
        "top_logprobs": TOP,
    }
    if sampling.temperature > 0:
        body |= {"top_p": sampling.top_p, "seed": sampling.seed}
    if sampling.repetition_penalty is not None:
        body["repetition_penalty"] = sampling.repetition_penalty
    return body


def read_completion(reply: bytes, url: str) -> tuple[Answer, Vocabulary]:
    """The answer in a reply, its tokens numbered as they come, and the vocabulary of these numbers.

    Logits are log-probabilities. Where a watched token isn't among those that a step returned, it gets the
    most that is left for it: the least of the returned ones, or all that they leave over if that is less.
    Raises InputError without log-probabilities, BuildError for anything but a chat completion.
    """
    try:
        told = json.loads(reply)
        choice = told["choices"][0]
        text = choice["message"]["content"]
        content = (choice.get("logprobs") or {}).get("content")
        if not isinstance(text, str):
            raise TypeError("no text")
        steps = [_step(item) for item in content or []]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BuildError(f"the server {url} sent no chat completion; see what runs there") from error
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
        raise BuildError(f"the tokens that the server {url} returned don't spell its answer")
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


def _client(url: str, deadline: float) -> httpx.Client:
    """A client for one address. Raises InputError for what is no address or a key no header can carry."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InputError(f"--server: {url!r} is no address: {error}; give one that ends in /v1") from error
    host, port = parsed.host, parsed.port or 0
    if parsed.scheme not in ("http", "https") or not host or parsed.userinfo or port > 65535:
        raise InputError(
            f"--server: {url!r} is no address; give http://HOST:PORT/v1, without user or password"
        )
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not all("!" <= letter <= "~" for letter in key):
        raise InputError(f"the environment variable {KEY_VARIABLE} holds no API key; set it to the key alone")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(
        headers=headers,
        timeout=httpx.Timeout(deadline, connect=min(10.0, deadline)),
        trust_env=not _is_loopback(host),
        follow_redirects=False,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _post(client: httpx.Client, url: str, body: dict[str, Any]) -> bytes:
    """The body of a 200; connection errors, 429 and 5xx are tried again. Raises InputError, BuildError."""
    content = json.dumps(body).encode()
    address = f"{url.rstrip('/')}/chat/completions"
    wrong = ""
    for wait in _waits():
        time.sleep(wait)
        try:
            with client.stream(
                "POST", address, content=content, headers={"Content-Type": "application/json"}
            ) as response:
                data = b"".join(_bounded(response.iter_bytes(), url))
                status = response.status_code
        except httpx.TransportError as error:
            wrong = str(error) or type(error).__name__
            continue
        if status == 200:
            return data
        wrong = f"HTTP {status}: {_said(data)}"
        if status != 429 and status < 500:
            raise InputError(f"the server {url} refuses: {_safe(wrong)}")
    raise BuildError(
        f"the server {url} doesn't answer, {_TRIES} tries, the last: {_safe(wrong)}; start it anew"
    )


def _waits() -> Iterator[float]:
    yield 0.0
    yield from (_FIRST_WAIT * 2.0**k for k in range(_TRIES - 1))


def _bounded(parts: Iterator[bytes], url: str) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        if size > MOST_BYTES:
            raise BuildError(f"the server {url} sends more than {MOST_BYTES / 1e6:g} MB")
        yield part


def _said(data: bytes) -> str:
    """What a server says about an error, on one line."""
    text = data[:2000].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


def _safe(text: str) -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return text.replace(key, "[key]") if key else text
