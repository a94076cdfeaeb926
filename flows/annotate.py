"""Stage annotate: questions and answers about each sample, every claim checked against the injected truth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotation.qa import BackendSettings, annotate_sample, create
from flows.jobs import Job
from schemas import __version__
from schemas.config import AnnotateConfig, BuildConfig
from schemas.pictures import load_png
from schemas.records import Sample
from schemas.shards import Item, ShardWriter, read_items, read_picture
from schemas.store import Store

VERSION = 1
SOURCE = "iqa-spider"


def jobs(distort: Sequence[Job], config: BuildConfig) -> list[Job]:
    """One job a distort shard; the key holds the hash of the wording, wherever its file lies."""
    wording = config.annotate.wording
    identity = create(config.annotate.backend, BackendSettings(wording=wording)).identity
    return [
        Job(
            "annotate",
            {
                "version": VERSION,
                "code": __version__,
                "annotate": config.annotate.model_dump(mode="json", exclude={"wording"}),
                "prompt_version": identity.prompt_version,
                "seed": config.seed,
                "distort": job.key,
            },
            {"wording": str(wording.resolve()) if wording else None},
        )
        for job in distort
    ]


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """Write each sample's rows; no two answers about one photograph are the same."""
    config = AnnotateConfig.model_validate(job.content["annotate"])
    wording = job.local["wording"]
    backend = create(config.backend, BackendSettings(wording=Path(wording) if wording else None))
    distort_key, seed = job.content["distort"], job.content["seed"]
    used: dict[str, set[str]] = {}
    for place, item in enumerate(read_items(store, "distort", distort_key)):
        sample = Sample.model_validate(item.record["sample"])
        source = sample.source_image
        with out.guard(source.uri, sample.sample_id):
            picture = None
            if backend.needs_picture:
                picture = partial(_load, store, distort_key, place, item.id)
            written, lost = annotate_sample(
                sample, backend, config.attempts, seed, used.setdefault(source.id, set()), picture
            )
            out.quarantined.extend(lost)
            for row in written:
                identity = row.identity
                record = {
                    "id": row.draft.row_id,
                    "source": SOURCE,
                    "task": row.draft.task,
                    "messages": [message.model_dump() for message in row.messages],
                    "regions": [region.model_dump() for region in sample.regions],
                    "target_region_ids": list(row.draft.target_region_ids),
                    "whole_image": row.draft.whole_image,
                    "order_effect": sample.order_effect,
                    "source_image": source.model_dump(),
                    "provenance": {
                        "generator": identity.generator,
                        "model": identity.model,
                        "revision": identity.revision,
                        "prompt_version": identity.prompt_version,
                        "attempt": row.attempt,
                        "code_version": __version__,
                        "seed": seed,
                    },
                }
                stored = {
                    "row": record,
                    "sample_id": sample.sample_id,
                    "place": place,
                    "picture_sha256": item.record["picture_sha256"],
                    "picture_bytes": item.record["picture_bytes"],
                }
                out.counts[f"rows: {row.draft.task}"] += 1
                out.counts[f"attempts: {row.attempt}"] += 1
                out.add(Item(row.draft.row_id, stored))


def _load(store: Store, distort_key: str, place: int, sample_id: str) -> NDArray[np.uint8]:
    return load_png(read_picture(store, "distort", distort_key, place, sample_id))
