"""Stage regions: every picture's regions, from the proposer and labeller the configuration names.

A shard's key holds what shapes regions: the settings, the names and revisions of models, the content of a
vocabulary and of annotations made elsewhere. It does not hold where files lie, nor on which device and in
batches of what size the models ran, so that a machine with a GPU makes shards that one without reuses.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

from annotation.regions import RegionResult, load, propose_all
from annotation.regions.interface import Candidate, Picture, settings_of
from annotation.regions.noun_phrases import vocabulary_bytes
from annotation.regions.region_models import place
from flows.stages.failures import limited, stop
from flows.stages.given import GIVEN
from flows.stages.gpu_slots import gpu_name, gpu_slot, slots_folder
from flows.stages.ingest import IngestedPicture, SourceValues
from flows.stages.job import Job
from flows.stages.known import Known
from flows.stages.stage import Stage, a_photograph
from flows.stages.survivors import survivors
from schemas.config import BuildConfig
from schemas.errors import InputError, SpiderError
from schemas.pictures import load_png
from schemas.regions_config import DeviceConfig, RegionsConfig, models_in
from schemas.sections import shaping
from schemas.shards import Item, ShardWriter, read_items
from schemas.store import Store

VERSION = 2


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
    """One job an ingest shard that has pictures that remain."""
    return jobs_after(survivors(known).by_shard, known.config, known.once(_masks_elsewhere))


def _masks_elsewhere(known: Known) -> Callable[[str], Any] | None:
    source = _source(known.config.regions)
    if source is None:
        return None
    with known.hashes() as cache:
        find: Callable[..., Callable[[str], Any]] = source.find
        return find(known.config, known.scanned.refs, cache)


def _source(config: RegionsConfig) -> ModuleType | None:
    """The source of masks made elsewhere, if that is what the configuration names as its proposer."""
    return GIVEN.load(config.proposer) if config.proposer in GIVEN.names() else None


def jobs_after(
    kept: Mapping[str, list[str]], config: BuildConfig, given: Callable[[str], Any] | None
) -> list[Job]:
    """One job an ingest shard; `kept` lists its pictures' ids by its key, `given` gives what there is of a
    picture where masks were made elsewhere.

    The key holds each picture's own masks, so a change in one picture's rebuilds only its shard.
    """
    source = _source(config.regions)
    shared: dict[str, Any] = {"version": VERSION, "regions": shaping(config.regions, "regions")}
    if own := settings_of(config.regions):
        settings = {name: section.model_dump(mode="json") for name, section in own.items()}
        shared["regions"]["settings"] = settings
    if config.regions.clip is not None:
        shared["vocabulary"] = _vocabulary_hash(config.regions.clip.vocabulary)
    made = []
    for ingest_key, names in kept.items():
        content = {**shared, "ingest": ingest_key, "sources": names}
        found: dict[str, Any] = {}
        if source is not None and given is not None:
            found = {name: given(name) for name in names}
            content["annotations"] = [source.identity(found[name]) for name in names]
        made.append(
            Job("regions", content, {"regions": config.regions.model_dump(mode="json"), "given": found})
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
        load(config, given=_source(config) is not None)
    origin = origin_of(config)
    for batch in _batches(job, config, store, out):
        for waiting, result in _results(batch, config, out):
            with out.guard(waiting.uri):
                _store(waiting.item, result, origin, out)


def _batches(job: Job, config: RegionsConfig, store: Store, out: ShardWriter) -> Iterator[list[_Waiting]]:
    """The shard's pictures; one that can't be read is quarantined here."""
    wanted = set(job.content["sources"])
    source = _source(config)
    size = config.sam.images_per_batch if config.sam is not None else 1
    batch: list[_Waiting] = []
    items: Iterator[Item[IngestedPicture]] = read_items(store, "ingest", job.content["ingest"], pictures=True)
    for item in items:
        if item.id not in wanted or item.picture is None:
            continue
        with out.guard(item.record["source_image"]["uri"]):
            image = load_png(item.picture)
            given = None if source is None else source.read(job.local["given"][item.id], *image.shape[:2])
            batch.append(_Waiting(Item(item.id, item.record), image, given))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


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


def origin_of(config: RegionsConfig) -> dict[str, Any]:
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
    found = models_in(config)
    for name, settings in settings_of(config).items():
        found |= models_in(settings, f"settings.{name}")
    return {setting: model.model_dump() for setting, model in found.items()}


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
