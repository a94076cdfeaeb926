"""The `plan` command: what a build would make and reuse, and how long it would take; writes nothing."""

from __future__ import annotations

import json

from flows import plan
from flows.expected import expected, missing_inputs
from flows.progress import duration
from flows.runners import default_workers
from schemas.config import BuildConfig
from schemas.store import Store


def print_plan(config: BuildConfig, limit: int | None, as_json: bool) -> None:
    """Survey the build against its store and print shards and time by stage."""
    missing = missing_inputs(config)
    if missing:
        _print_expected(config, missing, as_json)
        return
    store = Store(config.store or config.out / "store")
    survey = plan.survey_ingest(plan.scan_sources(config, None, limit), config, store)
    plan.survey_external(survey, store, None)
    plan.survey_rows(survey, store)
    plan.survey_merge(survey, store)
    plan.survey_publish(survey, store)
    workers = config.run.workers or default_workers()
    stages = plan.forecast(survey, 1 if config.run.runner == "serial" else workers)
    done = plan.finished_dataset(survey, config.out)
    print(
        f"{len(survey.scanned.refs)} photographs, {len(survey.scanned.duplicates)} exact duplicates, ", end=""
    )
    print(f"{len(survey.scanned.quarantined)} that can't be used")
    for entry in stages:
        time = f"about {duration(entry.seconds)}" if entry.new else ""
        print(f"{entry.stage:<9} {entry.new:>5} to make {entry.reused:>5} to reuse  {time}".rstrip())
    print(f"total     about {duration(sum(entry.seconds for entry in stages))} with {workers} workers")
    if done is not None:
        print(f"nothing to do: {done.resolve()} stands")
    if as_json:
        summary = {
            "photographs": len(survey.scanned.refs),
            "shards": {"new": sum(e.new for e in stages), "reused": sum(e.reused for e in stages)},
            "stages": {
                e.stage: {"new": e.new, "reused": e.reused, "seconds": round(e.seconds, 1)} for e in stages
            },
            "dataset": str(done) if done is not None else None,
        }
        print(json.dumps(summary))


def _print_expected(config: BuildConfig, missing: list[str], as_json: bool) -> None:
    """What is missing, and what can be said without it."""
    for line in missing:
        print(line)
    workers = 1 if config.run.runner == "serial" else config.run.workers or default_workers()
    parts = expected(config, plan.TYPICAL_SECONDS)
    for part in parts:
        time = f"about {duration(part.seconds / workers)}" if part.seconds else ""
        print(f"{part.what:<28} {part.count:>9,}  {time}".rstrip())
    print(f"estimates without the inputs, with {workers} workers; `build` needs what is missing")
    if any(part.count and not part.seconds for part in parts[1:]):
        print("stages without a time are a model's: measure them on your machine with --limit")
    if as_json:
        listed = [{"what": p.what, "count": p.count, "seconds": round(p.seconds / workers, 1)} for p in parts]
        print(json.dumps({"missing": missing, "expected": listed}))
