"""The build: stages in order, one Prefect task a missing shard, a dataset folder at the end."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from flows.dataset import folder
from flows.dataset.report import ShardCount
from flows.engine import survey
from flows.engine.prefect_server import Server, prefect_at, prefect_server
from flows.engine.runners import Runner, make_runner
from flows.stages.job import Job
from flows.stages.known import Known
from flows.stages.stage import extend
from flows.stages.table import STAGES, needed, stage_of
from flows.workers import default_workers
from schemas.config import BuildConfig
from schemas.dataset import DatasetManifest, load_manifest
from schemas.meter import SILENT, Progress
from schemas.store import lock_output, open_store

_WINDOW = 4
T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """What a build did: the dataset's folder and manifest, shards and seconds by stage, and whether it was
    new.
    """

    folder: Path
    manifest: DatasetManifest
    shards: dict[str, ShardCount]
    seconds: dict[str, float]
    changed: bool

    @property
    def new(self) -> int:
        """Shards made, of all stages."""
        return _total(self.shards).new

    @property
    def reused(self) -> int:
        """Shards taken from the store, of all stages."""
        return _total(self.shards).reused

    def summary(self) -> dict[str, Any]:
        """The build for a program: the last line of `build --json`."""
        return {
            "dataset": str(self.folder),
            "digest": self.manifest.digest,
            "rows": self.manifest.rows,
            "tasks": self.manifest.tasks,
            "splits": self.manifest.splits,
            "shards": _as_json(_total(self.shards)),
            "quarantined": self.manifest.quarantined,
            "seconds": self.seconds,
            "state": "built" if self.changed else "nothing changed",
            "stages": {stage: _as_json(count) for stage, count in self.shards.items()},
        }


@dataclass(frozen=True)
class Stopped:
    """What a build did that was to end after `stage`: its store, shards and seconds by stage, what the shards
    count, and how many samples are in quarantine.
    """

    stage: str
    store: Path
    shards: dict[str, ShardCount]
    seconds: dict[str, float]
    counts: dict[str, int]
    quarantined: int

    def summary(self) -> dict[str, Any]:
        """The build for a program: the last line of `build --until STAGE --json`."""
        return {
            "dataset": None,
            "store": str(self.store),
            "shards": _as_json(_total(self.shards)),
            "counts": self.counts,
            "quarantined": self.quarantined,
            "seconds": self.seconds,
            "state": f"until {self.stage}",
            "stages": {stage: _as_json(count) for stage, count in self.shards.items()},
        }


def _total(shards: Mapping[str, ShardCount]) -> ShardCount:
    return ShardCount(sum(c.new for c in shards.values()), sum(c.reused for c in shards.values()))


def _as_json(count: ShardCount) -> dict[str, int]:
    return {"new": count.new, "reused": count.reused}


def build(config: BuildConfig, limit: int | None = None, progress: Progress = SILENT) -> Outcome:
    """Build the dataset of `config`, making only the shards its store lacks; `progress` shows each stage.

    Raises InputError (wrong use, unreadable input, an output that belongs to another build) or BuildError
    (a full disk, too many failures, an output held by a running build).
    """
    started = time.perf_counter()
    with _surveyed(config, limit, STAGES) as known:
        done = survey.finished_dataset(known, config.out)
        if done is not None:
            folder.point_latest(config.out, done)
            return Outcome(done, load_manifest(done), _reused(known), _scan_seconds(started), changed=False)
        with _started(known, started, progress) as (under_way, server):
            return under_way.run(server, under_way.dataset)


def build_until(
    config: BuildConfig, stage: str, limit: int | None = None, progress: Progress = SILENT
) -> Stopped:
    """Make the shards of `config` that its store lacks up to `stage`, with the stages it follows from, and no
    dataset; a later build, of another output folder or machine too, reuses them.

    Raises InputError and BuildError as `build`.
    """
    started = time.perf_counter()
    stages = needed(stage)
    with _surveyed(config, limit, stages) as known:
        if all(known.complete(name) for name in stages):
            return _stopped(known, stage, _reused(known), _scan_seconds(started))
        with _started(known, started, progress) as (under_way, server):
            return under_way.run(server, lambda: under_way.until(stage))


@contextmanager
def _surveyed(config: BuildConfig, limit: int | None, stages: tuple[str, ...]) -> Iterator[Known]:
    """The build's folder and store, held, and what is known of `stages` as far as it can be foreseen."""
    root = config.store or config.out / "store"
    with lock_output(config.out, config.name), open_store(root) as store:
        known = survey.start(config, store, limit, remember=True)
        survey.look_ahead(known, stages=stages)
        yield known


@contextmanager
def _started(known: Known, started: float, progress: Progress) -> Iterator[tuple[_Build, Server]]:
    """A build with a server and workers."""
    config = known.config
    with (
        prefect_server(config.out / ".prefect") as server,
        make_runner(config.run.runner, known.store, config.run.workers or default_workers()) as runner,
    ):
        yield _Build(known, runner, _scan_seconds(started), progress), server


def _scan_seconds(started: float) -> dict[str, float]:
    return {"scan": round(time.perf_counter() - started, 3)}


def _reused(known: Known) -> dict[str, ShardCount]:
    """The shards of a build that made none."""
    return {stage: ShardCount(0, len(jobs)) for stage, jobs in known.jobs.items() if jobs}


def _stopped(known: Known, stage: str, shards: dict[str, ShardCount], seconds: dict[str, float]) -> Stopped:
    manifests = [manifest for name in needed(stage) for manifest in known.manifests(name)]
    counts: Counter[str] = Counter()
    for manifest in manifests:
        counts.update(manifest.counts)
    failed = len(known.scanned.quarantined) + sum(len(manifest.quarantine) for manifest in manifests)
    return Stopped(stage, known.store.root, shards, seconds, dict(sorted(counts.items())), failed)


class _Build:
    """One build under way: what is known of it, which grows as stages end, and the tallies by stage."""

    def __init__(self, known: Known, runner: Runner, seconds: dict[str, float], progress: Progress) -> None:
        self._known, self._runner, self._progress = known, runner, progress
        self._shards: dict[str, ShardCount] = {}
        self._seconds = seconds

    def run(self, server: Server, stages: Callable[[], T]) -> T:
        """`stages`, a method of this object, as one Prefect flow."""
        config = self._known.config
        begun = time.perf_counter()
        with prefect_at(server):
            from prefect import flow

            self._seconds["orchestration"] = round(time.perf_counter() - begun, 3)
            as_flow = flow(
                name="iqa-spider-build",
                flow_run_name=f"{config.name}-seed{config.seed}",
                task_runner=self._runner.task_runner(),
                persist_result=False,
            )
            result: T = as_flow(stages)()
            return result

    def until(self, stage: str) -> Stopped:
        """The stages that `stage` follows from, and it."""
        self._make(needed(stage))
        return _stopped(self._known, stage, self._shards, self._seconds)

    def dataset(self) -> Outcome:
        """All stages, and the dataset's folder."""
        self._make(STAGES)
        return self._assemble()

    def _make(self, stages: tuple[str, ...]) -> None:
        """Make the missing shards, a stage after the other, and judge each stage when it ends."""
        for name in stages:
            stage = stage_of(name)
            extend(self._known, stage)
            if self._known.jobs[name]:
                self._make_missing(name)
            if stage.judge is not None:
                stage.judge(self._known)

    def _make_missing(self, stage: str) -> None:
        """Make a stage's missing shards, a window of Prefect tasks at a time."""
        started = time.perf_counter()
        jobs, missing = self._known.jobs[stage], self._known.missing(stage)
        with self._progress(stage, len(jobs), len(jobs) - len(missing)) as meter:
            for manifest in self._submit(stage, missing):
                self._known.found[manifest.key] = manifest
                meter.step()
        self._shards[stage] = ShardCount(len(missing), len(jobs) - len(missing))
        self._seconds[stage] = round(time.perf_counter() - started, 3)

    def _submit(self, stage: str, jobs: list[Job]) -> Any:
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        as_task = task(
            name=stage, task_run_name=f"{stage}-{{job.key}}", cache_policy=NO_CACHE, persist_result=False
        )
        shard = as_task(self._runner.run)
        waiting: deque[Any] = deque()
        for job in jobs:
            if len(waiting) >= _WINDOW * self._runner.workers:
                yield waiting.popleft().result()
            waiting.append(shard.submit(job))
        while waiting:
            yield waiting.popleft().result()

    def _assemble(self) -> Outcome:
        known, config = self._known, self._known.config
        facts = survey.facts_of(known, config.run.runner, self._runner.workers)
        facts.seconds, facts.shards = self._seconds, self._shards
        started = time.perf_counter()
        (merged,) = known.manifests("merge")
        manifest = folder.assemble(
            known.jobs["publish"], merged, known.jobs["distort"], facts, known.store, config.out
        )
        (config.out / "quarantine.parquet").unlink(missing_ok=True)
        self._seconds["assemble"] = round(time.perf_counter() - started, 3)
        place = folder.dataset_folder(config.out, config.name, manifest.key)
        return Outcome(place, manifest, self._shards, self._seconds, changed=True)
