"""Stage annotate: questions and answers about each sample, every claim checked against the injected truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from annotation.in_order import in_order
from annotation.plugin_kinds import BACKENDS
from annotation.qa import (
    Backend,
    BackendSettings,
    RowWriter,
    Written,
    annotate_sample,
    answers,
    create,
    drafts,
)
from flows.stages.distort import DistortedSample
from flows.stages.failures import limited
from flows.stages.job import Job
from flows.stages.known import Known
from flows.stages.stage import Stage, a_photograph
from flows.workers import default_workers, workers_of
from schemas import __version__
from schemas.config import AnnotateConfig, BuildConfig
from schemas.errors import InputError
from schemas.pictures import load_png
from schemas.records import OWN_SOURCE, Quarantined, Sample
from schemas.sections import absolute, shaping
from schemas.shards import Item, ShardWriter, read_items, read_picture
from schemas.store import Store

VERSION = 1
_THREADS_A_REQUEST = 2
"""Threads for each request in flight: rows about one sample wait for the turns they share."""
_WINDOW = 2
"""Rows begun and not yet stored, for each thread: one slow row doesn't hold up the others."""


class AnnotatedRow(TypedDict):
    """A record of this stage: a row as far as it is known before it is published, and its sample's place.

    `row` lacks of `schemas.records.Row` what merging and publishing decide: split, license, config_hash.
    """

    row: dict[str, Any]
    sample_id: str
    place: int
    picture_sha256: str
    picture_bytes: int


def jobs(known: Known) -> list[Job]:
    """One job a distort shard."""
    return jobs_after(known.jobs["distort"], known.config)


def jobs_after(distort: Sequence[Job], config: BuildConfig) -> list[Job]:
    """One job a distort job; the key holds the hash of the wording or prompts, wherever their files lie."""
    _check_workers(config)
    identity = create(config.annotate.backend, _settings(config.annotate)).identity
    local = {
        "annotate": absolute(config.annotate, Path.cwd()).model_dump(mode="json"),
        "in_flight": _share(config, len(distort)),
    }
    return [
        Job(
            "annotate",
            {
                "version": VERSION,
                "code": __version__,
                "annotate": shaping(config.annotate, "annotate"),
                "prompt_version": identity.prompt_version,
                "seed": config.seed,
                "distort": job.key,
            },
            local,
        )
        for job in distort
    ]


def _settings(config: AnnotateConfig, store: Path | None = None, in_flight: int = 1) -> BackendSettings:
    own = config.settings.get(config.backend, {})
    return BackendSettings(config.wording, config.vlm, store, in_flight, own)


def _check_workers(config: BuildConfig) -> None:
    """A model in this process is loaded once a process."""
    run = config.run
    several = run.runner == "process" and (run.workers or default_workers()) > 1
    backend = config.annotate.backend
    if several and getattr(BACKENDS.load(backend), "LOADS_MODEL", False):
        raise InputError(
            f"the back end {backend!r} would load its model in every worker process; set run.runner to "
            "'thread' or run.workers to 1, or use the back end 'server', which all workers share"
        )


def _share(config: BuildConfig, shards: int) -> int:
    """How many requests one shard may have in flight, so that all workers keep to the build's bound."""
    if config.annotate.vlm is None:
        return 1
    return max(1, config.annotate.vlm.in_flight // max(1, min(workers_of(config.run), shards)))


@dataclass(frozen=True)
class _Source:
    """A sample of the distort shard, and its place there."""

    place: int
    item: Item[DistortedSample]
    sample: Sample


def run(job: Job, store: Store, out: ShardWriter) -> None:
    """Write each sample's rows; no two answers about one photograph are the same."""
    config = AnnotateConfig.model_validate(job.local["annotate"])
    in_flight: int = job.local["in_flight"]
    backend = create(config.backend, _settings(config, store.root, in_flight))
    with closing(backend):
        shard = _Shard(job, store, out, backend, config.attempts)
        if backend.needs_picture:
            shard.write_many(in_flight)
        else:
            shard.write_one_by_one()


class _Shard:
    """One shard under way. `used` holds the answers given about each photograph."""

    def __init__(self, job: Job, store: Store, out: ShardWriter, backend: Backend, attempts: int) -> None:
        self._distort_key, self._seed = job.content["distort"], job.content["seed"]
        self._store, self._out, self._backend, self._attempts = store, out, backend, attempts
        self._used: dict[str, set[str]] = {}

    def write_one_by_one(self) -> None:
        """A row after the other, for a back end that computes them."""
        for source in self._sources():
            image = source.sample.source_image
            with self._out.guard(image.uri, source.sample.sample_id):
                refused: Counter[str] = Counter()
                used = self._used.setdefault(image.id, set())
                written, lost = annotate_sample(
                    source.sample, self._backend, self._attempts, self._seed, used, refused=refused
                )
                self._count(refused)
                self._out.quarantined.extend(lost)
                for row in written:
                    self._store_row(source, row)

    def write_many(self, in_flight: int) -> None:
        """Many rows at once, for a back end that waits; then, in order, no answer twice.

        What the threads write depends on the row alone. The rule about equal answers is applied to the rows
        in their order afterwards, so that the shard is the same whoever was first.
        """
        begun: list[tuple[_Source, RowWriter]] = []
        threads = in_flight * _THREADS_A_REQUEST
        futures = in_order(self._writers(begun), threads, threads * _WINDOW)
        try:
            for future in futures:
                source, writer = begun.pop(0)
                image = source.sample.source_image
                with self._out.guard(image.uri, source.sample.sample_id):
                    future.result()
                    used = self._used.setdefault(image.id, set())
                    outcome = writer.write(used)
                    self._count(writer.refusals())
                    if isinstance(outcome, Quarantined):
                        self._out.quarantined.append(outcome)
                        continue
                    used.update(answers(outcome.messages))
                    self._store_row(source, outcome)
        except BaseException:
            self._backend.close()
            raise
        finally:
            futures.close()

    def _writers(self, begun: list[tuple[_Source, RowWriter]]) -> Iterator[Callable[[], object]]:
        """The first write of every row, which `begun` gets in the same order."""
        for source in self._sources():
            sample = source.sample
            with self._out.guard(sample.source_image.uri, sample.sample_id):
                load = cache(partial(_load, self._store, self._distort_key, source.place, source.item.id))
                for draft in drafts(sample):
                    writer = RowWriter(draft, sample, self._backend, self._attempts, self._seed, load)
                    begun.append((source, writer))
                    yield writer.write

    def _sources(self) -> Iterator[_Source]:
        items: Iterator[Item[DistortedSample]] = read_items(self._store, "distort", self._distort_key)
        for place, item in enumerate(items):
            yield _Source(place, item, Sample.model_validate(item.record["sample"]))

    def _count(self, refused: Counter[str]) -> None:
        for name, count in refused.items():
            self._out.counts[f"refused: {name}"] += count

    def _store_row(self, source: _Source, row: Written) -> None:
        sample, item, identity = source.sample, source.item, row.identity
        record = {
            "id": row.draft.row_id,
            "source": OWN_SOURCE,
            "task": row.draft.task,
            "messages": [message.model_dump() for message in row.messages],
            "regions": [region.model_dump() for region in sample.regions],
            "target_region_ids": list(row.draft.target_region_ids),
            "whole_image": row.draft.whole_image,
            "order_effect": sample.order_effect,
            "source_image": sample.source_image.model_dump(),
            "provenance": {
                "generator": identity.generator,
                "model": identity.model,
                "revision": identity.revision,
                "prompt_version": identity.prompt_version,
                "attempt": row.attempt,
                "code_version": __version__,
                "seed": self._seed,
            },
        }
        stored: AnnotatedRow = {
            "row": record,
            "sample_id": sample.sample_id,
            "place": source.place,
            "picture_sha256": item.record["picture_sha256"],
            "picture_bytes": item.record["picture_bytes"],
        }
        self._out.counts[f"rows: {row.draft.task}"] += 1
        self._out.counts[f"attempts: {row.attempt}"] += 1
        self._out.add(Item(row.draft.row_id, stored))


def _load(store: Store, distort_key: str, place: int, sample_id: str) -> NDArray[np.uint8]:
    return load_png(read_picture(store, "distort", distort_key, place, sample_id))


STAGE = Stage(
    "annotate",
    after=("distort",),
    jobs=jobs,
    run=run,
    cost=a_photograph(0.15, lambda job, counts: counts[job.content["distort"]]),
    whole=False,
    judge=limited("annotate"),
)
