"""Stage regions: every picture's regions, from the proposer and labeller the configuration names.

A shard's key holds what shapes regions: the settings, the names and revisions of models, the content of a
vocabulary and of annotations made elsewhere. It does not hold where files lie, nor on which device and in
batches of what size the models ran, so that a machine with a GPU makes shards that one without reuses.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

from annotation.regions import RegionResult, load, propose_all
from annotation.regions.coco import candidates_of, load_coco
from annotation.regions.interface import Candidate, Picture
from annotation.regions.models import place
from annotation.regions.noun_phrases import vocabulary_bytes
from annotation.regions.ssa_json import parse
from flows.sources import read_source
from flows.stages.failures import limited, stop
from flows.stages.gpu_slots import gpu_name, gpu_slot, slots_folder
from flows.stages.ingest import IngestedPicture, SourceValues
from flows.stages.job import Job
from flows.stages.known import Known
from flows.stages.ssa_files import SsaFile, find
from flows.stages.stage import Stage, a_photograph
from flows.stages.survivors import survivors
from schemas.config import BuildConfig, DeviceConfig, ModelConfig, RegionsConfig
from schemas.errors import InputError, SampleError, SpiderError
from schemas.hashing import content_key
from schemas.pictures import load_png
from schemas.sections import shaping
from schemas.shards import Item, ShardWriter, read_items
from schemas.store import Store

VERSION = 2
MODEL_PARTS = ("sam", "vote", "clip", "ssa")
"""The sections of the configuration that name models; a section is there when its model is in use."""


class Measured(TypedDict):
    """What was measured of the candidate that became a region."""

    label: str | None
    score: float
    facts: dict[str, float]
    proposals: list[str]


class RegionsRecord(TypedDict):
    """A record of this stage: the regions as their JSON, what was measured of each, what made them."""

    source_image: SourceValues
    regions: list[dict[str, Any]]
    made: list[Measured]
    made_by: Mapping[str, Any]


def jobs(known: Known) -> list[Job]:
    """One job an ingest shard that has pictures which go on."""
    names = {ref.sha256[:16]: ref.coco_name for ref in known.scanned.refs if ref.coco_name is not None}
    return jobs_after(survivors(known).by_shard, known.config, names, known.once(_ssa_files))


def _ssa_files(known: Known) -> dict[str, SsaFile]:
    folder = known.config.regions.ssa_json
    if folder is None:
        return {}
    with known.hashes() as cache:
        return find(folder, known.scanned.refs, cache)


def jobs_after(
    kept: Mapping[str, list[str]],
    config: BuildConfig,
    coco_names: Mapping[str, str],
    ssa: Mapping[str, SsaFile],
) -> list[Job]:
    """One job an ingest shard; `kept` lists its pictures' ids by its key. `coco_names` gives the annotation
    file's name of each picture by source id, `ssa` its file of SSA.

    The key holds each picture's own annotations, so a change in one picture's rebuilds only its shard.
    """
    shared: dict[str, Any] = {"version": VERSION, "regions": shaping(config.regions, "regions")}
    if config.regions.clip is not None:
        shared["vocabulary"] = _vocabulary_hash(config.regions.clip.vocabulary)
    made = []
    for ingest_key, names in kept.items():
        content = {**shared, "ingest": ingest_key, "sources": names}
        given: dict[str, Any] = {}
        if config.regions.proposer == "coco":
            if config.images.coco is None:
                raise InputError("regions.proposer 'coco' needs images.coco, the annotation file; add it")
            index = load_coco(config.images.coco)
            given = {name: index.annotations(coco_names[name]) for name in names}
            content["annotations"] = [content_key(given[name]) for name in names]
        elif config.regions.proposer == "ssa-json":
            given = {name: ssa[name] for name in names}
            content["annotations"] = [given[name].identity for name in names]
        made.append(
            Job("regions", content, {"regions": config.regions.model_dump(mode="json"), "given": given})
        )
    return made


def _vocabulary_hash(path: Path) -> str:
    return hashlib.sha256(vocabulary_bytes(path)).hexdigest()


@dataclass(frozen=True)
class _Waiting:
    """A picture of the batch to come."""

    item: Item[IngestedPicture]
    image: Picture
    given: list[Candidate] | None

    @property
    def uri(self) -> str:
        return self.item.record["source_image"]["uri"]


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """Propose, label and filter, a batch of pictures at a time; counts say what each rule dropped.

    A record holds the regions, `made`: what was measured of each, and `made_by`: what made them.
    """
    config = RegionsConfig.model_validate(job.local["regions"])
    if config.clip is not None and _vocabulary_hash(config.clip.vocabulary) != job.content["vocabulary"]:
        raise InputError(f"{config.clip.vocabulary}: changed while the build ran; build again")
    with _on_gpu(config):
        load(config)
    origin = made_by(config)
    for batch in _batches(job, config, store, out):
        for waiting, result in _results(batch, config, out):
            with out.guard(waiting.uri):
                _store(waiting.item, result, origin, out)


def _batches(job: Job, config: RegionsConfig, store: Store, out: ShardWriter) -> Iterator[list[_Waiting]]:
    """The shard's pictures; one that can't be read is quarantined here."""
    wanted = set(job.content["sources"])
    size = config.sam.images_per_batch if config.sam is not None else 1
    batch: list[_Waiting] = []
    items: Iterator[Item[IngestedPicture]] = read_items(store, "ingest", job.content["ingest"], pictures=True)
    for item in items:
        if item.id not in wanted or item.picture is None:
            continue
        with out.guard(item.record["source_image"]["uri"]):
            image = load_png(item.picture)
            given = _given(config, job.local["given"].get(item.id), image)
            batch.append(_Waiting(Item(item.id, item.record), image, given))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _given(config: RegionsConfig, told: Any, image: Picture) -> list[Candidate] | None:
    """A picture's candidates made elsewhere, None for a proposer of our own."""
    if config.proposer == "coco":
        return candidates_of(told, *image.shape[:2])
    if config.proposer == "ssa-json":
        if told.ref is None:
            raise SampleError(told.reason, told.detail)
        return parse(read_source(told.ref), *image.shape[:2])
    return None


def _results(
    batch: Sequence[_Waiting], config: RegionsConfig, out: ShardWriter
) -> Iterator[tuple[_Waiting, RegionResult]]:
    """Regions of a batch; when it fails its pictures are tried one at a time, and only those that fail alone
    are quarantined. What is wrong with the settings or a model passes: it is wrong for every picture.
    """
    if len(batch) > 1:
        try:
            results = _propose(batch, config)
        except SpiderError:
            raise
        except Exception:
            out.counts["batches tried again one by one"] += 1
        else:
            yield from zip(batch, results, strict=True)
            return
    for waiting in batch:
        results = []
        with out.guard(waiting.uri):
            results = _propose([waiting], config)
        for result in results:
            yield waiting, result


def _propose(batch: Sequence[_Waiting], config: RegionsConfig) -> list[RegionResult]:
    with _on_gpu(config):
        return propose_all([one.image for one in batch], config, [one.given for one in batch])


@contextmanager
def _on_gpu(config: RegionsConfig) -> Iterator[None]:
    """A place on the GPU when models run on one, shared with other builds on this machine."""
    run_on = _gpu(config)
    if run_on is None:
        yield
        return
    name = gpu_name(str(place(run_on).device), os.environ.get("CUDA_VISIBLE_DEVICES"))
    with gpu_slot(slots_folder(), name, run_on.tasks_per_gpu):
        yield


def most_workers(job: Job) -> int | None:
    """How many processes may make shards like this one, None for any number: models on a GPU stay there as
    long as their process lives, so that waiting for a place is not enough.
    """
    run_on = _gpu(RegionsConfig.model_validate(job.local["regions"]))
    return None if run_on is None else run_on.tasks_per_gpu


def _gpu(config: RegionsConfig) -> DeviceConfig | None:
    """Where the models run, None without models and on a CPU."""
    if config.run_on is None or not _models(config) or place(config.run_on).device.type == "cpu":
        return None
    return config.run_on


def _store(
    item: Item[IngestedPicture], result: RegionResult, origin: Mapping[str, Any], out: ShardWriter
) -> None:
    out.counts["regions"] += len(result.regions)
    for rule, number in result.dropped.items():
        out.counts[f"dropped: {rule}"] += number
    made: list[Measured] = [
        {
            "label": one.label,
            "score": one.score,
            "facts": dict(one.facts),
            "proposals": list(one.proposals),
        }
        for one in result.candidates
    ]
    record: RegionsRecord = {
        "source_image": item.record["source_image"],
        "regions": [region.model_dump() for region in result.regions],
        "made": made,
        "made_by": origin,
    }
    out.add(Item(item.id, record))


def made_by(config: RegionsConfig) -> dict[str, Any]:
    """The proposer, the labeller, their models and, with models, the versions of the libraries that ran
    them.
    """
    origin: dict[str, Any] = {"proposer": config.proposer, "labeller": config.labeller}
    models = _models(config)
    if models:
        origin["models"] = models
        origin["libraries"] = {name: version(name) for name in ("torch", "transformers")}
    return origin


def _models(config: RegionsConfig) -> dict[str, dict[str, str | None]]:
    """Name and revision of every model in use, by its setting ("sam.model", "ssa.votes.0")."""
    found = {}
    for part in MODEL_PARTS:
        section = getattr(config, part)
        for name, value in section or ():
            for number, model in enumerate(value) if isinstance(value, list) else [("", value)]:
                if isinstance(model, ModelConfig):
                    found[f"{part}.{name}.{number}".rstrip(".")] = model.model_dump()
    return found


def _judge(known: Known) -> None:
    if not known.jobs["regions"]:
        stop(known, "ingest", "no picture could be used")
    limited("regions")(known)


STAGE = Stage(
    "regions",
    after=("ingest", "keepout"),
    jobs=jobs,
    run=run,
    cost=a_photograph(0.12, lambda job, counts: len(job.content["sources"])),
    whole=False,
    most_workers=most_workers,
    judge=_judge,
)
