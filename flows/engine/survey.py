"""What a build consists of: every stage's jobs, which of them stand in the store, and how long the rest
will take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flows.dataset.report import Duplicate
from flows.sources import HashCache, ScanResult, scan
from flows.stages import (
    annotate,
    distort,
    external,
    ingest,
    keepout,
    merge,
    outline,
    pictures,
    publish,
    regions,
    ssa_files,
)
from flows.stages.job import EXTERNAL_STAGES, STAGES, Job
from schemas.config import BuildConfig
from schemas.dataset import KeptOut
from schemas.store import Manifest, Store

if TYPE_CHECKING:
    from flows.engine.model_calls import RequestForecast

TYPICAL_SECONDS = {"ingest": 0.03, "regions": 0.12, "distort": 0.9, "annotate": 0.15}
"""Seconds a photograph of 640 x 427 pixels takes on one core, where the store has no shard to learn from."""
SHARD_SECONDS = {"keepout": 5.0, "outline": 2.0, "external": 1.0, "pictures": 8.0}
"""Seconds a shard of other datasets takes on one core: 5,000 rows, 256 pictures, a file of 100,000 rows."""


@dataclass
class Survey:
    """A build as far as it can be foreseen: exact once all ingest shards stand, and to the end once merge
    does.
    """

    config: BuildConfig
    scanned: ScanResult
    jobs: dict[str, list[Job]] = field(default_factory=dict)
    found: dict[str, Manifest] = field(default_factory=dict)
    kept: ingest.Kept = field(default_factory=lambda: ingest.Kept({}, {}, {}))
    ssa: dict[str, ssa_files.SsaFile] = field(default_factory=dict)
    evaluation: list[keepout.Listed] = field(default_factory=list)
    inputs: merge.ExternalInputs = field(default_factory=merge.ExternalInputs)
    kept_out: list[KeptOut] = field(default_factory=list)

    def missing(self, stage: str) -> list[Job]:
        return [job for job in self.jobs.get(stage, []) if job.key not in self.found]

    def manifests(self, stage: str) -> list[Manifest]:
        return [self.found[job.key] for job in self.jobs.get(stage, []) if job.key in self.found]

    def pictures(self) -> dict[str, int]:
        """Photographs each job before merge deals with, by the job's key."""
        counts = {job.key: len(job.content["files"]) for job in self.jobs["ingest"]}
        counts |= {job.key: len(job.content["sources"]) for job in self.jobs["regions"]}
        counts |= {job.key: counts[job.content["regions"]] for job in self.jobs["distort"]}
        counts |= {job.key: counts[job.content["distort"]] for job in self.jobs["annotate"]}
        return counts


def scan_sources(config: BuildConfig, cache: HashCache | None, limit: int | None) -> ScanResult:
    """List and hash the photographs; with `limit` only the first so many in order of their hashes."""
    scanned = scan(config.images, config.ingest, cache)
    if limit is None:
        return scanned
    return ScanResult(scanned.refs[:limit], scanned.quarantined, scanned.duplicates, scanned.ignored)


def survey_ingest(
    scanned: ScanResult, config: BuildConfig, store: Store, cache: HashCache | None = None
) -> Survey:
    """The first stages' jobs and which of them stand; files that later stages read are found and hashed."""
    survey = Survey(config, scanned, evaluation=keepout.list_sets(config, cache))
    if config.regions.ssa_json is not None:
        survey.ssa = ssa_files.find(config.regions.ssa_json, scanned.refs, cache)
    _look_up(survey, "ingest", ingest.jobs(scanned.refs, config), store)
    _look_up(survey, "keepout", keepout.jobs(survey.evaluation), store)
    return survey


def survey_rows(survey: Survey, store: Store) -> None:
    """The jobs of regions to annotate for the pictures ingested so far; their keys follow from their inputs'
    keys. Our photographs that are evaluation pictures are left out before anything is made of them.
    """
    config = survey.config
    survey.kept = ingest.keep(survey.manifests("ingest"), config.ingest.near_duplicate_bits)
    survey.inputs.keep_out = [job.key for job in survey.jobs["keepout"] if job.key in survey.found]
    survey.inputs.hashes = [(one.name, *entry) for one in survey.evaluation for entry in one.hashes]
    _keep_out_photographs(survey, store)
    names = {ref.sha256[:16]: ref.coco_name for ref in survey.scanned.refs if ref.coco_name is not None}
    region_jobs = regions.jobs(survey.kept, config, names, survey.ssa)
    distort_jobs = distort.jobs(region_jobs, config)
    annotate_jobs = annotate.jobs(distort_jobs, config)
    _look_up(survey, "regions", region_jobs, store)
    _look_up(survey, "distort", distort_jobs, store)
    _look_up(survey, "annotate", annotate_jobs, store)


def survey_external(survey: Survey, store: Store, cache: HashCache | None) -> None:
    """The jobs of outline, external and pictures, as far as the shards they follow from stand."""
    config, inputs = survey.config, survey.inputs
    files = [(number, path) for number, one in enumerate(config.merge.external) for path in one.annotations]
    if "outline" not in survey.jobs:
        jobs = [outline.job(path, outline.file_hash(path, cache)) for _, path in files]
        _look_up(survey, "outline", jobs, store)
    if survey.missing("outline"):
        return
    if "external" not in survey.jobs:
        for job, (number, path) in zip(survey.jobs["outline"], files, strict=True):
            dataset = config.merge.external[number]
            made = external.jobs(survey.found[job.key], path, job.content["file"], dataset)
            inputs.rows += [(row, number) for row in made]
        unique = {job.key: job for job, _ in inputs.rows}
        _look_up(survey, "external", list(unique.values()), store)
    if survey.missing("external"):
        return
    if "pictures" not in survey.jobs:
        inputs.found = []
        for number, one in enumerate(config.merge.external):
            shards = {job.key for job, of in inputs.rows if of == number}
            names = {name for key in shards for name in survey.found[key].extra["pictures"]}
            inputs.found.append(pictures.find(one.images, names, config.ingest.max_bytes, cache))
        _look_up(survey, "pictures", pictures.jobs(inputs.found, config), store)


def survey_merge(survey: Survey, store: Store) -> None:
    """The job of merge, once the shards of other datasets stand."""
    if any(stage not in survey.jobs or survey.missing(stage) for stage in EXTERNAL_STAGES):
        return
    inputs = survey.inputs
    inputs.pictures = [job.key for job in survey.jobs["pictures"]]
    inputs.ingest = sorted(survey.kept.by_shard)
    _look_up(survey, "merge", [merge.job(survey.jobs["annotate"], survey.config, inputs)], store)


def judge_external(survey: Survey) -> None:
    """Raises BuildError, one line, when too many rows of an annotation file can't be used."""
    unique = {job.key: job for job, _ in survey.inputs.rows}
    found = external.tally(unique.values(), survey.found)
    external.judge(found.values(), survey.config.merge.max_bad_share)


def _keep_out_photographs(survey: Survey, store: Store) -> None:
    """Drop our photographs that are, or show, an evaluation picture."""
    survey.kept_out = []
    if not (survey.inputs.keep_out or survey.inputs.hashes):
        return
    bits = survey.config.merge.keep_out_bits
    lookup = keepout.KeepOut(survey.inputs.keep_out, survey.inputs.hashes, bits, store)
    gone: set[str] = set()
    for manifest in survey.manifests("ingest"):
        for entry in manifest.extra["sources"]:
            source = entry["source_image"]
            found = lookup.match(source["sha256"], "", entry["fingerprint"])
            if found is not None:
                gone.add(source["id"])
                survey.kept_out.append(
                    KeptOut(
                        source=annotate.SOURCE, uri=source["uri"], pixels="", picture=found[0], how=found[1]
                    )
                )
    left = {key: [n for n in names if n not in gone] for key, names in survey.kept.by_shard.items()}
    by_shard = {key: names for key, names in left.items() if names}
    survey.kept = ingest.Kept(by_shard, survey.kept.dropped, survey.kept.uris)


def survey_publish(survey: Survey, store: Store) -> None:
    """The jobs of publish, which the merge shard lists."""
    for manifest in survey.manifests("merge"):
        _look_up(survey, "publish", publish.jobs(manifest, survey.config), store)


def _look_up(survey: Survey, stage: str, jobs: list[Job], store: Store) -> None:
    survey.jobs[stage] = jobs
    for job in jobs:
        manifest = store.find(stage, job.key)
        if manifest is not None:
            survey.found[job.key] = manifest


def facts_of(survey: Survey, runner: str, workers: int) -> publish.BuildFacts:
    """What the report and the manifest tell of all shards, the scan and the near duplicates."""
    quarantine = list(survey.scanned.quarantined)
    quarantine += [entry for one in survey.evaluation for entry in one.quarantined]
    counts: dict[str, int] = {}
    for stage in survey.jobs:
        for manifest in survey.manifests(stage):
            quarantine.extend(manifest.quarantine)
            for name, count in manifest.counts.items():
                counts[name] = counts.get(name, 0) + count
    quarantine.sort(key=lambda entry: (entry.stage, entry.source, entry.sample_id or "", entry.error))
    duplicates = [Duplicate(entry.uri, entry.kept_uri, "exact") for entry in survey.scanned.duplicates]
    uris = survey.kept.uris
    duplicates += [Duplicate(uris[gone], uris[kept], "near") for gone, kept in survey.kept.dropped.items()]
    duplicates.sort(key=lambda entry: (entry.uri, entry.kept))
    inputs = len(survey.scanned.refs) + len(survey.scanned.duplicates) + len(survey.scanned.quarantined)
    kept_out = list(survey.kept_out)
    for manifest in survey.manifests("merge"):
        kept_out += [KeptOut.from_list(entry) for entry in manifest.extra.get("kept_out", [])]
    return publish.BuildFacts(
        survey.config,
        inputs,
        quarantine,
        duplicates,
        runner,
        workers,
        counts=dict(sorted(counts.items())),
        kept_out=kept_out,
    )


def finished_dataset(survey: Survey, out: Path) -> Path | None:
    """The dataset folder of this build when nothing is left to do."""
    if any(stage not in survey.jobs or survey.missing(stage) for stage in STAGES):
        return None
    facts = facts_of(survey, "", 0)
    key = publish.dataset_key(survey.jobs["publish"], facts)
    folder = publish.dataset_folder(out, survey.config.name, key)
    return folder if (folder / "manifest.json").is_file() else None


@dataclass(frozen=True)
class StageForecast:
    """One stage's shards to make and to reuse, and the seconds the first will take on all workers.

    `seconds` is None where a model answers and nobody has measured how fast.
    """

    stage: str
    new: int
    reused: int
    seconds: float | None


def forecast(survey: Survey, workers: int, requests: RequestForecast | None = None) -> list[StageForecast]:
    """Shards and seconds by stage; `requests` gives the time of annotate where a model answers.

    Pictures not ingested yet count as one shard of each later stage a run of files.
    """
    unknown = survey.missing("ingest")
    waiting = sum(len(job.content["files"]) for job in unknown)
    counts = survey.pictures()
    result = []
    for stage in ("ingest", "regions", "distort", "annotate"):
        missing = survey.missing(stage)
        pictures = sum(counts[job.key] for job in missing)
        new = len(missing)
        if stage != "ingest":
            pictures, new = pictures + waiting, new + len(unknown)
        seconds: float | None = pictures * _seconds_a_picture(survey, stage, counts) / workers
        if stage == "annotate" and requests is not None:
            seconds = requests.seconds
        result.append(StageForecast(stage, new, len(survey.jobs.get(stage, [])) - len(missing), seconds))
    for stage in EXTERNAL_STAGES:
        jobs = survey.jobs.get(stage, [])
        if jobs:
            new = len(survey.missing(stage))
            result.append(StageForecast(stage, new, len(jobs) - new, SHARD_SECONDS[stage] * new / workers))
    changed = any(entry.new for entry in result)
    merging = 1 if changed or survey.missing("merge") else 0
    result.append(StageForecast("merge", merging, 1 - merging, 0.5 * merging))
    publishing = survey.missing("publish")
    files = len(survey.jobs.get("publish", []))
    new = max(1, files) if merging else len(publishing)
    result.append(StageForecast("publish", new, 0 if merging else files - new, 2.0 * new))
    return sorted(result, key=lambda entry: STAGES.index(entry.stage))


def survey_requests(survey: Survey, store: Store) -> RequestForecast | None:
    """What the build will ask a model; None where none is asked."""
    if survey.config.annotate.vlm is None:
        return None
    from flows.engine.model_calls import forecast_requests

    waiting = sum(len(job.content["files"]) for job in survey.missing("ingest"))
    return forecast_requests(survey.missing("annotate"), survey.pictures(), waiting, survey.config, store)


def _seconds_a_picture(survey: Survey, stage: str, counts: Mapping[str, int]) -> float:
    done = survey.manifests(stage)
    pictures = sum(counts[manifest.key] for manifest in done)
    if not pictures:
        return TYPICAL_SECONDS[stage]
    return sum(manifest.seconds for manifest in done) / pictures
