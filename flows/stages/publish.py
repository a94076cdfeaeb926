"""Stage publish: rows with their pictures in the Parquet files of a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

from flows.stages.external import ExternalRecord
from flows.stages.job import Job
from flows.stages.known import Known
from flows.stages.merge import files_of, shard_rows
from flows.stages.merging.candidates import RowRef
from flows.stages.merging.publishing import external_row
from flows.stages.stage import Stage, a_shard
from schemas.arrow import row_digest
from schemas.config import config_hash
from schemas.errors import BuildError
from schemas.records import Row
from schemas.sections import shaping
from schemas.shards import RowShardWriter, new_row_shard, read_items, read_picture
from schemas.store import Store

VERSION = 3


def jobs(known: Known) -> list[Job]:
    """One job a Parquet file; its key holds the rows it lists, so other files' rows don't touch it."""
    (merge,), config = known.manifests("merge"), known.config
    hashed = config_hash(config)
    return [
        Job(
            "publish",
            {
                "version": VERSION,
                "publish": shaping(config.publish, "publish"),
                "rows": shard["digest"],
                "split": shard["split"],
                "config_hash": hashed,
            },
            {"merge": merge.key, "name": shard["name"]},
        )
        for shard in files_of(merge)
    ]


def shard(job: Job, store: Store) -> AbstractContextManager[RowShardWriter]:
    """The writer of one Parquet file, visible once its block has ended without an error."""
    bounds = job.content["publish"]
    return new_row_shard(store, "publish", job.key, bounds["rows_per_group"], bounds["group_bytes"])


def run(job: Job, store: Store, out: RowShardWriter) -> None:
    """Write the file's rows; `extra["digests"]` holds each row's digest."""
    refs = shard_rows(store, job.local["merge"], job.local["name"])
    digests: dict[str, str] = {}
    for row, pictures, hashes in _rows(store, refs, job):
        out.add(row, pictures)
        digests[row.id] = row_digest(row, hashes)
    out.extra["digests"] = digests


def _rows(store: Store, refs: Sequence[RowRef], job: Job) -> Iterator[tuple[Row, list[bytes], list[str]]]:
    """The rows in order with their pictures and the hashes of their pixels, completed by what only publishing
    knows: split and configuration.
    """
    wanted: dict[tuple[str, str], set[str]] = {}
    for ref in refs:
        wanted.setdefault((ref.stage, ref.key), set()).add(ref.item)
    records: dict[tuple[str, str, str], dict[str, Any]] = {}
    for (stage, key), ids in wanted.items():
        records.update(
            ((stage, key, item.id), item.record) for item in read_items(store, stage, key, only=ids)
        )
    for ref in refs:
        record = records.pop((ref.stage, ref.key, ref.item))
        if ref.stage == "external":
            yield external_row(store, ref, cast(ExternalRecord, record), job.content["split"])
            continue
        values = {**record["row"], "split": job.content["split"]}
        values["license"] = values["source_image"]["license"]
        values["provenance"] = {**values["provenance"], "config_hash": job.content["config_hash"]}
        (place,) = ref.pictures
        yield Row.model_validate(values), [read_picture(store, *place)], [record["picture_sha256"]]


def _judge(known: Known) -> None:
    if not known.jobs["publish"]:
        raise BuildError(
            "no row was made: no photograph gave a sample; see the counts with `plan`, add photographs"
        )


STAGE = Stage("publish", after=("merge",), jobs=jobs, run=run, cost=a_shard(2.0), shard=shard, judge=_judge)
