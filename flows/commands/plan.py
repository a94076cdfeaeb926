"""`iqa-spider plan`: what a build would make and reuse, and how long it would take; writes nothing."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flows.arguments import add_build, add_json, add_until, read_build

if TYPE_CHECKING:
    from flows.engine.model_calls import RequestForecast
    from schemas.config import BuildConfig

GROUP = "build"
HELP = "Say what a build would make, reuse and take; writes nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_build(parser)
    add_until(parser)
    add_json(parser, "a summary")


def run(options: argparse.Namespace) -> int:
    """Survey the build, to the stage of `--until` or to its end, against its store."""
    config = read_build(options)
    from flows.engine import survey
    from flows.engine.forecast import forecast, forecast_requests, missing_inputs
    from flows.progress import duration
    from flows.stages.table import STAGES, needed
    from flows.workers import default_workers, workers_of
    from schemas.store import Store

    missing = missing_inputs(config)
    if missing:
        _print_expected(config, missing, options.json)
        return 0
    store = Store(config.store or config.out / "store")
    known = survey.start(config, store, options.limit)
    survey.look_ahead(known, partial=True)
    until: str | None = options.until
    workers = config.run.workers or default_workers()
    wanted = needed(until) if until is not None else STAGES
    requests = forecast_requests(known)
    whole = forecast(known, workers_of(config.run), requests)
    stages = [entry for entry in whole if entry.stage in wanted]
    done = survey.finished_dataset(known, config.out) if until is None else None
    scanned = known.scanned
    print(f"{len(scanned.refs)} photographs, {len(scanned.duplicates)} exact duplicates, ", end="")
    print(f"{len(scanned.quarantined)} that can't be used")
    for entry in stages:
        time = _time(entry.seconds) if entry.new else ""
        print(f"{entry.stage:<9} {entry.new:>5} to make {entry.reused:>5} to reuse  {time}".rstrip())
    seconds = sum(entry.seconds for entry in stages if entry.seconds is not None)
    unknown = "" if all(entry.seconds is not None for entry in stages) else " and the model's time"
    print(f"total     about {duration(seconds)}{unknown} with {workers} workers")
    if requests is not None and config.annotate.vlm is not None:
        print(f"model     {config.annotate.vlm.model} ({config.annotate.backend}): {_request_line(requests)}")
    if done is not None:
        print(f"nothing to do: {done.resolve()} already exists")
    if until is not None and not any(entry.new for entry in stages):
        print(f"nothing to do: all shards up to {until} already exist")
    if options.json:
        summary: dict[str, Any] = {
            "photographs": len(scanned.refs),
            "shards": {"new": sum(e.new for e in stages), "reused": sum(e.reused for e in stages)},
            "stages": {
                e.stage: {
                    "new": e.new,
                    "reused": e.reused,
                    "seconds": None if e.seconds is None else round(e.seconds, 1),
                }
                for e in stages
            },
            "dataset": str(done) if done is not None else None,
        }
        if requests is not None:
            summary["requests"] = {**asdict(requests), "left": requests.left, "seconds": requests.seconds}
        print(json.dumps(summary))
    return 0


def _time(seconds: float | None) -> str:
    from flows.progress import duration

    return "time unknown" if seconds is None else f"about {duration(seconds)}"


def _request_line(requests: RequestForecast) -> str:
    """Requests, tokens and time in a line; more than one attempt a row comes on top."""
    about = "" if requests.exact else "about "
    line = f"{about}{requests.requests} requests at least, {requests.cached} answered already"
    if not requests.left:
        return line
    line += f"; about {requests.prompt_tokens:,} tokens to read and {requests.reply_tokens:,} to write"
    if requests.rate is None:
        return f"{line}; how long is unknown until the model has answered some"
    return f"{line}; {_time(requests.seconds)} at the measured {requests.rate:.2g} requests a second"


def _print_expected(config: BuildConfig, missing: list[str], as_json: bool) -> None:
    """What is missing, and what can be said without it."""
    from flows.engine.forecast import expected
    from flows.progress import duration
    from flows.workers import workers_of

    for line in missing:
        print(line)
    workers = workers_of(config.run)
    parts = expected(config)
    for part in parts:
        time = f"about {duration(part.seconds / workers)}" if part.seconds else ""
        print(f"{part.what:<28} {part.count:>9,}  {time}".rstrip())
    print(f"estimates without the inputs, with {workers} workers; `build` needs what is missing")
    if any(part.count and not part.seconds for part in parts[1:]):
        print("stages without a time are a model's: measure them on your machine with --limit")
    if as_json:
        listed = [{"what": p.what, "count": p.count, "seconds": round(p.seconds / workers, 1)} for p in parts]
        print(json.dumps({"missing": missing, "expected": listed}))
