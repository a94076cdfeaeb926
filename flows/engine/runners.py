"""Runners: where shard functions run. One interface, so that the runner is a setting and never shapes a
dataset.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from flows.engine.prefect_server import end_with_parent
from flows.stages.job import Job
from flows.stages.table import run_job, workers_for
from flows.workers import single_threaded_libraries
from schemas.choices import RunnerName
from schemas.errors import BuildError
from schemas.store import Manifest, Store

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

_CRASH_TRIES = 2


class Runner(Protocol):
    """Runs one job to its manifest; `task_runner` is what Prefect submits tasks with, `workers` at a time."""

    workers: int

    def run(self, job: Job) -> Manifest: ...

    def task_runner(self) -> TaskRunner[Any]: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class InProcessRunner:
    """Shard functions on Prefect's own threads: one thread for `serial`, several for `thread`."""

    def __init__(self, store: Store, workers: int) -> None:
        self.workers = workers
        self._store = store

    def run(self, job: Job) -> Manifest:
        return run_job(job, self._store)

    def task_runner(self) -> TaskRunner[Any]:
        from prefect.task_runners import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner(max_workers=self.workers)

    def __enter__(self) -> Self:
        single_threaded_libraries()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class ProcessRunner(InProcessRunner):
    """Prefect tasks on threads that hand the shard function to a pool of processes, one thread each.

    A worker that dies (killed for memory, say) takes its pool with it: the pool is made again and the shard
    tried once more before the build stops. A stage that allows fewer workers has a pool of its own, so that
    no more processes load models on a GPU than may use it, and they end with the stage.
    """

    def __init__(self, store: Store, workers: int) -> None:
        super().__init__(store, workers)
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._size = workers

    def run(self, job: Job) -> Manifest:
        size = workers_for(job, self.workers)
        for _ in range(_CRASH_TRIES):
            pool = self._current_pool(size)
            try:
                return pool.submit(_run_in_worker, job, self._store.root, self._store.tmp).result()
            except BrokenProcessPool:
                self._drop(pool)
        raise BuildError(
            f"a worker process died twice on shard {job.stage}/{job.key[:12]}; "
            "check memory (fewer --workers) and build again"
        )

    def _current_pool(self, size: int) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is not None and self._size != size:
                self._pool.shutdown(wait=False)
                self._pool = None
            if self._pool is None:
                self._size = size
                self._pool = ProcessPoolExecutor(
                    size,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_start_worker,
                )
            return self._pool

    def _drop(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.shutdown(wait=False, cancel_futures=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=kind is None, cancel_futures=True)
            if kind is not None:
                for process in list((self._pool._processes or {}).values()):
                    process.terminate()


def make_runner(name: RunnerName, store: Store, workers: int) -> Runner:
    """The runner of that name on `store`."""
    if name == "process":
        return ProcessRunner(store, workers)
    return InProcessRunner(store, 1 if name == "serial" else workers)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    single_threaded_libraries()


def _run_in_worker(job: Job, root: Path, tmp: Path | None) -> Manifest:
    return run_job(job, Store(root, tmp))
