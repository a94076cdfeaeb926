"""The build: stages in order, one Prefect task a missing shard, a dataset folder at the end."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import plan, publish
from flows.jobs import EXTERNAL_STAGES, STAGES, Job
from flows.progress import Progress
from flows.report import ShardCount
from flows.runners import Runner, default_workers, make_runner
from flows.server import Server, prefect_at, prefect_server
from schemas.config import BuildConfig
from schemas.dataset import DatasetManifest, load_manifest, quarantine_bytes
from schemas.errors import BuildError
from schemas.hash_cache import FileHashes
from schemas.records import Quarantined
from schemas.store import Store, exclusive, open_store, write_atomically

_WINDOW = 4


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
        return sum(count.new for count in self.shards.values())

    @property
    def reused(self) -> int:
        """Shards taken from the store, of all stages."""
        return sum(count.reused for count in self.shards.values())

    def summary(self) -> dict[str, Any]:
        """The build for a program: the last line of `build --json`."""
        return {
            "dataset": str(self.folder),
            "digest": self.manifest.digest,
            "rows": self.manifest.rows,
            "tasks": self.manifest.tasks,
            "splits": self.manifest.splits,
            "shards": {"new": self.new, "reused": self.reused},
            "quarantined": self.manifest.quarantined,
            "seconds": self.seconds,
            "state": "built" if self.changed else "nothing changed",
            "stages": {
                stage: {"new": count.new, "reused": count.reused} for stage, count in self.shards.items()
            },
        }


def build(config: BuildConfig, limit: int | None = None) -> Outcome:
    """Build the dataset of `config`, making only the shards its store lacks.

    Raises InputError (wrong use, unreadable input, an output that belongs to another build) or BuildError
    (a full disk, too many failures, an output held by a running build).
    """
    started = time.perf_counter()
    store_root = config.store or config.out / "store"
    with exclusive(config.out, config.name), open_store(store_root) as store:
        with FileHashes(store_root / "hashes.sqlite") as hashes:
            survey = plan.survey_ingest(plan.scan_sources(config, hashes, limit), config, store, hashes)
            plan.survey_external(survey, store, hashes)
        if not (survey.missing("ingest") or survey.missing("keepout")):
            plan.survey_rows(survey, store)
            plan.survey_merge(survey, store)
            plan.survey_publish(survey, store)
            done = plan.finished_dataset(survey, config.out)
            if done is not None:
                publish.point_latest(config.out, done)
                shards = {s: ShardCount(0, len(survey.jobs[s])) for s in STAGES if survey.jobs[s]}
                seconds = {"scan": round(time.perf_counter() - started, 3)}
                return Outcome(done, load_manifest(done), shards, seconds, changed=False)
        workers = config.run.workers or default_workers()
        with (
            prefect_server(config.out / ".prefect") as server,
            make_runner(config.run.runner, store, workers) as runner,
        ):
            return _Build(survey, store, runner, started).run(server)


class _Build:
    """One build under way: its survey, which grows as stages end, and the tallies by stage."""

    def __init__(self, survey: plan.Survey, store: Store, runner: Runner, started: float) -> None:
        self._survey, self._store, self._runner = survey, store, runner
        self._config = survey.config
        self._shards: dict[str, ShardCount] = {}
        self._seconds = {"scan": round(time.perf_counter() - started, 3)}

    def run(self, server: Server) -> Outcome:
        """All stages as one Prefect flow."""
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
            return as_flow(self._stages)()

    def _stages(self) -> Outcome:
        survey, store = self._survey, self._store
        self._make("ingest")
        for stage in EXTERNAL_STAGES:
            with FileHashes(store.root / "hashes.sqlite") as hashes:
                plan.survey_external(survey, store, hashes)
            self._make(stage)
            if stage == "external":
                plan.judge_external(survey)
        plan.survey_rows(survey, store)
        if not survey.kept.by_shard:
            raise BuildError(self._failed("ingest", *self._failures("ingest"), "no picture could be used"))
        for stage in ("regions", "distort", "annotate"):
            self._make(stage)
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
