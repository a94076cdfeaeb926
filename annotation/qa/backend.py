"""The question-and-answer back ends: what one has to offer, and the register of those a configuration can
name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from annotation.qa.tasks import Draft
from schemas.errors import InputError
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

    `attempt` counts from 1; `reasons` say why the earlier attempts were refused, oldest first; `picture`
    loads the distorted picture as (H, W, 3) uint8 RGB and is None where the caller has none; `seed` is the
    build's.
    """

    draft: Draft
    sample: Sample
    attempt: int
    reasons: tuple[str, ...]
    seed: int
    picture: PictureLoader | None


@dataclass(frozen=True)
class Dialogue:
    """What a back end wrote: alternating turns, the user first."""

    messages: tuple[Message, ...]


class Backend(Protocol):
    """Writes dialogues. `write` must be safe to call from several threads and depend on nothing but the
    request.

    A request that can't be served raises SampleError: it counts as a failed attempt. A back end that can't
    serve any (server gone, wrong key) raises BuildError or InputError, which stops the build.
    """

    @property
    def identity(self) -> Identity: ...

    @property
    def needs_picture(self) -> bool:
        """Whether `Request.picture` must be given."""
        ...

    def write(self, request: Request) -> Dialogue: ...


@dataclass(frozen=True)
class BackendSettings:
    """What a configuration says about its back end; `wording` replaces the packaged wording file."""

    wording: Path | None = None


Factory = Callable[[BackendSettings], Backend]

_FACTORIES: dict[str, Factory] = {}


def register(name: str, factory: Factory) -> None:
    """Make a back end known under `name`. Raises ValueError when the name is taken."""
    if name in _FACTORIES:
        raise ValueError(f"the question-and-answer back end '{name}' is registered twice")
    _FACTORIES[name] = factory


def names() -> list[str]:
    """The registered names, sorted."""
    return sorted(_FACTORIES)


def create(name: str, settings: BackendSettings | None = None) -> Backend:
    """The back end called `name`. Raises InputError for an unknown one."""
    if name not in _FACTORIES:
        raise InputError(f"unknown question-and-answer back end '{name}'; known: {', '.join(names())}")
    return _FACTORIES[name](settings or BackendSettings())
