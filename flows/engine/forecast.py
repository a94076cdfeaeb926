"""How long a build will take: by what its store has measured, or roughly while its inputs are missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flows.engine.survey import photographs
from flows.stages.importers import importer
from flows.stages.known import Known
from flows.stages.stage import Stage
from flows.stages.table import STAGES, stage_of
from schemas.config import BuildConfig
from schemas.records import OWN_SOURCE
from schemas.regions_config import models_in
from schemas.sections import inputs

if TYPE_CHECKING:
    from flows.engine.model_calls import RequestForecast

ROWS_A_PHOTOGRAPH = {
    "global_description": 12.0,
    "local_description": 10.0,
    "grounding_hyd": 3.0,
    "grounding_sid": 4.0,
    "grounding_dao": 1.8,
    "referring_short": 11.0,
    "referring_long": 11.0,
}
"""Rows of one photograph of the demo (11 photographs, 581 rows)."""
_IMPORT_ROWS, _PICTURES = 6_000, 40
"""Rows read (benchmarks/importing.py) and pictures of half a megapixel stored in a second on one core."""


@dataclass(frozen=True)
class Expected:
    """A part of a build: what it makes, how many, and seconds on one core."""

    what: str
    count: int
    seconds: float


def missing_inputs(config: BuildConfig) -> list[str]:
    """One line for each file or folder of the configuration that isn't there."""
    return [f"{path}: missing ({key})" for key, path in inputs(config) if not path.exists()]


def expected(config: BuildConfig) -> list[Expected]:
    """Rough numbers from the configuration alone.

    Rows made here are those the mixture's caps allow, and the photographs as many as gave so many of the
    scarcest task in the demo; without such caps there is no estimate of them. Stages that a model does
    have no time. Rows of other datasets are as many as their publishers say, if they do.
    """
    parts = []
    caps = {
        rule.task: rule.cap
        for rule in config.merge.mixture
        if rule.source == OWN_SOURCE and rule.cap is not None
    }
    needed = [cap / ROWS_A_PHOTOGRAPH[task] for task, cap in caps.items() if task in ROWS_A_PHOTOGRAPH]
    photographs = math.ceil(max(needed, default=0))
    if photographs:
        parts.append(Expected("rows made here", sum(caps.values()), 0.0))
        models = {
            "regions": bool(models_in(config.regions)),
            "annotate": config.annotate.vlm is not None,
        }
        parts += [
            Expected(f"photographs, {stage}", photographs, 0 if models.get(stage) else photographs * seconds)
            for stage, seconds in seconds_a_photograph().items()
        ]
    for kind in dict.fromkeys(dataset.kind for dataset in config.merge.external):
        published = importer(kind)
        parts.append(Expected(f"{kind} rows", published.rows, published.rows / _IMPORT_ROWS))
        parts.append(Expected(f"{kind} pictures", published.pictures, published.pictures / _PICTURES))
    return [part for part in parts if part.count]


def seconds_a_photograph() -> dict[str, float]:
    """Seconds a photograph of 640 x 427 pixels takes on one core, by stage."""
    costs = {name: stage_of(name).cost for name in STAGES}
    return {name: cost.seconds for name, cost in costs.items() if cost.photographs is not None}


@dataclass(frozen=True)
class StageForecast:
    """One stage's shards to make and to reuse, and the seconds the first will take on all workers.

    `seconds` is None where a model answers and its speed hasn't been measured.
    """

    stage: str
    new: int
    reused: int
    seconds: float | None


def forecast(known: Known, workers: int, requests: RequestForecast | None = None) -> list[StageForecast]:
    """Shards and seconds by stage; `requests` gives the time of annotate where a model answers.

    Pictures not ingested yet count as one shard of each later stage a run of files.
    """
    counts = photographs(known)
    result: dict[str, StageForecast] = {}
    for name in STAGES:
        stage = stage_of(name)
        if stage.cost.photographs is not None:
            entry = _of_photographs(known, stage, counts, workers)
        else:
            changed = any(result[before].new for before in stage.after if before in result)
            entry = _of_shards(known, stage, changed, workers)
        if name == "annotate" and requests is not None:
            entry = replace(entry, seconds=requests.seconds)
        if entry.new or entry.reused or not stage.optional:
            result[name] = entry
    return list(result.values())


def _of_photographs(known: Known, stage: Stage, counts: Mapping[str, int], workers: int) -> StageForecast:
    missing = known.missing(stage.name)
    pictures, new = sum(counts[job.key] for job in missing), len(missing)
    if stage.after:
        unknown = known.missing("ingest") if stage.name in known.jobs else known.jobs["ingest"]
        pictures, new = pictures + sum(counts[job.key] for job in unknown), new + len(unknown)
    reused = len(known.jobs.get(stage.name, [])) - len(missing)
    seconds = pictures * _measured_seconds(known, stage, counts) / workers
    return StageForecast(stage.name, new, reused, seconds)


def _of_shards(known: Known, stage: Stage, changed: bool, workers: int) -> StageForecast:
    """A stage after one that changes has other shards: as many as before, and one where none were known."""
    jobs, missing = known.jobs.get(stage.name, []), known.missing(stage.name)
    if stage.optional:
        new = len(missing)
        return StageForecast(stage.name, new, len(jobs) - new, stage.cost.seconds * new / workers)
    new = max(1, len(jobs)) if changed else len(missing)
    return StageForecast(stage.name, new, 0 if changed else len(jobs) - new, stage.cost.seconds * new)


def _measured_seconds(known: Known, stage: Stage, counts: Mapping[str, int]) -> float:
    """Seconds a photograph as the stage's shards took them, else as declared."""
    done = known.manifests(stage.name)
    pictures = sum(counts[manifest.key] for manifest in done)
    if not pictures:
        return stage.cost.seconds
    return sum(manifest.seconds for manifest in done) / pictures


def forecast_requests(known: Known) -> RequestForecast | None:
    """What the build will ask a model; None where none is asked."""
    if known.config.annotate.vlm is None:
        return None
    from flows.engine import model_calls

    waiting = sum(len(job.content["files"]) for job in known.missing("ingest"))
    counts = photographs(known)
    missing = known.missing("annotate")
    return model_calls.forecast_requests(missing, counts, waiting, known.config, known.store)
