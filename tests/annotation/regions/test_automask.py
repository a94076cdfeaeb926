"""The parts of automatic mask generation, against segment-anything, torchvision and pycocotools."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from segment_anything.utils import amg

from annotation.regions.automask import Automask, View, cleaning, runs, suppress
from annotation.regions.automask.fast import Fast
from annotation.regions.automask.geometry import enlarge, enlarge_window, window
from annotation.regions.automask.grid import Crop, crops, points
from schemas import masks
from schemas.regions_config import SamConfig

QUICK = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def blobs(rng: np.random.Generator, height: int, width: int, level: float = 0.3) -> NDArray[np.uint8]:
    """A random mask with islands and holes of all sizes."""
    coarse = rng.standard_normal((max(2, height // 6), max(2, width // 6))).astype(np.float32)
    fine = rng.standard_normal((height, width)).astype(np.float32)
    return (cv2.resize(coarse, (width, height)) + 0.4 * fine > level).astype(np.uint8)


@pytest.mark.parametrize("size", [(480, 640), (333, 1000), (64, 64)])
def test_crops_and_points_are_those_of_the_original(size: tuple[int, int]) -> None:
    boxes, layers = amg.generate_crop_boxes(size, 3, 512 / 1500)
    ours = crops(*size, 3, 512 / 1500)
    assert [[c.x, c.y, c.x + c.width, c.y + c.height] for c in ours] == boxes
    assert [c.layer for c in ours] == layers
    grids = amg.build_all_layer_point_grids(32, 3, 2)
    for crop in (ours[0], ours[1], ours[-1]):
        theirs = grids[crop.layer] * np.array([[crop.width, crop.height]])
        np.testing.assert_allclose(points(crop, 32, 2), theirs)


def test_a_thin_picture_has_no_empty_crop_and_a_small_grid_no_empty_layer() -> None:
    for height, width in ((1, 4000), (4000, 1), (1, 1), (2, 3)):
        found = crops(height, width, 3, 512 / 1500)
        assert found[0] == Crop(0, 0, width, height, 0)
        assert all(c.width > 0 and c.height > 0 for c in found)
    assert len(points(Crop(0, 0, 5, 5, 3), 2, 8)) == 1


@QUICK
@given(SEEDS, st.integers(1, 40), st.integers(1, 40), st.floats(-2, 2))
def test_runs_of_a_window_are_those_of_the_whole_mask(
    seed: int, height: int, width: int, level: float
) -> None:
    rng = np.random.default_rng(seed)
    size = (height + int(rng.integers(0, 4)), width + int(rng.integers(0, 4)))
    x, y = int(rng.integers(0, size[1] - width + 1)), int(rng.integers(0, size[0] - height + 1))
    part = blobs(rng, height, width, level)
    whole = np.zeros(size, np.bool_)
    whole[y : y + height, x : x + width] = part
    encoded = runs.encode(np.ascontiguousarray(part.T), x, y, size)
    assert encoded.mask == masks.encode(whole)
    assert encoded.area == whole.sum()
    assert list(encoded.bbox) == masks.bounding_box(whole)
    np.testing.assert_array_equal(runs.decode(encoded.mask), whole.T)


@QUICK
@given(SEEDS, st.integers(1, 60), st.integers(1, 60), st.integers(0, 40), st.floats(-1, 2))
def test_cleaning_is_the_originals_and_a_window_is_enough(
    seed: int, height: int, width: int, least: int, level: float
) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((width, height), np.uint8)
    x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
    part = blobs(rng, height - y, width - x, level).T
    mask[x : x + part.shape[0] // 2 + 1, y : y + part.shape[1] // 2 + 1] = part[
        : part.shape[0] // 2 + 1, : part.shape[1] // 2 + 1
    ]
    expected: Any = mask.astype(bool)
    for mode in ("holes", "islands"):
        if expected.any() or mode == "holes":
            expected, _ = amg.remove_small_regions(expected, least, mode)
    cleaned = cleaning.clean(mask, least)
    if expected.sum() < least:  # every island is small, and of equally large ones either may stay
        assert cleaned.sum() == expected.sum()
        return
    np.testing.assert_array_equal(cleaned, expected)
    top, left, tall, wide = cv2.boundingRect(mask)
    if wide and not expected.all():
        x, y, wide, tall = cleaning.window((left, top, wide, tall), least, (height, width))
        cut = np.zeros_like(mask)
        cut[x : x + wide, y : y + tall] = cleaning.clean(
            np.ascontiguousarray(mask[x : x + wide, y : y + tall]), least
        )
        np.testing.assert_array_equal(cut, expected)


@QUICK
@given(SEEDS, st.integers(1, 60))
def test_box_suppression_is_torchvisions(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 12, (count, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    scores = rng.integers(0, 5, count).astype(np.float32)
    theirs = torchvision.ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.7)
    assert suppress.by_box(boxes, scores, 0.7) == theirs.tolist()


@QUICK
@given(SEEDS, st.integers(1, 25))
def test_mask_suppression_is_the_greedy_one(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    planes = [blobs(rng, 24, 24, 0.9) for _ in range(count)]
    planes += [plane | (rng.random(plane.shape) > 0.98).astype(np.uint8) for plane in planes]
    rles = [coco_mask.encode(np.asfortranarray(plane)) for plane in planes]
    scores = rng.integers(0, 9, len(planes)).astype(np.float64)
    boxes = coco_mask.toBbox(rles)
    boxes[:, 2:] += boxes[:, :2]
    areas = coco_mask.area(rles).astype(np.int64)
    ious = coco_mask.iou(rles, rles, [0] * len(rles))
    expected: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if all(ious[index, other] <= 0.6 for other in expected):
            expected.append(int(index))
    assert suppress.by_mask(rles, areas, boxes.astype(np.float32), scores, 0.6) == expected


def view_of(size: tuple[int, int], crop: Crop, side: int, padded: bool) -> View:
    scale = side / max(crop.height, crop.width)
    rows, columns = (max(1, int(n * scale + 0.5)) for n in (crop.height, crop.width))
    return View(crop, size, side, rows if padded else side, columns if padded else side, padded)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("size", [(512, 512), (300, 451), (1000, 701), (90, 120), (1, 4000)])
def test_enlarging_is_torchs_and_a_window_is_enough(size: tuple[int, int], padded: bool) -> None:
    rng = np.random.default_rng(0)
    view = view_of(size, Crop(0, 0, size[1], size[0], 0), 256, padded)
    for spread in (3, 12):
        logits = cv2.resize(rng.standard_normal((spread, spread)).astype(np.float32), (64, 64)) * 9 - 6
        plane = torch.from_numpy(logits)[None, None]
        if padded:
            plane = torch.nn.functional.interpolate(plane, (256, 256), mode="bilinear")
            plane = plane[..., : view.rows, : view.columns]
        expected = torch.nn.functional.interpolate(plane, size, mode="bilinear")[0, 0].numpy()
        ours = enlarge(logits, view).T
        np.testing.assert_allclose(ours, expected, atol=2e-4)

        rows, columns = (min(64, math.ceil(part)) for part in view.used(64))
        left, top, width, height = cv2.boundingRect((logits[:rows, :columns] > 0).astype(np.uint8))
        part = window(logits[: rows + 1, : columns + 1], (left, top, left + width, top + height), view, 64)
        mask = np.zeros(size[::-1], np.uint8)
        inside = enlarge_window(part, view)
        mask[part.x : part.x + inside.shape[0], part.y : part.y + inside.shape[1]] = inside
        differ = np.count_nonzero((expected > 0) != mask.T)
        assert differ <= max(2, 0.0005 * (expected > 0).sum())


Field = Callable[[NDArray[np.float64]], NDArray[np.float32]]


def generate(config: SamConfig, size: tuple[int, int], field: Field, layers: int = 0) -> Any:
    """Masks of a model that is replaced by a function from points to logits of 64 x 64."""
    masks_of = Automask(config, config.points_per_batch)
    for crop in crops(*size, layers, config.crop_overlap):

        def predict(where: NDArray[np.float64], crop: Crop = crop) -> tuple[torch.Tensor, torch.Tensor]:
            planes = field(where / [crop.width, crop.height])
            return torch.from_numpy(planes), torch.full(planes.shape[:2], 0.95)

        masks_of.crop(predict, view_of(size, crop, 256, padded=False))
    return masks_of.proposals()


def discs(radius: float) -> Field:
    """One disc of `radius` logits round each point."""
    y, x = np.mgrid[:64, :64].astype(np.float32)

    def field(where: NDArray[np.float64]) -> NDArray[np.float32]:
        center = (where * 64 - 0.5)[:, :, None, None]
        distance = np.hypot(x - center[:, 0], y - center[:, 1])
        return ((radius - distance) * 200).astype(np.float32)[:, None]

    return field


@pytest.mark.parametrize("exact", [True, False])
def test_none_one_and_529_masks(exact: bool) -> None:
    config = SamConfig(points_per_side=23, min_island=0, min_stability=0.5, exact=exact)
    nothing = generate(config, (480, 640), lambda where: np.full((len(where), 1, 64, 64), -9, np.float32))
    assert nothing.candidates == []
    assert nothing.dropped == {"unstable": 529}
    many = generate(config, (480, 640), discs(1.3))
    assert len(many.candidates) == 529
    assert dict(many.dropped) == {}
    assert sum(item.area for item in many.candidates) == pytest.approx(529 * 3.14 * 1.3**2 * 75, rel=0.1)
    for item in many.candidates[::50]:
        pixels = item.pixels()
        assert pixels[int(item.facts["point_y"]), int(item.facts["point_x"])]
        assert item.area == pixels.sum()
        assert list(item.bbox) == masks.bounding_box(pixels)
    one = generate(config, (480, 640), lambda where: np.full((len(where), 1, 64, 64), 9, np.float32))
    assert [item.area for item in one.candidates] == [480 * 640]
    assert one.dropped == {"duplicate": 528}


@pytest.mark.parametrize("exact", [True, False])
def test_masks_at_an_edge_inside_the_picture_are_dropped(exact: bool) -> None:
    config = SamConfig(points_per_side=8, crop_downscale=1, min_island=0, exact=exact, crop_layers=1)
    found = generate(config, (480, 640), discs(3.5), layers=1)
    assert found.dropped["crop-edge"] > 0
    for item in found.candidates:
        x, y, width, height = item.bbox
        crop = [item.facts[f"crop_{side}"] for side in ("x", "y", "width", "height")]
        gaps = (x - crop[0], y - crop[1], crop[0] + crop[2] - x - width, crop[1] + crop[3] - y - height)
        at_edge = (crop[0] == 0, crop[1] == 0, crop[0] + crop[2] == 640, crop[1] + crop[3] == 480)
        assert all(gap > 15 or outer for gap, outer in zip(gaps, at_edge, strict=True))


def test_nested_masks_stay_when_pixels_decide_and_repeats_go() -> None:
    y, x = np.mgrid[:64, :64].astype(np.float32)
    ring = np.abs(np.hypot(x - 32, y - 32) - 24) < 3
    core = np.hypot(x - 32, y - 32) < 25

    def field(where: NDArray[np.float64]) -> NDArray[np.float32]:
        planes = np.stack([ring, core, core]).astype(np.float32) * 20 - 10
        return np.repeat(planes[None], len(where), axis=0)

    fast = generate(SamConfig(points_per_side=1), (256, 256), field)
    assert len(fast.candidates) == 2
    assert fast.dropped == {"duplicate": 1}
    exact = generate(SamConfig(points_per_side=1, exact=True), (256, 256), field)
    assert len(exact.candidates) == 1


def test_what_is_held_is_bounded_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SamConfig(points_per_side=12)
    expected = generate(config, (300, 400), discs(9.0))
    held: list[int] = []
    add = Fast.add

    def watched(self: Fast, *given: Any) -> None:
        add(self, *given)
        held.append(sum(item.part.logits.nbytes for item in self._of_crop if item.part is not None))

    monkeypatch.setattr(Fast, "add", watched)
    monkeypatch.setattr("annotation.regions.automask.fast.HELD_BYTES", 30_000)
    assert generate(config, (300, 400), discs(9.0)) == expected
    assert max(held) <= 30_000


@pytest.mark.parametrize("exact", [True, False])
def test_holes_are_filled_and_islands_dropped(exact: bool) -> None:
    plane = np.full((64, 64), -10, np.float32)
    plane[10:40, 10:40] = 10
    plane[20, 20] = -10
    plane[50, 50] = 10

    def field(where: NDArray[np.float64]) -> NDArray[np.float32]:
        return np.repeat(plane[None, None], len(where), axis=0)

    for least, pieces, filled in ((0, 2, False), (100, 1, True)):
        config = SamConfig(points_per_side=1, min_island=least, exact=exact)
        (item,) = generate(config, (256, 256), field).candidates
        pixels = item.pixels().astype(np.uint8)
        assert cv2.connectedComponents(pixels)[0] - 1 == pieces
        assert bool(pixels[82, 82]) == filled
