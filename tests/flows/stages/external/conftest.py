"""Imports annotation files into a store of their own, without a build around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.stages import external, outline
from flows.stages.table import run_job
from schemas.config import ExternalConfig
from schemas.shards import Item, read_items
from schemas.store import Manifest, Store, open_store

Import = Callable[[Path, str], tuple[list[Item], list[Manifest]]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def read_file(store: Store) -> Import:
    """Outline and rows of one annotation file: all items and the manifests of the shards that hold them."""

    def run(path: Path, kind: str) -> tuple[list[Item], list[Manifest]]:
        dataset = ExternalConfig.model_validate({"kind": kind, "annotations": [path], "images": path.parent})
        job = outline.job(path, outline.file_hash(path, None))
        made = external.file_jobs(run_job(job, store), path, job.content["file"], dataset)
        manifests = [run_job(one, store) for one in made]
        return [item for m in manifests for item in read_items(store, "external", m.key)], manifests

    return run
