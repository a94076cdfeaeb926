"""The question-and-answer back ends: what one has to offer, and how one is made by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from annotation.plugin_kinds import BACKENDS
from annotation.qa.tasks import Draft
from schemas.config import VlmConfig
from schemas.errors import SampleError
from schemas.records import Message, Sample

PictureLoader = Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Identity:
    """Who wrote a dialogue, as provenance records it; `prompt_version` is the hash of the wording or prompt
    files.
    """

    generator: str
    model: str | None
    revision: str | None
    prompt_version: str


@dataclass(frozen=True)
class Request:
    """One dialogue to write.

    `attempt` counts from 1; `reasons` say why the earlier attempts were refused, oldest first, and `replies`
    what the back end had been given by its model (see `Dialogue.reply`), as many; `picture` loads the
    distorted picture as (H, W, 3) uint8 RGB and is None where the caller has none, one function for all rows
    of a sample; `seed` is the build's.
    """

    draft: Draft
    sample: Sample
    attempt: int
    reasons: tuple[str, ...]
    seed: int
    picture: PictureLoader | None
    replies: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Dialogue:
    """What a back end wrote: alternating turns, the user first; `reply` is the model's text it was read
    from.
    """

    messages: tuple[Message, ...]
    reply: str | None = None


class ReplyError(SampleError):
    """A model's reply is no dialogue; `reply` is its text. Another attempt may do better."""

    def __init__(self, reason: str, detail: str, reply: str) -> None:
        super().__init__(reason, detail)
        self.reply = reply


class HopelessError(SampleError):
    """A request can't be served, and no further attempt could be (too long for the model, say)."""


class Backend(Protocol):
    """Writes dialogues. `write` must be safe to call from several threads and depend on nothing but the
    request.

    A request that can't be served raises SampleError: it counts as a failed attempt, and as the last one if
    it is a HopelessError. A back end that can't serve any (server gone, wrong key) raises BuildError or
    InputError, which stops the build.
    """

    @property
    def identity(self) -> Identity: ...

    @property
    def needs_picture(self) -> bool:
        """Whether `Request.picture` must be given."""
        ...

    def write(self, request: Request) -> Dialogue: ...

    def close(self) -> None:
        """Let go of connections and files; a `write` under way may fail with BuildError."""
        ...


@dataclass(frozen=True)
class BackendSettings:
    """What a configuration says about its back end, and where it works.

    `wording` replaces the packaged wording file of `grammar`; `vlm` says which model answers and how it is
    reached; `store` is the folder of the build's store, where the model's answers are kept unless `vlm` says
    otherwise; `in_flight` bounds the requests of this back end at a time. `own` are the values that the
    configuration's `settings` have for a back end that was added as a file.
    """

    wording: Path | None = None
    vlm: VlmConfig | None = None
    store: Path | None = None
    in_flight: int = 1
    own: Mapping[str, Any] = field(default_factory=dict)


def create(name: str, settings: BackendSettings | None = None) -> Backend:
    """The back end called `name`.

    Raises InputError for an unknown name, with the nearest one, and for a file that is broken.
    """
    backend: Backend = BACKENDS.load(name).make(settings or BackendSettings())
    return backend
