"""Jobs: one shard of one stage, its key made from its content alone, and the cut of sources into shards."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from schemas.hashing import content_key
from schemas.shards import ShardWriter, new_shard
from schemas.store import Manifest, Store

EXTERNAL_STAGES: tuple[str, ...] = ("keepout", "outline", "external", "pictures")
"""Stages that only builds with other datasets or evaluation sets have."""
STAGES: tuple[str, ...] = (
    "ingest",
    *EXTERNAL_STAGES,
    "regions",
    "distort",
    "annotate",
    "merge",
    "publish",
)


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


def workers_for(job: Job, workers: int) -> int:
    """How many of `workers` processes may run jobs of this one's stage."""
    if job.stage != "regions":
        return workers
    from flows.stages.regions import most_workers

    return min(workers, most_workers(job) or workers)


def run_job(job: Job, store: Store) -> Manifest:
    """Make one shard (in whatever process calls it) and return its manifest. Stages are imported when first
    run.
    """
    stage = importlib.import_module(f"flows.stages.{job.stage}")
    run: Callable[[Job, Store, ShardWriter], None] = stage.run
    with new_shard(store, job.stage, job.key) as out:
        run(job, store, out)
    manifest = store.find(job.stage, job.key)
    if manifest is None:
        raise RuntimeError(f"shard {job.stage}/{job.key} vanished after it was written")
    return manifest
