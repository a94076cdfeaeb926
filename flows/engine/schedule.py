"""Scheduled builds: a Prefect deployment on a cron, served until stopped; overlapping runs are cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import chdir
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any
from uuid import UUID

from flows.engine.prefect_server import (
    Server,
    answers,
    end_with_parent,
    prefect_at,
    prefect_server,
    quiet_prefect,
)

quiet_prefect()

import httpx  # noqa: E402
from prefect import flow  # noqa: E402
from prefect.client.orchestration import get_client  # noqa: E402
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate  # noqa: E402
from prefect.client.schemas.filters import (  # noqa: E402
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import (  # noqa: E402
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    State,
    StateType,
)
from prefect.client.schemas.schedules import CronSchedule  # noqa: E402
from prefect.runner import Runner  # noqa: E402
from prefect.states import Cancelled, Completed, Crashed, Failed  # noqa: E402
from prefect.types.entrypoint import EntrypointType  # noqa: E402
from pydantic import ValidationError  # noqa: E402

from flows.engine.build import build  # noqa: E402
from flows.engine.build_summary import outcome_lines  # noqa: E402
from flows.progress import LineMeter  # noqa: E402
from schemas.config import BuildConfig  # noqa: E402
from schemas.errors import BuildError, InputError, SpiderError  # noqa: E402
from schemas.meter import SILENT  # noqa: E402
from schemas.sections import absolute  # noqa: E402

_POLL_SECONDS = 5.0
_STOP_SECONDS = 60.0
_CHECK_SECONDS = 2.0
_SILENT_CHECKS = 3
_UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_QUIET_TRACKER = "ignore:resource_tracker:UserWarning"
"""A killed run leaves its semaphores to multiprocessing's tracker, which frees them and needn't say so."""


@flow(name="iqa-spider-scheduled-build", persist_result=False, flow_run_name="{config[name]}")
def scheduled_build(
    config: dict[str, Any], folder: str, limit: int | None = None, quiet: bool = False
) -> State[Any]:
    """One scheduled run, in a process of its own: ends Completed, NothingChanged (type COMPLETED), or Failed
    with our one line.

    `folder` is where `schedule` was started: job keys hold models' folders as the configuration spells them,
    so a relative one has to mean the same here. `quiet` leaves out the lines about its progress.
    """
    end_with_parent()
    progress = SILENT if quiet else LineMeter
    try:
        with chdir(folder):
            outcome = build(BuildConfig.model_validate(config), limit, progress)
    except SpiderError as error:
        line = " ".join(str(error).split())
        print(f"iqa-spider: {line}", file=sys.stderr, flush=True)
        return Failed(message=line)
    except Exception:
        traceback.print_exc()
        raise
    print("\n".join(outcome_lines(outcome)), flush=True)
    if not outcome.changed:
        return Completed(name="NothingChanged", message="nothing changed")
    new = sum(count.new for count in outcome.shards.values())
    reused = sum(count.reused for count in outcome.shards.values())
    rows = outcome.manifest.rows
    return Completed(message=f"built {outcome.folder}: {rows} rows; shards: {new} made, {reused} reused")


def serve(
    config: BuildConfig, limit: int | None, cron: str, say: Callable[[str], None], quiet: bool = False
) -> None:
    """Serve the build at `cron` (UTC) until SIGINT or SIGTERM, on PREFECT_API_URL's server or one of our own.

    `say` gets a line when it begins and one when it has stopped. The configuration is the one read now:
    restart after a change. Stopping ends a run under way and marks it Cancelled; the next one goes on with
    the shards it left. Raises InputError for a cron Prefect refuses or a server that isn't there, BuildError
    for a server that is lost.
    """
    try:
        CronSchedule(cron=cron)
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f'--cron {cron!r}: {what}; give five fields, for example "0 3 * * *"') from error
    resolved = absolute(config, Path.cwd())
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), _QUIET_TRACKER]))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with prefect_server(resolved.out / ".prefect-schedule") as server, prefect_at(server):
            _Schedule(resolved, limit, cron, say, quiet).serve(server)
    except KeyboardInterrupt:
        say("stopped")


class _Schedule:
    """A deployment being served: Prefect's runner on its own thread; the main thread takes the signals."""

    def __init__(
        self, config: BuildConfig, limit: int | None, cron: str, say: Callable[[str], None], quiet: bool
    ) -> None:
        self._config, self._limit, self._cron = config, limit, cron
        self._say, self._quiet = say, quiet
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_report)
        self._ended: Future[None] = Future()
        self._runner = Runner(name=config.name, pause_on_shutdown=False, query_seconds=_POLL_SECONDS)

    def serve(self, server: Server) -> None:
        """Serve until the main thread is interrupted. Raises BuildError when the server is lost."""
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run, server), daemon=True).start()
        try:
            self._ended.result()
        except KeyboardInterrupt:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop)
            self._ended.result()
            raise
        except Exception as error:
            _kill_runs()
            what = " ".join(str(_innermost(error)).split())[:300]
            lost = f"the Prefect server at {server.url} was lost: {what}"
            raise BuildError(f"{lost}; start `schedule` again when it does") from error

    def _run(self, server: Server) -> None:
        # Runs inherit this mask: Ctrl-C reaches every process of a terminal, only the main thread acts on it.
        # The tracker comes first, because starting it with the first run would lift the mask.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        self._serving = self._loop.create_task(self._serve(server))
        try:
            self._loop.run_until_complete(self._serving)
        except asyncio.CancelledError:
            self._ended.set_result(None)
        except BaseException as error:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _serve(self, server: Server) -> None:
        deployment = await self._runner.aadd_flow(
            scheduled_build,
            name=self._config.name,
            cron=self._cron,
            parameters={
                "config": self._config.model_dump(mode="json"),
                "folder": str(Path.cwd()),
                "limit": self._limit,
                "quiet": self._quiet,
            },
            concurrency_limit=ConcurrencyLimitConfig(
                limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
            ),
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        if server.own:
            await _forget_killed_runs(deployment)
        what = f"serving {self._config.name} at {self._cron!r} (UTC) on {server.url} until stopped"
        self._say(f"{what}; output {self._config.out}")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._runner.start())
            group.create_task(_watch(server.url))

    async def _stop(self) -> None:
        """Mark the runs under way Cancelled, end their processes, then the runner."""
        try:
            async with asyncio.timeout(_STOP_SECONDS), get_client() as client:
                for run in self._runner._process_manager.flow_run_ids():
                    await client.set_flow_run_state(run, Cancelled(message="the schedule was stopped"))
        except (OSError, httpx.HTTPError) as error:
            self._say(f"the Prefect server was not told of the stop: {error!r}")
        finally:
            _kill_runs()
            self._serving.cancel()


async def _watch(url: str) -> None:
    """End the runs and raise ConnectionError once the server is silent several times in a row.

    Prefect itself goes on for minutes, and its runner can't end before its runs have.
    """
    silent = 0
    while silent < _SILENT_CHECKS:
        await asyncio.sleep(_CHECK_SECONDS)
        silent = 0 if await asyncio.to_thread(answers, url) else silent + 1
    _kill_runs()
    raise ConnectionError("it no longer answers")


def _kill_runs() -> None:
    """End the processes of all runs at once; the next build removes the temporary files they leave."""
    for run in multiprocessing.active_children():
        run.kill()
        run.join()


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Print a callback's error, unless it is that Prefect looks at the result of a task we have cancelled."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _innermost(error: BaseException) -> BaseException:
    return _innermost(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _forget_killed_runs(deployment: UUID) -> None:
    """Free the one slot of a deployment whose earlier `schedule` and server were killed during a run.

    The server holds its leases in memory, so a run that died with it would keep the slot, and every later run
    would be cancelled. Only for a server of our own: no run can be under way there before we serve.
    """
    this = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    unfinished = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED)))
    async with get_client() as client:
        for run in await client.read_flow_runs(deployment_filter=this, flow_run_filter=unfinished):
            await client.set_flow_run_state(run.id, Crashed(message="killed with its schedule"), force=True)
        await client.update_global_concurrency_limit(
            f"deployment:{deployment}", GlobalConcurrencyLimitUpdate(active_slots=0)
        )
