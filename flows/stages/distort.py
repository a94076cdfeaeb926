"""Stage distort: samples planned on each picture, distortions injected through masks, strengths measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

from distortions import catalog, catalog_digest
from distortions.plans import PlannedSample, PlanSkip, plan_samples, rules_digest
from flows.stages.failures import limited
from flows.stages.ingest import IngestedPicture
from flows.stages.job import Job
from flows.stages.known import Known
from flows.stages.regions import RegionsRecord
from flows.stages.stage import Stage, a_photograph
from schemas.config import DistortConfig
from schemas.masks import PositionGrid
from schemas.pictures import encode, load_png, pixel_hash
from schemas.records import Quarantined, Region, SourceImage
from schemas.sections import shaping
from schemas.shards import Item, ShardWriter, read_items
from schemas.store import Store

VERSION = 1


class DistortedSample(TypedDict):
    """A record of this stage: the sample and its recipe as their JSON, and the picture's pixels and size."""

    sample: dict[str, Any]
    recipe: dict[str, Any]
    picture_sha256: str
    picture_bytes: int


def jobs(known: Known) -> list[Job]:
    """One job a regions job; the key holds the level tables of the distortions that may be drawn."""
    config = known.config
    names = config.distort.names or [entry.name for entry in catalog()]
    digest, rules = catalog_digest(names), rules_digest()
    return [
        Job(
            "distort",
            {
                "version": VERSION,
                "distort": shaping(config.distort, "distort"),
                "catalogue": digest,
                "rules": rules,
                "seed": config.seed,
                "grid": config.regions.position_grid,
                "ingest": job.content["ingest"],
                "regions": job.key,
            },
        )
        for job in known.jobs["regions"]
    ]


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """Plan every picture's samples; a plan a picture can't give is counted as a skip, not a failure."""
    config = DistortConfig.model_validate(job.content["distort"])
    grid: PositionGrid = job.content["grid"]
    stored: Iterator[Item[RegionsRecord]] = read_items(store, "regions", job.content["regions"])
    regions = {item.id: item.record["regions"] for item in stored}
    items: Iterator[Item[IngestedPicture]] = read_items(store, "ingest", job.content["ingest"], pictures=True)
    for item in items:
        if item.id not in regions or item.picture is None:
            continue
        source = SourceImage.model_validate(item.record["source_image"])
        with out.guard(source.uri):
            image = load_png(item.picture)
            parsed = [Region.model_validate(region) for region in regions[item.id]]
            for outcome in plan_samples(image, parsed, source, config, job.content["seed"], grid):
                _store(outcome, out)


def _store(outcome: PlannedSample | PlanSkip | Quarantined, out: ShardWriter) -> None:
    if isinstance(outcome, Quarantined):
        out.quarantine(outcome.source, outcome.reason, outcome.error, outcome.sample_id)
        return
    if isinstance(outcome, PlanSkip):
        out.counts[f"skipped: {outcome.kind}: {outcome.reason}"] += 1
        return
    data = encode(outcome.picture)
    record: DistortedSample = {
        "sample": outcome.sample.model_dump(),
        "recipe": outcome.recipe,
        "picture_sha256": pixel_hash(outcome.picture),
        "picture_bytes": len(data),
    }
    out.counts[f"samples: {outcome.sample.kind}"] += 1
    out.add(Item(outcome.sample.sample_id, record, data))


STAGE = Stage(
    "distort",
    after=("regions",),
    jobs=jobs,
    run=run,
    cost=a_photograph(0.9, lambda job, counts: counts[job.content["regions"]]),
    whole=False,
    judge=limited("distort"),
)
