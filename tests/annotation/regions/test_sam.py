"""SAM proposals on tiny models: parity with segment-anything, encodings, batches, hostile pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from segment_anything import SamPredictor

from annotation.regions.automask import suppress
from annotation.regions.automask.grid import Crop, crops
from annotation.regions.interface import Context, Proposals
from annotation.regions.proposers.sam import SamProposer
from schemas import masks
from schemas.errors import InputError
from schemas.regions_config import RegionsConfig, SamConfig
from tests.annotation.regions import parity, tiny_models
from tests.annotation.regions.conftest import load
from tests.annotation.regions.parity import Rules, picture
from tests.annotation.regions.tiny_models import FAMILIES

ROOT = Path(__file__).parents[3]
EASY = {"min_predicted_iou": 0.5, "min_stability": 0.6}
"""Limits that every family's random weights pass now and then."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each family's tiny model."""
    return {name: save(tmp_path_factory.mktemp(name)) for name, save in FAMILIES.items()}


@pytest.fixture(params=sorted(FAMILIES))
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    """Each family's tiny model in turn."""
    return folders[request.param]


def settings(folder: Path | str, **sam: Any) -> RegionsConfig:
    values = {"model": str(folder), **sam}
    return RegionsConfig.model_validate({"proposer": "sam", "labeller": "appearance", "sam": values})


def propose(images: list[NDArray[np.uint8]], config: RegionsConfig) -> list[Proposals]:
    return SamProposer(config)(images, [Context(config)] * len(images))


def overlaps(a: Proposals, b: Proposals) -> NDArray[np.float64]:
    """IoU of each mask of `a` (rows) with each of `b`."""
    first, second = ([item.rle() for item in some.candidates] for some in (a, b))
    return np.asarray(coco_mask.iou(first, second, [0] * len(second)))


def same(a: Proposals, b: Proposals, rules: Rules) -> None:
    """Assert that both hold the same masks and counts, up to float noise and what it decides."""
    assert len(a.candidates) + sum(a.dropped.values()) == len(b.candidates) + sum(b.dropped.values())
    for reason in {*a.dropped, *b.dropped}:
        assert abs(a.dropped.get(reason, 0) - b.dropped.get(reason, 0)) <= 2, reason
    assert parity.compare(parity.masks_of(a), parity.masks_of(b), rules) == []


def rules_of(config: RegionsConfig, image: NDArray[np.uint8]) -> Rules:
    """What decides on the masks of a picture; the tiny models' logits have 64 rows or columns."""
    sam = config.sam or SamConfig()
    limits = {"min_predicted_iou": sam.min_predicted_iou, "min_stability": sam.min_stability}
    if sam.exact:
        return Rules(**limits)
    return Rules(**limits, max_overlap=sam.max_overlap, by_box=False, pixel=(max(image.shape[:2]) / 64) ** 2)


@pytest.fixture(scope="module")
def originals(folders: dict[str, Path]) -> dict[str, list[parity.Mask]]:
    """What segment-anything finds on each photograph."""
    return {
        name: parity.theirs(folders["sam"], name, side, layers) for name, side, layers in parity.PHOTOGRAPHS
    }


@pytest.mark.parametrize(("name", "side", "layers"), parity.PHOTOGRAPHS)
def test_exact_mode_is_segment_anything(
    folders: dict[str, Path], originals: dict[str, list[parity.Mask]], name: str, side: int, layers: int
) -> None:
    ours = parity.ours(folders["sam"], name, side, layers)
    assert len(originals[name]) >= 10
    assert parity.compare(parity.masks_of(ours), originals[name]) == []
    for item in ours.candidates:
        assert item.score == min(1.0, item.facts["predicted_iou"])


@pytest.mark.parametrize("kernels", ["default", "avx2"])
def test_exact_mode_is_segment_anything_with_other_kernels(kernels: str) -> None:
    """Other floating-point kernels of torch, with one thread and with two: what a processor may have."""
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": kernels, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.annotation.regions.parity"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["same masks"] * 6


@pytest.mark.parametrize(
    "changed",
    [
        {"stability_offset": 1.5},
        {"min_stability": 0.9},
        {"min_stability": 0.94},
        {"min_predicted_iou": 1.0},
        {"min_island": 0},
        {"crop_downscale": 1},
        {"crop_overlap": 0.2},
        {"points_per_side": 9},
        {"exact": False},
    ],
)
def test_parity_notices_another_setting(
    folders: dict[str, Path], originals: dict[str, list[parity.Mask]], changed: dict[str, Any]
) -> None:
    assert differences(folders, originals, **changed)


@pytest.mark.parametrize("limit", [0.65, 0.75])
def test_parity_notices_another_limit_of_duplicates(
    folders: dict[str, Path],
    originals: dict[str, list[parity.Mask]],
    monkeypatch: pytest.MonkeyPatch,
    limit: float,
) -> None:
    monkeypatch.setattr("annotation.regions.automask.exact.BOX_OVERLAP", limit)
    assert differences(folders, originals)


def test_parity_notices_a_missing_crop(
    folders: dict[str, Path], originals: dict[str, list[parity.Mask]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation.regions.proposers.sam.crops", lambda *given: crops(*given)[:-1])
    assert differences(folders, originals)


def test_parity_notices_that_the_first_wins_and_not_the_best(
    folders: dict[str, Path], originals: dict[str, list[parity.Mask]], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_box = suppress.by_box
    monkeypatch.setattr(
        suppress, "by_box", lambda boxes, scores, limit: by_box(boxes, np.zeros_like(scores), limit)
    )
    assert differences(folders, originals)


def differences(
    folders: dict[str, Path], originals: dict[str, list[parity.Mask]], **changed: Any
) -> list[str]:
    """What a defect changes on all photographs."""
    return [
        line
        for name, side, layers in parity.PHOTOGRAPHS
        for line in parity.compare(
            parity.masks_of(parity.ours(folders["sam"], name, side, layers, **changed)), originals[name]
        )
    ]


def test_fast_mode_finds_the_masks_of_exact_mode(folders: dict[str, Path]) -> None:
    images = [load(name) for name in ("astronaut", "coffee", "china")]
    exact = propose(images, settings(folders["sam"], exact=True, points_per_side=16))
    fast = propose(images, settings(folders["sam"], points_per_side=16))
    best = np.concatenate([overlaps(a, b).max(axis=1) for a, b in zip(exact, fast, strict=True)])
    assert len(best) >= 60
    assert (best >= 0.95).mean() >= 0.93


def test_every_family_finds_masks_again_and_again(folder: Path) -> None:
    image = picture("astronaut", 300)[:, :200]
    config = settings(folder, points_per_side=8, **EASY)
    proposer = SamProposer(config)
    (found,) = proposer([image], [Context(config)])
    assert len(found.candidates) >= 5
    assert proposer([image], [Context(config)])[0] == found
    assert sum(found.dropped.values()) + len(found.candidates) == 8 * 8 * 3
    for item in found.candidates:
        assert item.mask.size == [300, 200]
        assert item.area == masks.area(item.mask) > 0
        assert list(item.bbox) == masks.bounding_box(item.pixels())
        assert 0 <= item.score <= 1
    (exact,) = propose([image], settings(folder, points_per_side=8, exact=True, **EASY))
    assert (overlaps(exact, found).max(axis=1) >= 0.9).mean() >= 0.8


def test_results_do_not_depend_on_batches_or_on_the_pictures_beside(folder: Path) -> None:
    images = [picture("coffee", 200), picture("chelsea", 120), picture("rocket", 150)]
    common = {"points_per_side": 6, "crop_layers": 1, **EASY}
    alone = [propose([image], settings(folder, points_per_batch=1, **common))[0] for image in images]
    together = propose(images, settings(folder, points_per_batch=64, images_per_batch=4, **common))
    for image, a, b in zip(images, alone, together, strict=True):
        same(a, b, rules_of(settings(folder, **common), image))


def test_each_crop_is_encoded_once(folder: Path) -> None:
    images = [picture("coffee", 200), picture("chelsea", 120)]
    config = settings(folder, points_per_side=8, points_per_batch=4, crop_layers=1, images_per_batch=4)
    proposer = SamProposer(config)
    sizes: list[int] = []
    encoder = proposer.sam.model.vision_encoder
    encoder.register_forward_pre_hook(
        lambda module, given, named: sizes.append(len(given[0] if given else named["pixel_values"])),
        with_kwargs=True,
    )
    proposer(images, [Context(config)] * 2)
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize("exact", [True, False])
def test_out_of_memory_halves_the_batch_and_goes_on(folders: dict[str, Path], exact: bool) -> None:
    images = [picture("coffee", 200), picture("chelsea", 120)]
    config = settings(folders["sam"], points_per_side=8, points_per_batch=50, images_per_batch=2, exact=exact)
    expected = propose(images, config)
    proposer = SamProposer(config)
    model = proposer.sam.model
    forward, encode = model.forward, model.get_image_embeddings
    seen: list[int] = []

    def short_of_memory(*, input_points: torch.Tensor, **given: Any) -> Any:
        seen.append(input_points.shape[1])
        if input_points.shape[1] > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(input_points=input_points, **given)

    def one_picture(pixels: torch.Tensor) -> Any:
        if len(pixels) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(pixels)

    model.forward, model.get_image_embeddings = short_of_memory, one_picture
    found = proposer(images, [Context(config)] * 2)
    for image, a, b in zip(images, found, expected, strict=True):
        same(a, b, rules_of(config, image))
    assert seen[:4] == [16, 8, 4, 4]  # 16 is the most that a CPU takes at a time


def test_pixels_reach_sam_as_the_original_prepares_them(folders: dict[str, Path]) -> None:
    for size in ((200, 311), (333, 90), (700, 701)):
        image = cv2.resize(load("china"), size)
        proposer = SamProposer(settings(folders["sam"]))
        view = proposer.sam.input.view(Crop(0, 0, *size, 0), size[::-1])
        predictor = SamPredictor(tiny_models.original_sam(folders["sam"]))
        resized = predictor.transform.apply_image(image)
        assert resized.shape[:2] == (view.rows, view.columns)
        expected = predictor.model.preprocess(torch.from_numpy(resized).permute(2, 0, 1)[None].float())[0]
        torch.testing.assert_close(proposer.sam.pixels(image, view), expected, atol=2e-5, rtol=0)


def test_pixels_reach_every_family_as_its_own_processor_prepares_them(folder: Path) -> None:
    image = picture("china", 311)
    proposer = SamProposer(settings(folder))
    size = (image.shape[0], image.shape[1])
    ours = proposer.sam.pixels(image, proposer.sam.input.view(Crop(0, 0, *size[::-1], 0), size))
    theirs = transformers.AutoImageProcessor.from_pretrained(folder)(image, return_tensors="pt")
    level = 1 / 255 / 0.22  # theirs is rounded to 8 bits by another library
    torch.testing.assert_close(ours, theirs["pixel_values"][0], atol=1.1 * level, rtol=0)


@pytest.mark.parametrize("exact", [True, False])
def test_hostile_pictures_give_stated_results(folder: Path, exact: bool) -> None:
    thin = np.ascontiguousarray(np.broadcast_to(load("coffee")[200, :1], (1, 4000, 3)))
    black = np.zeros((90, 160, 3), np.uint8)
    images = [thin, thin.transpose(1, 0, 2), black, np.full((1, 1, 3), 255, np.uint8)]
    config = settings(folder, points_per_side=4, crop_layers=1, exact=exact)
    for image, found in zip(images, propose(images, config), strict=True):
        for item in found.candidates:
            assert item.mask.size == list(image.shape[:2])
            assert masks.area(item.mask) == item.area > 0
        assert len(found.candidates) + sum(found.dropped.values()) > 0
    assert propose([], config) == []


def test_no_mask_passes_a_limit_that_none_reaches(folder: Path) -> None:
    image = picture("coffee", 100)
    limits = {"min_predicted_iou": 1.0, "min_stability": 1.0, "stability_offset": 99.9}
    (found,) = propose([image], settings(folder, points_per_side=4, **limits))
    assert found.candidates == []
    assert set(found.dropped) <= {"low-predicted-iou", "unstable"}
    assert sum(found.dropped.values()) == 4 * 4 * 3


def test_a_missing_model_or_one_of_another_kind_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        InputError,
        match=r"^regions\.sam\.model: the SAM model 'no/such-model' .*: no such folder",
    ):
        SamProposer(settings("no/such-model"))
    with pytest.raises(InputError, match=r"^regions\.sam\.model: the SAM model '/.*' can't be loaded"):
        SamProposer(settings(tmp_path))
    transformers.CLIPConfig().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="is of the kind 'clip'; known kinds: sam, sam_hq, sam2"):
        SamProposer(settings(tmp_path))


def test_a_half_precision_model_runs(folders: dict[str, Path]) -> None:
    config = RegionsConfig.model_validate(
        {
            "proposer": "sam",
            "labeller": "appearance",
            "sam": {"model": str(folders["sam"]), "points_per_side": 4},
            "run_on": {"device": "cpu", "dtype": "bfloat16"},
        }
    )
    (found,) = propose([picture("coffee", 100)], config)
    assert len(found.candidates) + sum(found.dropped.values()) == 4 * 4 * 3
