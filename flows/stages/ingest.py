"""Stage ingest: files to upright 8-bit RGB pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, cast

from flows.sources import SourceRef, read_source
from flows.stages.failures import limited
from flows.stages.job import Job, cut
from flows.stages.known import Known
from flows.stages.stage import Stage, a_photograph
from schemas.config import IngestConfig
from schemas.pictures import decode, encode, fingerprint
from schemas.records import SourceImage
from schemas.sections import shaping
from schemas.shards import Item, ShardWriter
from schemas.store import Manifest, Store

VERSION = 1


class SourceValues(TypedDict):
    """A `schemas.records.SourceImage` as its JSON."""

    id: str
    sha256: str
    uri: str
    license: str | None
    width: int
    height: int


class IngestedPicture(TypedDict):
    """A record of this stage; its item's picture is the PNG of the pixels."""

    source_image: SourceValues


class IngestedSource(IngestedPicture):
    """What the manifest lists of each picture: its perceptual fingerprint besides."""

    fingerprint: str


def jobs(known: Known) -> list[Job]:
    """One job a run of files; the files' places are local, their content, names and licenses are not."""
    config = known.config
    by_hash = {ref.sha256: ref for ref in known.scanned.refs}
    settings = shaping(config.ingest, "ingest")
    made = []
    for run_of in cut(list(by_hash), config.run.shard_size):
        files = [by_hash[name] for name in run_of]
        content = {
            "version": VERSION,
            "ingest": settings,
            "files": [[ref.sha256, ref.uri, ref.license] for ref in files],
        }
        local = {"files": [[str(ref.path), ref.size, ref.coco_name] for ref in files]}
        made.append(Job("ingest", content, local))
    return made


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """Decode every file of the shard; `extra["sources"]` lists the pictures with their fingerprints."""
    limits = IngestConfig.model_validate(job.content["ingest"])
    sources: list[IngestedSource] = []
    for (sha256, uri, license), (path, size, coco_name) in zip(
        job.content["files"], job.local["files"], strict=True
    ):
        with out.guard(uri):
            ref = SourceRef(Path(path), uri, sha256, size, license, coco_name)
            picture = decode(read_source(ref), limits)
            height, width = picture.rgb.shape[:2]
            source = SourceImage(
                id=sha256[:16], sha256=sha256, uri=uri, license=license, width=width, height=height
            )
            values = cast(SourceValues, source.model_dump())
            out.add(Item(source.id, IngestedPicture(source_image=values), encode(picture.rgb)))
            sources.append(IngestedSource(source_image=values, fingerprint=fingerprint(picture.rgb)))
            out.counts["pictures"] += 1
            for note in picture.notes:
                out.counts[f"note: {note}"] += 1
    out.extra["sources"] = sources


def ingested(manifest: Manifest) -> list[IngestedSource]:
    """The pictures of a finished shard."""
    sources: list[IngestedSource] = manifest.extra["sources"]
    return sources


STAGE = Stage(
    "ingest",
    after=(),
    jobs=jobs,
    run=run,
    cost=a_photograph(0.03, lambda job, counts: len(job.content["files"])),
    judge=limited("ingest"),
)
