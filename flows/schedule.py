"""Scheduled builds: a Prefect deployment on a cron, served until stopped; overlapping runs are cancelled."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from flows.server import prefect_at, prefect_server, quiet_prefect

quiet_prefect()

from prefect import flow  # noqa: E402
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy  # noqa: E402
from prefect.client.schemas.schedules import CronSchedule  # noqa: E402
from prefect.deployments.runner import EntrypointType  # noqa: E402
from prefect.client.schemas.objects import State
from prefect.states import Completed  # noqa: E402
from pydantic import ValidationError  # noqa: E402

from flows.build import build  # noqa: E402
from flows.summary import print_outcome  # noqa: E402
from schemas.config import BuildConfig  # noqa: E402
from schemas.errors import InputError, SpiderError  # noqa: E402


@flow(name="iqa-spider-scheduled-build", persist_result=False, flow_run_name="{config[name]}")
def scheduled_build(config: dict[str, Any], limit: int | None = None) -> State[Any]:
    """One scheduled run. Ends Completed, NothingChanged (a completed state of that name), or Failed with one line."""
    try:
        outcome = build(BuildConfig.model_validate(config), limit)
    except SpiderError as error:
        print(f"iqa-spider: {error}", file=sys.stderr, flush=True)
        raise
    print_outcome(outcome)
    sys.stdout.flush()
    if not outcome.changed:
        return Completed(name="NothingChanged", message="nothing changed")
    return Completed(message=f"built {outcome.folder} with {outcome.manifest.rows} rows")


def serve(config: BuildConfig, limit: int | None, cron: str) -> None:
    """Serve the build at `cron` (UTC) until SIGINT or SIGTERM, on the server at PREFECT_API_URL or one of our own.

    The configuration is the one read now: restart after a change. Raises InputError for a cron Prefect refuses.
    """
    try:
        CronSchedule(cron=cron)
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f'--cron {cron!r}: {what}; give five fields, for example "0 3 * * *"') from error
    resolved = _absolute(config)
    with prefect_server(resolved.out / ".prefect-schedule") as server, prefect_at(server):
        print(f"serving {config.name} at {cron!r} (UTC) until stopped; output {resolved.out}", flush=True)
        scheduled_build.serve(
            name=config.name,
            cron=cron,
            parameters={"config": resolved.model_dump(mode="json"), "limit": limit},
            global_limit=ConcurrencyLimitConfig(
                limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
            ),
            pause_on_shutdown=False,
            print_starting_message=False,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )


def _absolute(config: BuildConfig) -> BuildConfig:
    """The configuration with every path absolute, since a served run may start in another folder."""

    def absolute(path: Path | None) -> Path | None:
        return None if path is None else path.absolute()

    images = config.images.model_copy(
        update={name: absolute(getattr(config.images, name)) for name in ("folder", "coco", "manifest")}
    )
    annotate = config.annotate.model_copy(update={"wording": absolute(config.annotate.wording)})
    store = config.store or config.out / "store"
    return config.model_copy(
        update={
            "images": images,
            "annotate": annotate,
            "out": config.out.absolute(),
            "store": store.absolute(),
        }
    )
