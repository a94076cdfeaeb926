"""Stage pictures: the pictures that rows of other datasets name, found, hashed, decoded and stored once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from flows.sources import HashCache, SourceRef, read_source
from flows.sources.files import hash_files, locate, to_uri
from flows.sources.listing import real_folder
from flows.stages.external import listed
from flows.stages.job import Job, cut
from flows.stages.known import Known
from flows.stages.stage import Stage, a_shard
from schemas.config import IngestConfig
from schemas.errors import SampleError
from schemas.pictures import decode, encode, fingerprint, pixel_hash
from schemas.sections import shaping
from schemas.shards import Item, ShardWriter
from schemas.store import Store

VERSION = 1
SHARD_PICTURES = 256


class StoredPicture(TypedDict):
    """A record of this stage, by the hash of the file; its item's picture is a PNG of `bytes` bytes."""

    uri: str
    width: int
    height: int
    pixels: str
    fingerprint: str
    bytes: int


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
    found = Found()
    reals: dict[str, str] = {}
    for name in sorted(set(names)):
        try:
            to_uri(name)
            reals[name] = locate(folder, name)
        except SampleError as error:
            found.lost[name] = (error.reason, error.detail)
        except ValueError as error:
            found.lost[name] = ("bad-path", str(error))
    outcomes = hash_files(list(reals.values()), max_bytes, cache)
    for (name, real), outcome in zip(reals.items(), outcomes, strict=True):
        if isinstance(outcome, SampleError):
            found.lost[name] = (outcome.reason, outcome.detail)
        else:
            found.files[name] = (*outcome, real)
    return found


def located(known: Known) -> list[Found]:
    """The pictures that each dataset's rows name, in the configuration's order of the datasets."""
    return known.once(_located, "external")


def _located(known: Known) -> list[Found]:
    config = known.config
    found = []
    with known.hashes() as cache:
        for number, dataset in enumerate(config.merge.external):
            shards = {job.key for job, of in listed(known) if of == number}
            names = {name for key in shards for name in known.found[key].extra["pictures"]}
            found.append(find(dataset.images, names, config.ingest.max_bytes, cache))
    return found


def jobs(known: Known) -> list[Job]:
    """One job a run of files, by their hashes: a file that several paths or datasets share is one."""
    found, config = located(known), known.config
    files: dict[str, tuple[str, int, str]] = {}
    for dataset in found:
        for name, (sha256, size, real) in dataset.files.items():
            uri = to_uri(name)
            if sha256 not in files or uri < files[sha256][0]:
                files[sha256] = (uri, size, real)
    settings = shaping(config.ingest, "pictures")
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
        record: StoredPicture = {
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


STAGE = Stage("pictures", after=("external",), jobs=jobs, run=run, cost=a_shard(8.0), optional=True)
