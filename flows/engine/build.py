"""The build: stages in order, one Prefect task a missing shard, a dataset folder at the end."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from flows.dataset.report import ShardCount
from flows.engine import survey as plan
from flows.engine.prefect_server import Server, prefect_at, prefect_server
from flows.engine.runners import Runner, default_workers, make_runner
from flows.progress import Progress
from flows.stages import publish
from flows.stages.job import EXTERNAL_STAGES, STAGES, Job
from schemas.config import BuildConfig
from schemas.dataset import DatasetManifest, load_manifest, quarantine_bytes
from schemas.errors import BuildError
from schemas.hash_cache import FileHashes
from schemas.records import Quarantined
from schemas.store import Store, exclusive, open_store, write_atomically

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
            "shards": _told(_total(self.shards)),
            "quarantined": self.manifest.quarantined,
            "seconds": self.seconds,
            "state": "built" if self.changed else "nothing changed",
            "stages": {stage: _told(count) for stage, count in self.shards.items()},
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
            "shards": _told(_total(self.shards)),
            "counts": self.counts,
            "quarantined": self.quarantined,
            "seconds": self.seconds,
            "state": f"until {self.stage}",
            "stages": {stage: _told(count) for stage, count in self.shards.items()},
        }


def _total(shards: Mapping[str, ShardCount]) -> ShardCount:
    return ShardCount(sum(c.new for c in shards.values()), sum(c.reused for c in shards.values()))


def _told(count: ShardCount) -> dict[str, int]:
    return {"new": count.new, "reused": count.reused}


def build(config: BuildConfig, limit: int | None = None) -> Outcome:
    """Build the dataset of `config`, making only the shards its store lacks.

    Raises InputError (wrong use, unreadable input, an output that belongs to another build) or BuildError
    (a full disk, too many failures, an output held by a running build).
    """
    started = time.perf_counter()
    with _surveyed(config, limit) as (survey, store):
        if not (survey.missing("ingest") or survey.missing("keepout")):
            plan.survey_merge(survey, store)
            plan.survey_publish(survey, store)
            done = plan.finished_dataset(survey, config.out)
            if done is not None:
                publish.point_latest(config.out, done)
                shards = {s: ShardCount(0, len(survey.jobs[s])) for s in STAGES if survey.jobs[s]}
                seconds = {"scan": round(time.perf_counter() - started, 3)}
                return Outcome(done, load_manifest(done), shards, seconds, changed=False)
        with _started(survey, store, started) as (under_way, server):
            return under_way.run(server, under_way.dataset)


def build_until(config: BuildConfig, stage: str, limit: int | None = None) -> Stopped:
    """Make the shards of `config` that its store lacks up to `stage` ("ingest", "regions", "distort" or
    "annotate") and no dataset; a later build, of another output folder or machine too, reuses them.

    Raises InputError and BuildError as `build`.
    """
    started = time.perf_counter()
    before = STAGES[: STAGES.index(stage) + 1]
    stages = tuple(name for name in before if name == "keepout" or name not in EXTERNAL_STAGES)
    with _surveyed(config, limit) as (survey, store):
        foreseen = bool(survey.kept.by_shard)
        if foreseen and not any(survey.missing(name) for name in stages):
            seconds = {"scan": round(time.perf_counter() - started, 3)}
            shards = {name: ShardCount(0, len(survey.jobs[name])) for name in stages}
            return _stopped(survey, store, stages, shards, seconds)
        with _started(survey, store, started) as (under_way, server):
            return under_way.run(server, lambda: under_way.until(stages))


@contextmanager
def _surveyed(config: BuildConfig, limit: int | None) -> Iterator[tuple[plan.Survey, Store]]:
    """The build's folder and store, held, and what stands in it as far as that can be foreseen."""
    root = config.store or config.out / "store"
    with exclusive(config.out, config.name), open_store(root) as store:
        with FileHashes(root / "hashes.sqlite") as hashes:
            scanned = plan.scan_sources(config, hashes, limit)
            survey = plan.survey_ingest(scanned, config, store, hashes)
            plan.survey_external(survey, store, hashes)
        if not (survey.missing("ingest") or survey.missing("keepout")):
            plan.survey_rows(survey, store)
        yield survey, store


@contextmanager
def _started(survey: plan.Survey, store: Store, started: float) -> Iterator[tuple[_Build, Server]]:
    """A build with a server and workers."""
    config = survey.config
    with (
        prefect_server(config.out / ".prefect") as server,
        make_runner(config.run.runner, store, config.run.workers or default_workers()) as runner,
    ):
        yield _Build(survey, store, runner, started), server


def _stopped(
    survey: plan.Survey,
    store: Store,
    stages: tuple[str, ...],
    shards: dict[str, ShardCount],
    seconds: dict[str, float],
) -> Stopped:
    manifests = [manifest for stage in stages for manifest in survey.manifests(stage)]
    counts: Counter[str] = Counter()
    for manifest in manifests:
        counts.update(manifest.counts)
    failed = len(survey.scanned.quarantined) + sum(len(manifest.quarantine) for manifest in manifests)
    return Stopped(stages[-1], store.root, shards, seconds, dict(sorted(counts.items())), failed)


class _Build:
    """One build under way: its survey, which grows as stages end, and the tallies by stage."""

    def __init__(self, survey: plan.Survey, store: Store, runner: Runner, started: float) -> None:
        self._survey, self._store, self._runner = survey, store, runner
        self._config = survey.config
        self._shards: dict[str, ShardCount] = {}
        self._seconds = {"scan": round(time.perf_counter() - started, 3)}

    def run(self, server: Server, stages: Callable[[], T]) -> T:
        """`stages`, a method of this object, as one Prefect flow."""
        begun = time.perf_counter()
        with prefect_at(server):
            from prefect import flow

            self._seconds["orchestration"] = round(time.perf_counter() - begun, 3)
            as_flow = flow(
                name="iqa-spider-build",
                flow_run_name=f"{self._config.name}-seed{self._config.seed}",
                task_runner=self._runner.task_runner(),
                persist_result=False,
            )
            result: T = as_flow(stages)()
            return result

    def until(self, stages: tuple[str, ...]) -> Stopped:
        """The first `stages` and nothing after."""
        self._rows(stages)
        return _stopped(self._survey, self._store, stages, self._shards, self._seconds)

    def _rows(self, stages: tuple[str, ...]) -> None:
        self._make("ingest")
        for stage in EXTERNAL_STAGES:
            if stage in stages:
                with FileHashes(self._store.root / "hashes.sqlite") as hashes:
                    plan.survey_external(self._survey, self._store, hashes)
                self._make(stage)
            if stage == "external":
                plan.judge_external(self._survey)
        plan.survey_rows(self._survey, self._store)
        if not self._survey.kept.by_shard:
            raise BuildError(self._failed("ingest", *self._failures("ingest"), "no picture could be used"))
        for stage in stages:
            if stage != "ingest" and stage not in EXTERNAL_STAGES:
                self._make(stage)

    def dataset(self) -> Outcome:
        """All stages, and the dataset's folder."""
        survey, store = self._survey, self._store
        self._rows(STAGES[: STAGES.index("merge")])
        plan.survey_merge(survey, store)
        self._make("merge")
        plan.survey_publish(survey, store)
        if not survey.jobs["publish"]:
            raise BuildError(
                "no row was made: no photograph gave a sample; see the counts with `plan`, add photographs"
            )
        self._make("publish")
        return self._assemble()

    def _make(self, stage: str) -> None:
        """Make a stage's missing shards, a window of Prefect tasks at a time, then judge its failures."""
        started = time.perf_counter()
        jobs, missing = self._survey.jobs[stage], self._survey.missing(stage)
        if not jobs and stage in EXTERNAL_STAGES:
            return
        progress = Progress(stage, len(jobs), len(jobs) - len(missing))
        for manifest in self._submit(stage, missing):
            self._survey.found[manifest.key] = manifest
            progress.step()
        progress.close()
        self._shards[stage] = ShardCount(len(missing), len(jobs) - len(missing))
        self._seconds[stage] = round(time.perf_counter() - started, 3)
        if stage in EXTERNAL_STAGES or stage == "merge":
            return  # judged by merge.max_bad_share, a file at a time
        failed, tried = self._failures(stage)
        if tried and len(failed) / tried > self._config.run.max_failure_rate:
            limit = f"the limit run.max_failure_rate is {self._config.run.max_failure_rate:.0%}"
            raise BuildError(self._failed(stage, failed, tried, limit))

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

    def _failures(self, stage: str) -> tuple[list[Quarantined], int]:
        """What failed in a stage, files the scan refused included, and how many were tried."""
        manifests = self._survey.manifests(stage)
        failed = [entry for manifest in manifests for entry in manifest.quarantine]
        if stage == "ingest":
            failed += self._survey.scanned.quarantined
        return failed, sum(manifest.rows for manifest in manifests) + len(failed)

    def _failed(self, stage: str, failed: list[Quarantined], tried: int, limit: str) -> str:
        """The line for a build that fails by its samples; their quarantine is left in the output folder."""
        path = self._config.out / "quarantine.parquet"
        write_atomically(path, quarantine_bytes(failed), self._config.out)
        reasons = ", ".join(
            f"{reason} {count}" for reason, count in Counter(e.reason for e in failed).most_common(3)
        )
        return f"{stage}: {len(failed)} of {tried} failed ({reasons}); {limit}; see {path}"

    def _assemble(self) -> Outcome:
        survey, config = self._survey, self._config
        facts = plan.facts_of(survey, config.run.runner, self._runner.workers)
        facts.seconds, facts.shards = self._seconds, self._shards
        started = time.perf_counter()
        (merged,) = survey.manifests("merge")
        manifest = publish.assemble(
            survey.jobs["publish"], merged, survey.jobs["distort"], facts, self._store, config.out
        )
        (config.out / "quarantine.parquet").unlink(missing_ok=True)
        self._seconds["assemble"] = round(time.perf_counter() - started, 3)
        folder = publish.dataset_folder(config.out, config.name, manifest.key)
        return Outcome(folder, manifest, self._shards, self._seconds, changed=True)
