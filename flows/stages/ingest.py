"""Stage ingest: files to upright 8-bit RGB pictures, then near duplicates out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.sources import SourceRef, read_source
from flows.stages.job import Job, cut
from schemas.config import BuildConfig, IngestConfig
from schemas.pictures import decode, encode, fingerprint, near_duplicates
from schemas.records import SourceImage
from schemas.shards import Item, ShardWriter
from schemas.store import Manifest, Store

VERSION = 1


def jobs(refs: Sequence[SourceRef], config: BuildConfig) -> list[Job]:
    """One job a run of files; the files' places are local, their content, names and licences are not."""
    by_hash = {ref.sha256: ref for ref in refs}
    settings = config.ingest.model_dump(mode="json", exclude={"near_duplicate_bits", "license"})
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
    sources = []
    for (sha256, uri, licence), (path, size, coco_name) in zip(
        job.content["files"], job.local["files"], strict=True
    ):
        with out.guard(uri):
            ref = SourceRef(Path(path), uri, sha256, size, licence, coco_name)
            picture = decode(read_source(ref), limits)
            height, width = picture.rgb.shape[:2]
            source = SourceImage(
                id=sha256[:16], sha256=sha256, uri=uri, license=licence, width=width, height=height
            )
            out.add(Item(source.id, {"source_image": source.model_dump()}, encode(picture.rgb)))
            sources.append({"source_image": source.model_dump(), "fingerprint": fingerprint(picture.rgb)})
            out.counts["pictures"] += 1
            for note in picture.notes:
                out.counts[f"note: {note}"] += 1
    out.extra["sources"] = sources


@dataclass(frozen=True)
class Kept:
    """The pictures that go on: `by_shard` lists their ids for each ingest key, `dropped` maps near
    duplicates to
    the picture that stays, `uris` names every ingested picture."""

    by_shard: dict[str, list[str]]
    dropped: dict[str, str]
    uris: dict[str, str]


def keep(manifests: Sequence[Manifest], near_duplicate_bits: int) -> Kept:
    """Drop near duplicates over all ingest shards; the smallest id stays."""
    prints: list[tuple[str, str]] = []
    uris: dict[str, str] = {}
    by_shard: dict[str, list[str]] = {}
    for manifest in manifests:
        for entry in manifest.extra["sources"]:
            name = entry["source_image"]["id"]
            prints.append((name, entry["fingerprint"]))
            uris[name] = entry["source_image"]["uri"]
            by_shard.setdefault(manifest.key, []).append(name)
    dropped = near_duplicates(prints, near_duplicate_bits)
    kept = {key: [name for name in names if name not in dropped] for key, names in by_shard.items()}
    return Kept({key: names for key, names in kept.items() if names}, dropped, uris)
