"""The command `regions`: the regions in a build's store, as one file of SSA for each picture."""

# Names may hold undecodable bytes: plain strings and os calls.
# ruff: noqa: PTH103, PTH118, PTH119, PTH120

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from annotation.regions.interface import Candidate
from annotation.regions.ssa_masks import write
from flows.engine import survey
from flows.sources.files import is_inside
from flows.stages.regions import RegionsRecord
from flows.stages.ssa_files import file_names
from flows.stages.table import needed
from schemas.config import BuildConfig
from schemas.errors import InputError
from schemas.records import Region, SourceImage
from schemas.shards import Item, read_items
from schemas.store import Store, wrap_disk_errors, write_atomically


def write_ssa_files(config: BuildConfig, limit: int | None, folder: Path) -> int:
    """Write one file for each picture that has regions in the store, and return how many.

    A file is named after its picture (see `flows.stages.ssa_files`), lies in `folder` or below and appears
    whole; one that is there is replaced. Masks are those of the dataset: disjoint, at the ingested picture's
    size.
    Raises InputError when the store lacks a shard of the regions.
    """
    store = Store(config.store or config.out / "store")
    known = survey.start(config, store, limit)
    survey.look_ahead(known, partial=True, stages=needed("regions"))
    lacking = len(known.missing("ingest")) + len(known.missing("regions"))
    if lacking:
        raise InputError(
            f"{store.root}: {lacking} shards of ingest and regions are missing; make them first: "
            "iqa-spider build CONFIG --until regions"
        )
    names = file_names(ref.uri for ref in known.scanned.refs)
    written = 0
    with wrap_disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        root = os.path.realpath(folder, strict=True)
        for job in known.jobs["regions"]:
            items: Iterator[Item[RegionsRecord]] = read_items(store, "regions", job.key)
            for item in items:
                source = SourceImage.model_validate(item.record["source_image"])
                target = _target(root, names[source.uri])
                write_atomically(target, write(_candidates(item), source), target.parent)
                written += 1
    return written


def _target(root: str, name: str) -> Path:
    """The place of a file below the real path `root`, its folder made. Raises InputError when a link there
    leads out.
    """
    folder = os.path.realpath(os.path.join(root, os.path.dirname(name)))
    if not is_inside(folder, root):
        raise InputError(f"{os.path.join(root, name)!a}: a link leads out of the folder; remove it")
    os.makedirs(folder, exist_ok=True)
    return Path(folder, os.path.basename(name))


def _candidates(item: Item[RegionsRecord]) -> list[Candidate]:
    """The regions of a stored record as what they were made of."""
    found = []
    for values, made in zip(item.record["regions"], item.record["made"], strict=True):
        region = Region.model_validate(values)
        x, y, width, height = region.bbox
        found.append(
            Candidate(
                mask=region.mask,
                area=region.area,
                bbox=(x, y, width, height),
                score=made["score"],
                label=made["label"],
                label_score=region.label_score,
                facts=made["facts"],
                proposals=tuple(made["proposals"]),
            )
        )
    return found
