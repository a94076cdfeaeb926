"""Stage merge: all rows of all sources in one order, with their splits, cut into the shards to publish."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from flows.jobs import Job
from schemas.config import BuildConfig, MergeConfig
from schemas.hashing import canonical_json, content_key
from schemas.records import SPLITS, Split
from schemas.shards import Item, ShardWriter, read_items
from schemas.store import Store

VERSION = 2


class RowRef(NamedTuple):
    """Where a row to publish lies: its annotate shard, and row number `place` of a distort shard for its
    picture.
    """

    row_id: str
    annotate_key: str
    distort_key: str
    sample_id: str
    place: int
    bytes: int


def job(annotate: Sequence[Job], config: BuildConfig) -> Job:
    """The one job of this stage."""
    publish = config.publish.model_dump(mode="json", include={"shard_bytes", "min_shards"})
    return Job(
        "merge",
        {
            "version": VERSION,
            "merge": config.merge.model_dump(mode="json"),
            "publish": publish,
            "seed": config.seed,
            "annotate": [[job.key, job.content["distort"]] for job in annotate],
        },
    )


def split_of(source_sha256: str, config: MergeConfig) -> Split:
    """The split of a source picture: a hash of its own, so that it never moves when other pictures come or
    go.
    """
    draw = int.from_bytes(hashlib.sha256(f"{config.salt}:{source_sha256}".encode()).digest()[:8], "big")
    return "test" if draw < config.test_share * 2**64 else "train"


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """Shuffle pictures, split by source photograph, cut by bytes; `extra["shards"]` lists what to publish.

    The rows of a picture follow one another, so that a row group stores it once; publishing shuffles each row
    group's rows.
    """
    config = MergeConfig.model_validate(job.content["merge"])
    bounds = job.content["publish"]
    by_split: dict[Split, list[RowRef]] = {split: [] for split in SPLITS}
    for annotate_key, distort_key in job.content["annotate"]:
        for item in read_items(store, "annotate", annotate_key):
            row, record = item.record["row"], item.record
            split = split_of(row["source_image"]["sha256"], config)
            by_split[split].append(
                RowRef(
                    item.id,
                    annotate_key,
                    distort_key,
                    record["sample_id"],
                    record["place"],
                    record["picture_bytes"],
                )
            )
    shards: list[dict[str, Any]] = []
    for split, rows in by_split.items():
        rows.sort(key=lambda ref: (content_key(job.content["seed"], "shuffle", ref.sample_id), ref.row_id))
        out.counts[f"rows: {split}"] = len(rows)
        runs = list(_runs(rows, bounds["shard_bytes"], bounds["min_shards"]))
        for number, run_of in enumerate(runs):
            name = f"{split}-{number:05d}-of-{len(runs):05d}"
            listed = [list(ref) for ref in run_of]
            shards.append({"name": name, "split": split, "rows": len(listed), "digest": content_key(listed)})
            out.add(Item(name, {"split": split, "rows": listed}))
    out.extra["shards"] = shards


def _runs(rows: Sequence[RowRef], shard_bytes: int, min_shards: int) -> Iterator[list[RowRef]]:
    """Equal runs of rows: as few as stay below `shard_bytes` on average, at least `min_shards` where rows
    suffice; more than four are a multiple of eight, which common numbers of ranks divide.
    """
    if not rows:
        return
    total = sum({ref.sample_id: ref.bytes for ref in rows}.values())
    count = max(min_shards, -(-total // shard_bytes))
    count = min(len(rows), next((few for few in (1, 2, 4) if few >= count), -(-count // 8) * 8))
    for number in range(count):
        start, end = len(rows) * number // count, len(rows) * (number + 1) // count
        yield list(rows[start:end])


def shard_rows(store: Store, merge_key: str, name: str) -> list[RowRef]:
    """The rows of one shard to publish, in order."""
    for item in read_items(store, "merge", merge_key):
        if item.id == name:
            return [RowRef(*ref) for ref in item.record["rows"]]
    raise KeyError(f"merge {merge_key} has no shard {name}")


def config_hash(config: BuildConfig) -> str:
    """Hash of what shapes a dataset's content: places, runners and file sizes don't."""
    shaping = config.model_dump(mode="json", exclude={"name", "images", "out", "store", "run", "publish"})
    shaping["annotate"].pop("wording")
    return hashlib.sha256(canonical_json(shaping).encode()).hexdigest()[:16]
