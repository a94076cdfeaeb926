"""A build with `regions: ssa` on tiny models: masks by SAM, names by SSA's engine, to a verified dataset."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.annotation.regions import tiny_labellers, tiny_models
from tests.conftest import run_cli, write_photographs
from tests.flows.stages.test_regions import (
    config_file,
    configured,
    kill_in_the_regions,
    labels,
    stored,
    verified,
)

NAMES = ["coffee", "chelsea"]


def settings(models: Path) -> dict[str, Any]:
    """Random weights are sure of nothing: every threshold is open, so that there is something to name."""
    return {
        "proposer": "sam",
        "labeller": "ssa",
        "sam": {
            "model": str(models / "sam"),
            "points_per_side": 8,
            "images_per_batch": 2,
            "min_predicted_iou": 0.0,
            "min_stability": 0.0,
        },
        "ssa": {
            "votes": [str(models / "oneformer"), str(models / "segformer")],
            "caption": str(models / "blip"),
            "clip": str(models / "clip"),
            "clipseg": str(models / "clipseg"),
            "min_score": 0.0,
            "min_margin": 0.0,
        },
    }


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_models.save_sam(folder / "sam")
    for kind in ("oneformer", "segformer"):
        tiny_labellers.save_closed(folder / kind, kind)
    tiny_labellers.save_blip(folder / "blip")
    tiny_labellers.save_clip(folder / "clip")
    tiny_labellers.save_clipseg(folder / "clipseg")
    return folder


@pytest.fixture
def place(tmp_path: Path, prefect_url: str, models: Path) -> Path:
    write_photographs(tmp_path / "images", NAMES)
    config_file(tmp_path, {"regions": settings(models)}, runner="process", workers=2)
    return tmp_path


def test_ssa_to_a_verified_dataset_and_its_files(place: Path) -> None:
    outcome = verified(place)
    assert labels(outcome)
    for record in stored(configured(place)).values():
        assert record["regions"]
        assert all(0 < made["facts"]["stability_score"] <= 1 for made in record["made"])
        assert all(made["proposals"] for made in record["made"])
    written = run_cli("regions", place / "tiny.yaml", "--ssa-json", place / "written")
    assert written.returncode == 0, written.stderr
    assert len(list((place / "written").glob("*_semantic.json"))) == len(NAMES)


def test_killed_and_run_again_gives_the_same_regions(place: Path, tmp_path: Path, models: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    write_photographs(undisturbed / "images", NAMES)
    config_file(undisturbed, {"regions": settings(models)}, runner="serial")
    kill_in_the_regions(place)
    assert verified(place).manifest.digest == verified(undisturbed).manifest.digest


def test_a_build_on_a_machine_without_models_uses_what_stands(place: Path, models: Path) -> None:
    stopped = run_cli("build", place / "tiny.yaml", "--until", "regions")
    assert stopped.returncode == 0, stopped.stderr
    hidden = models.with_name(f"hidden-{time.time_ns()}")
    models.rename(hidden)
    try:
        outcome = verified(place)
    finally:
        hidden.rename(models)
    assert outcome.shards["regions"].new == 0
    assert outcome.shards["distort"].new > 0
