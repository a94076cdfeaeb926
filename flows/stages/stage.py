"""How a stage declares itself: what its jobs follow from, how a shard is made, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from flows.stages.job import Job
from flows.stages.known import Known
from schemas.shards import new_shard
from schemas.store import Store


@dataclass(frozen=True)
class Cost:
    """Seconds on one core where the store has no shard to learn from: of a photograph or of a shard.

    `photographs` says how many a job deals with, given those of earlier stages' jobs by key; None means that
    the seconds are a shard's.
    """

    seconds: float
    photographs: Callable[[Job, Mapping[str, int]], int] | None = None


def a_photograph(seconds: float, photographs: Callable[[Job, Mapping[str, int]], int]) -> Cost:
    """The cost of a photograph of 640 x 427 pixels."""
    return Cost(seconds, photographs)


def a_shard(seconds: float) -> Cost:
    """The cost of a whole shard."""
    return Cost(seconds)


def _stage_shard(job: Job, store: Store) -> AbstractContextManager[Any]:
    return new_shard(store, job.stage, job.key)


@dataclass(frozen=True)
class Stage:
    """A stage of the build.

    Args:
        name: Its name in configurations, keys and the store.
        after: The stages whose shards its jobs follow from.
        jobs: All its jobs, given what is known; called when the shards of `after` exist.
        run: Makes one shard: writes into what `shard` opened. A pure function of the job and the store.
        cost: What making it takes, for forecasts.
        shard: Opens the writer of a job's shard; a shard is visible once the block ended without an error.
        whole: False when jobs may be known for part of the inputs, which is how `plan` looks ahead.
        optional: Whether there are builds without a job of this stage.
        most_workers: How many processes may make shards like a job's at once; None for any number.
        judge: Looks at the finished stage and raises BuildError when the build had better stop.
    """

    name: str
    after: tuple[str, ...]
    jobs: Callable[[Known], list[Job]]
    run: Callable[[Job, Store, Any], None]
    cost: Cost
    shard: Callable[[Job, Store], AbstractContextManager[Any]] = _stage_shard
    whole: bool = True
    optional: bool = False
    most_workers: Callable[[Job], int | None] | None = None
    judge: Callable[[Known], None] | None = None


def extend(known: Known, stage: Stage, partial: bool = False) -> None:
    """Find out a stage's jobs and which of them have shards.

    They stay unknown while shards that they follow from are missing; with `partial`, a stage whose jobs may
    be known for part of the inputs gets those jobs that can be known.
    """
    if all(known.complete(name) for name in stage.after) or (
        partial and not stage.whole and all(name in known.jobs for name in stage.after)
    ):
        known.jobs[stage.name] = stage.jobs(known)
        for job in known.missing(stage.name):
            manifest = known.store.find(stage.name, job.key)
            if manifest is not None:
                known.found[job.key] = manifest
