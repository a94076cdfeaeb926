"""The stages of a build in their order. A stage is the file of its name beside this one, and a line here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flows.stages.job import Job
    from flows.stages.stage import Stage
    from schemas.store import Manifest, Store

STAGES: tuple[str, ...] = (
    "ingest",
    "keepout",
    "outline",
    "external",
    "pictures",
    "regions",
    "distort",
    "annotate",
    "merge",
    "publish",
)


def stage_of(name: str) -> Stage:
    """The stage of this name; its file is imported when it is first asked for."""
    stage: Stage = importlib.import_module(f"flows.stages.{name}").STAGE
    return stage


def needed(name: str) -> tuple[str, ...]:
    """The stages that a build which ends after `name` makes, in order: it and all that it follows from."""
    wanted = {name}
    for stage in reversed(STAGES):
        if stage in wanted:
            wanted.update(stage_of(stage).after)
    return tuple(stage for stage in STAGES if stage in wanted)


def run_job(job: Job, store: Store) -> Manifest:
    """Make one shard, in whatever process calls it, and return its manifest."""
    stage = stage_of(job.stage)
    with stage.shard(job, store) as out:
        stage.run(job, store, out)
    manifest = store.find(job.stage, job.key)
    if manifest is None:
        raise RuntimeError(f"shard {job.stage}/{job.key} vanished after it was written")
    return manifest


def workers_for(job: Job, workers: int) -> int:
    """How many of `workers` processes may run jobs of this one's stage."""
    most_workers = stage_of(job.stage).most_workers
    return workers if most_workers is None else min(workers, most_workers(job) or workers)
