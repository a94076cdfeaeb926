"""What is said to a model and what comes back, and the two interfaces between: a transport and a speaker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Picture:
    """An encoded picture to show: the bytes of a PNG or JPEG file and its media type ("image/png").

    `pixels` is the hash of a lossless picture's pixels: encoders pack equal pixels into different bytes.
    """

    data: bytes
    media_type: str
    pixels: str | None = None

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
    """How a model draws its answer: `max_tokens` new tokens at most; `seed` is sent where it can be."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int


@dataclass(frozen=True)
class Call:
    """One request: all turns so far, a user's last; revision and the prompts' hash count for the key.

    The model's next turn is a function of this alone, as far as a cache is concerned.
    """

    model: str
    revision: str | None
    prompt_version: str
    turns: tuple[Turn, ...]
    sampling: Sampling
    schema: Schema | None = None


@dataclass(frozen=True)
class Reply:
    """The model's turn. `finish_reason` is "stop", or "length" if cut off; token counts are 0 if unknown."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class Transport(Protocol):
    """Reaches a model. `complete` blocks, may be called from many threads, and bounds the calls in flight.

    Raises BuildError when no request can succeed (server gone, wrong key, unknown model), SampleError
    when this one can't (context overflow, content refused).
    """

    def complete(self, call: Call) -> Reply: ...

    def close(self) -> None: ...


class Speaker(Protocol):
    """Answers a call from the cache or through a transport, and keeps the answer before it returns it.

    The same call is never sent twice, not even by two threads at once.
    """

    def ask(self, call: Call) -> Reply: ...
