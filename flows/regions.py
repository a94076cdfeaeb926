"""Stage regions: every picture's regions, from the proposer and labeller the configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.regions import propose
from annotation.regions.coco import candidates_of, load_coco
from flows.ingest import Kept
from flows.jobs import Job
from schemas.config import BuildConfig, RegionsConfig
from schemas.errors import InputError
from schemas.hashing import content_key
from schemas.pictures import load_png
from schemas.shards import Item, ShardWriter, read_items
from schemas.store import Store

VERSION = 1


def jobs(kept: Kept, config: BuildConfig, coco_names: Mapping[str, str]) -> list[Job]:
    """One job an ingest shard. `coco_names` gives the annotation file's name of each picture by source id.

    For COCO regions the key holds each picture's own annotations, so a change in one picture's rebuilds
    only its shard.
    """
    made = []
    for ingest_key, names in kept.by_shard.items():
        content: dict[str, Any] = {
            "version": VERSION,
            "regions": config.regions.model_dump(mode="json"),
            "ingest": ingest_key,
            "sources": names,
        }
        local: dict[str, Any] = {}
        if config.regions.proposer == "coco":
            if config.images.coco is None:
                raise InputError("regions.proposer 'coco' needs images.coco, the annotation file; add it")
            index = load_coco(config.images.coco)
            local = {name: index.annotations(coco_names[name]) for name in names}
            content["annotations"] = [content_key(local[name]) for name in names]
        made.append(Job("regions", content, local))
    return made


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """Propose, label and filter; counts say what each rule dropped."""
    config = RegionsConfig.model_validate(job.content["regions"])
    wanted = set(job.content["sources"])
    for item in read_items(store, "ingest", job.content["ingest"], pictures=True):
        if item.id not in wanted or item.picture is None:
            continue
        with out.guard(item.record["source_image"]["uri"]):
            image = load_png(item.picture)
            given = None
            if config.proposer == "coco":
                given = candidates_of(job.local[item.id], *image.shape[:2])
            result = propose(image, config, given)
            out.counts["regions"] += len(result.regions)
            for rule, number in result.dropped.items():
                out.counts[f"dropped: {rule}"] += number
            record = {
                "source_image": item.record["source_image"],
                "regions": [region.model_dump() for region in result.regions],
            }
            out.add(Item(item.id, record))
