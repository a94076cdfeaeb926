"""What a build consists of: each stage's jobs, which of them have shards, and the facts of its dataset."""

from __future__ import annotations

from pathlib import Path

from flows.dataset import folder
from flows.dataset.report import Duplicate
from flows.sources import ScanResult, scan
from flows.stages.keepout import evaluation_sets
from flows.stages.known import Known, file_hashes
from flows.stages.stage import extend
from flows.stages.survivors import survivors
from flows.stages.table import STAGES, stage_of
from schemas.config import BuildConfig
from schemas.dataset import KeptOut
from schemas.store import Store


def start(config: BuildConfig, store: Store, limit: int | None = None, remember: bool = False) -> Known:
    """A build of which only the photographs are known: listed and hashed, with `limit` only the first so
    many in order of their hashes. `remember` keeps hashes of files in the store, which must exist then.
    """
    with file_hashes(store, remember) as hashes:
        scanned = scan(config.images, config.ingest, hashes)
    if limit is not None:
        scanned = ScanResult(scanned.refs[:limit], scanned.quarantined, scanned.duplicates, scanned.ignored)
    return Known(config, scanned, store, remember)


def look_ahead(known: Known, partial: bool = False, stages: tuple[str, ...] = STAGES) -> None:
    """Find the jobs of `stages` as far as they can be foreseen: all of them once everything was built."""
    for name in stages:
        extend(known, stage_of(name), partial)


def photographs(known: Known) -> dict[str, int]:
    """Photographs that each job deals with, by the job's key, of all stages that deal with photographs."""
    counts: dict[str, int] = {}
    for name in STAGES:
        of = stage_of(name).cost.photographs
        if of is not None:
            counts |= {job.key: of(job, counts) for job in known.jobs.get(name, [])}
    return counts


def facts_of(known: Known, runner: str, workers: int) -> folder.BuildFacts:
    """What the report and the manifest say about all shards, the scan and the near duplicates."""
    quarantine = list(known.scanned.quarantined)
    quarantine += [entry for one in evaluation_sets(known) for entry in one.quarantined]
    counts: dict[str, int] = {}
    for stage in known.jobs:
        for manifest in known.manifests(stage):
            quarantine.extend(manifest.quarantine)
            for name, count in manifest.counts.items():
                counts[name] = counts.get(name, 0) + count
    quarantine.sort(key=lambda entry: (entry.stage, entry.source, entry.sample_id or "", entry.error))
    kept = survivors(known)
    duplicates = [Duplicate(entry.uri, entry.kept_uri, "exact") for entry in known.scanned.duplicates]
    duplicates += [Duplicate(kept.uris[gone], kept.uris[by], "near") for gone, by in kept.dropped.items()]
    duplicates.sort(key=lambda entry: (entry.uri, entry.kept))
    inputs = len(known.scanned.refs) + len(known.scanned.duplicates) + len(known.scanned.quarantined)
    kept_out = list(kept.kept_out)
    for manifest in known.manifests("merge"):
        kept_out += [KeptOut.from_list(entry) for entry in manifest.extra.get("kept_out", [])]
    return folder.BuildFacts(
        known.config,
        inputs,
        quarantine,
        duplicates,
        runner,
        workers,
        counts=dict(sorted(counts.items())),
        kept_out=kept_out,
    )


def finished_dataset(known: Known, out: Path) -> Path | None:
    """The dataset folder of this build when nothing is left to do."""
    if not all(known.complete(stage) for stage in STAGES):
        return None
    key = folder.dataset_key(known.jobs["publish"], facts_of(known, "", 0))
    place = folder.dataset_folder(out, known.config.name, key)
    return place if (place / "manifest.json").is_file() else None
