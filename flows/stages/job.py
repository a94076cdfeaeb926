"""Jobs: one shard of one stage, its key made from its content alone, and the cut of sources into shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from schemas.hashing import content_key


@dataclass(frozen=True)
class Job:
    """One shard to make. `content` is hashed into `key`; `local` (paths and the like) shapes nothing and is
    not.
    """

    stage: str
    content: dict[str, Any]
    local: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        return content_key(self.stage, self.content)


def cut(ids: Sequence[str], size: int) -> list[list[str]]:
    """Cut hexadecimal ids into runs of about `size`, at places that only the ids near them decide.

    The ids are sorted; a run ends after an id whose last 8 hex digits are divisible by `size`, and at 4 x
    `size` at the latest. A new id therefore changes the run it falls in and leaves the others alone.
    """
    runs: list[list[str]] = []
    current: list[str] = []
    for name in sorted(ids):
        current.append(name)
        if int(name[-8:], 16) % size == 0 or len(current) >= 4 * size:
            runs.append(current)
            current = []
    return [*runs, current] if current else runs
