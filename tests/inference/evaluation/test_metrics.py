"""Metrics against cases worked out by hand, pycocotools and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from scipy.stats import pearsonr, spearmanr

from inference.evaluation import measures, metrics, sampling
from inference.evaluation.benchmark_interface import Measure
from schemas import masks
from schemas.records import Mask


def box(x: int, y: int, width: int, height: int, size: tuple[int, int] = (8, 10)) -> Mask:
    found = np.zeros(size, np.bool_)
    found[y : y + height, x : x + width] = True
    return masks.encode(found)


def test_overlap_of_boxes_by_hand() -> None:
    truth = box(2, 2, 4, 4)
    assert metrics.overlap([box(4, 4, 4, 4)], truth) == (4, 28)
    assert metrics.overlap([box(2, 2, 2, 4), box(3, 2, 3, 4)], truth) == (16, 16)
    assert metrics.overlap([], truth) == (0, 16)
    assert metrics.overlap([metrics.full_mask(8, 10)], truth) == (16, 80)
    empty = masks.encode(np.zeros((8, 10), np.bool_))
    assert metrics.overlap([], empty) == (0, 0)


def test_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[8, 11\] can't be compared with one of \[8, 10\]"):
        metrics.overlap([box(0, 0, 1, 1, (8, 11))], box(0, 0, 1, 1))
    with pytest.raises(ValueError, match="runs do not add up"):
        metrics.overlap([Mask(size=[8, 10], counts="1")], box(0, 0, 1, 1))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_overlap_equals_numpy_and_pycocotools(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    height, width = (int(n) for n in random.integers(1, 40, 2))
    truth = random.random((height, width)) < random.random()
    found = [random.random((height, width)) < random.random() for _ in range(count)]
    together = np.any(found, axis=0) if found else np.zeros_like(truth)
    got = metrics.overlap([masks.encode(mask) for mask in found], masks.encode(truth))
    assert got == (int((together & truth).sum()), int((together | truth).sum()))
    if count == 1 and truth.any():
        pair = [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in (together, truth)]
        assert metrics.ious(*got) == pytest.approx(float(coco_mask.iou([pair[0]], [pair[1]], [0])[0, 0]))


def test_the_three_means_by_hand() -> None:
    intersections, unions = np.array([5.0, 0, 0, 30]), np.array([10.0, 4, 0, 40])
    ious = metrics.ious(intersections, unions)
    assert ious.tolist() == [0.5, 0.0, 1.0, 0.75]
    columns = {"intersection": intersections, "union": unions, "iou": ious}
    classes = {"class": ["blur", "blur", "noise", "jitter"]}
    right = {"gIoU": 2.25 / 4, "cIoU": 35 / 54, "class mIoU": (5 / 14 + 30 / 40) / 2}
    for measure in measures.iou_measures(over="class"):
        found, kept = sampling.sample(measure, columns, ["g"] * 4, classes)
        assert kept.all()
        assert sampling.value(measure, found) == pytest.approx(right.pop(measure.name))
    assert not right


def test_points_lie_in_the_pixel_that_covers_them() -> None:
    truth = box(2, 2, 4, 4)
    inside = [(0.2, 0.25), (0.599, 0.749), (0.4, 0.5)]
    outside = [(0.199, 0.3), (0.6, 0.3), (0.3, 0.75), (1.0, 1.0), (0.0, 0.0)]
    assert all(metrics.share_inside([point], truth) == 1.0 for point in inside)
    assert all(metrics.share_inside([point], truth) == 0.0 for point in outside)
    assert metrics.share_inside([*inside, *outside], truth) == 3 / 8
    assert metrics.share_inside([], truth) == 0.0
    assert metrics.share_inside([(1.0, 1.0)], box(9, 7, 1, 1)) == 1.0


def test_the_inner_point_is_deepest_inside() -> None:
    assert metrics.inner_point(box(2, 2, 5, 5)) == (0.45, 4.5 / 8)
    ring = np.ones((41, 41), np.bool_)
    ring[5:36, 3:36] = False
    x, y = metrics.inner_point(masks.encode(ring))
    assert metrics.share_inside([(x, y)], masks.encode(ring)) == 1.0
    assert metrics.inner_point(metrics.full_mask(9, 9)) == (0.5, 0.5)


def test_correlations_equal_scipy() -> None:
    random = np.random.default_rng(1)
    x = random.integers(0, 12, 80).astype(np.float64)
    y = x + random.normal(0, 4, 80)
    assert metrics.srcc(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert metrics.plcc(x, y) == pytest.approx(pearsonr(x, y).statistic)
    assert math.isnan(metrics.srcc([1, 1, 1], [1, 2, 3]))
    assert math.isnan(metrics.plcc([1], [1]))


def test_the_logistic_straightens_what_is_logistic() -> None:
    x = np.linspace(-2, 6, 60)
    y = 1.2 + 3.1 / (1 + np.exp(-(x - 2.5) / 0.4))
    assert metrics.plcc(x, y) < 0.96
    assert metrics.fitted_plcc(x, y) == pytest.approx(1.0, abs=1e-6)
    assert metrics.fitted_plcc(-1000 * x, y) == pytest.approx(1.0, abs=1e-6)
    noisy = y + np.random.default_rng(0).normal(0, 0.4, 60)
    assert metrics.fitted_plcc(x, noisy) > metrics.plcc(x, noisy)
    assert math.isnan(metrics.fitted_plcc(np.ones(60), y))
    assert math.isnan(metrics.fitted_plcc(x[:4], y[:4]))


def test_a_missing_column_leaves_an_item_out_and_a_wrong_answer_does_not() -> None:
    measure: Measure = measures.mean("accuracy", "right")
    columns = {"right": np.array([1.0, 0.0, np.nan, 1.0])}
    found, kept = sampling.sample(measure, columns, ["a", "b", "c", "d"], {})
    assert kept.tolist() == [True, True, False, True]
    assert sampling.value(measure, found) == pytest.approx(2 / 3)
