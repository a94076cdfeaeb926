"""What is said to a model and what comes back, and the interfaces between: a transport and a speaker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from schemas.errors import SampleError
from schemas.pictures import encode, pixel_hash

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Picture:
    """An encoded picture to show: the bytes of a PNG or JPEG file and its media type ("image/png").

    `pixels` is the hash of a lossless picture's pixels: encoders pack equal pixels into different bytes.
    """

    data: bytes
    media_type: str
    pixels: str | None = None

    @classmethod
    def of(cls, rgb: NDArray[np.uint8]) -> Self:
        """(H, W, 3) uint8 RGB as a PNG: lossless, so that nothing but the picture's own damage is seen."""
        return cls(encode(rgb), "image/png", pixel_hash(rgb))

    @cached_property
    def sha256(self) -> str:
        """64 hex digits that tell the picture from others: over its pixels if given, else over its bytes."""
        return self.pixels or hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Turn:
    """One message: the pictures come before the text. Only the user shows pictures."""

    role: Role
    text: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Schema:
    """A JSON schema the reply has to follow, under a name servers ask for."""

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Sampling:
    """How a model draws its answer: `max_tokens` new tokens at most; `seed` is sent where it can be.

    `repetition_penalty`, which not every server knows, is sent if given; None is the model's own.
    """

    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    repetition_penalty: float | None = None


@dataclass(frozen=True)
class Call:
    """One request: all turns so far, a user's last; revision and the prompts' hash count for the key.

    The model's next turn is a function of this alone, as far as a cache is concerned. With `top_logprobs` (20
    at most) the reply has the log-probabilities of so many likeliest tokens a step, where the server returns
    them.
    """

    model: str
    revision: str | None
    prompt_version: str
    turns: tuple[Turn, ...]
    sampling: Sampling
    schema: Schema | None = None
    top_logprobs: int = 0


@dataclass(frozen=True)
class TokenStep:
    """One token of a reply, as bytes, and the natural log-probabilities of all tokens that were returned for
    its place, its own among them.
    """

    token: bytes
    logprobs: Mapping[bytes, float]


@dataclass(frozen=True)
class Reply:
    """The model's turn. `finish_reason` is "stop", or "length" if cut off; token counts are 0 if unknown.

    `steps` are its tokens in order, if the call asked for log-probabilities and the server returned them.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    steps: tuple[TokenStep, ...] = ()


LossKind = Literal["timeout", "no-answer", "not-a-completion", "too-long"]
"""How a call was lost, by its last try: not answered in time; not at all, or by an error of the server's own;
by something else than a chat completion; by more than the largest reply.
"""


class LostCallError(SampleError):
    """A call that used up its tries, reason "no-answer".

    `kind` says how the last try failed. `words` are what the server said then, on one line, "" for nothing;
    they are no part of `detail`, since they may differ from try to try.
    """

    def __init__(self, detail: str, kind: LossKind, words: str = "") -> None:
        super().__init__("no-answer", detail)
        self.kind: LossKind = kind
        self.words = words


class Transport(Protocol):
    """Reaches a model. `complete` blocks, may be called from many threads, and bounds the calls in flight.

    Raises BuildError when no request can succeed (server gone, wrong key, unknown model), SampleError
    when this one can't (context overflow, content refused), a LostCallError among them when it got no answer.
    """

    def complete(self, call: Call) -> Reply: ...

    def close(self) -> None: ...


class Speaker(Protocol):
    """Answers a call from the cache or through a transport, and keeps the answer before it returns it.

    The same call is never sent twice, not even by two threads at once.
    """

    def ask(self, call: Call) -> Reply: ...
