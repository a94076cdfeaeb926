"""Stage pictures: the pictures that rows of other datasets name, found, hashed, decoded and stored once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from flows.jobs import Job, cut
from flows.sources import HashCache, SourceRef, read_source
from flows.sources.files import cached_hash, hash_file, locate, remember_hash, to_uri
from flows.sources.listing import real_folder
from schemas.config import BuildConfig, IngestConfig
from schemas.errors import SampleError
from schemas.pictures import decode, encode, fingerprint, pixel_hash
from schemas.shards import Item, ShardWriter
from schemas.store import Store

VERSION = 1
SHARD_PICTURES = 256
_THREADS = 4


@dataclass
class Found:
    """The pictures of one dataset: where each path's file lies, and why the others can't be used.

    `files` maps a path to (SHA-256, size, real path), `lost` to (reason, detail).
    """

    files: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    lost: dict[str, tuple[str, str]] = field(default_factory=dict)


def find(root: Path, names: Iterable[str], max_bytes: int, cache: HashCache | None) -> Found:
    """Locate and hash the files of `names` below `root`. Raises InputError when `root` can't be listed."""
    folder = real_folder(root)
    started = time.time_ns()
    found = Found()

    def attempt(name: str) -> tuple[str, int, str] | SampleError:
        try:
            to_uri(name)
            real = locate(folder, name)
            return (*hash_file(real, max_bytes), real)
        except SampleError as error:
            return error
        except (UnicodeEncodeError, ValueError) as error:
            return SampleError("bad-path", str(error))

    unknown = []
    for name in sorted(set(names)):
        known = _remembered(folder, name, max_bytes, cache) if cache is not None else None
        if known is not None:
            found.files[name] = known
        else:
            unknown.append(name)
    with ThreadPoolExecutor(_THREADS) as pool:
        for name, outcome in zip(unknown, pool.map(attempt, unknown), strict=True):
            if isinstance(outcome, SampleError):
                found.lost[name] = (outcome.reason, outcome.detail)
                continue
            found.files[name] = outcome
            if cache is not None:
                remember_hash(outcome[2], outcome[0], outcome[1], started, cache)
    return found


def _remembered(folder: str, name: str, max_bytes: int, cache: HashCache) -> tuple[str, int, str] | None:
    """What the cache knows of a file; None when it must be read, or can't be."""
    try:
        real = locate(folder, name)
        sha256 = cached_hash(real, max_bytes, cache)
    except (SampleError, ValueError):
        return None  # `attempt` says why
    return None if sha256 is None else (sha256, os.stat(real).st_size, real)  # noqa: PTH116


def jobs(found: Sequence[Found], config: BuildConfig) -> list[Job]:
    """One job a run of files, by their hashes: a file that several paths or datasets share is one."""
    files: dict[str, tuple[str, int, str]] = {}
    for dataset in found:
        for name, (sha256, size, real) in dataset.files.items():
            uri = to_uri(name)
            if sha256 not in files or uri < files[sha256][0]:
                files[sha256] = (uri, size, real)
    settings = config.ingest.model_dump(mode="json", exclude={"near_duplicate_bits", "license"})
    return [
        Job(
            "pictures",
            {
                "version": VERSION,
                "ingest": settings,
                "files": [[sha256, files[sha256][0]] for sha256 in run_of],
            },
            {"files": [[files[sha256][2], files[sha256][1]] for sha256 in run_of]},
        )
        for run_of in cut(list(files), SHARD_PICTURES)
    ]


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """Decode every file within the limits of ingest. `extra["lost"]` maps a hash to [reason, detail]."""
    limits = IngestConfig.model_validate(job.content["ingest"])
    lost: dict[str, tuple[str, str]] = {}
    for (sha256, uri), (path, size) in zip(job.content["files"], job.local["files"], strict=True):
        try:
            rgb = decode(read_source(SourceRef(Path(path), uri, sha256, size, None)), limits).rgb
        except SampleError as error:
            lost[sha256] = (error.reason, error.detail)
            continue
        data = encode(rgb)
        height, width = rgb.shape[:2]
        record = {
            "uri": uri,
            "width": width,
            "height": height,
            "pixels": pixel_hash(rgb),
            "fingerprint": fingerprint(rgb),
            "bytes": len(data),
        }
        out.add(Item(sha256, record, data))
    out.extra["lost"] = lost
    out.counts["pictures"] = out.rows
