"""Strength and order effect: fixed points, known values, independence from resolution, batches."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from distortions import (
    Op,
    apply,
    inject,
    order_effect,
    order_effect_of,
    order_effects_of,
    strength,
    strengths,
)

CAT = data.chelsea()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_identical_is_zero_and_anything_stays_in_range(height: int, width: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    a = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    b = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = generator.random((height, width)) < 0.3
    mask[0, 0] = True
    assert strength(a, a) == 0
    assert strength(a, a.copy(), mask) == 0
    assert 0 < strength(a, b) <= 3.41
    assert 0 <= strength(a, b, mask) <= 3.41


def test_a_shift_of_38_on_a_flat_patch_is_079() -> None:
    flat = np.full((300, 300, 3), 100, np.uint8)
    assert strength(flat, flat + np.uint8(38)) == pytest.approx(0.79, abs=0.01)


@pytest.mark.parametrize(("sigma", "opinion_lost"), [(0.5, 0.25), (1, 1.75), (2, 2.75), (5, 3.35)])
def test_gaussian_blur_matches_kadids_mean_opinions(sigma: float, opinion_lost: float) -> None:
    pictures = [
        cv2.resize(p, (512, 384), interpolation=cv2.INTER_AREA)
        for p in (data.astronaut(), data.coffee(), CAT)
    ]
    mean = np.mean([strength(p, cv2.GaussianBlur(p, (0, 0), sigma)) for p in pictures])
    assert mean == pytest.approx(opinion_lost, abs=0.45)


def test_losing_detail_counts_more_than_gaining_it() -> None:
    soft = apply(CAT, "blur_gaussian", 3)
    assert strength(CAT, soft) > strength(soft, CAT) + 0.1


@pytest.mark.parametrize(
    "name", ["blur_gaussian", "noise_gaussian_RGB", "noise_poisson", "pixelate", "compression_jpeg"]
)
def test_a_level_is_as_strong_at_any_resolution(name: str) -> None:
    picture = cv2.resize(data.astronaut(), (1024, 1024), interpolation=cv2.INTER_CUBIC)
    values = []
    for side in (256, 400, 640, 1000):
        scaled = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        values.append(strength(scaled, apply(scaled, name, 3)))
    assert max(values) - min(values) < 0.5, values


def test_a_region_is_measured_where_it_is() -> None:
    mask = np.zeros(CAT.shape[:2], bool)
    mask[60:180, 100:250] = True
    other = np.zeros_like(mask)
    other[220:290, 300:430] = True
    out = inject(CAT, mask, [Op("noise_gaussian_RGB", 4)])
    assert strength(CAT, out, mask) > 1.0
    assert strength(CAT, out, other) == 0
    assert 0 < strength(CAT, out) < strength(CAT, out, mask)
    assert strength(CAT, out, np.ones_like(mask)) == pytest.approx(strength(CAT, out), abs=1e-3)


def test_a_batch_gives_what_single_calls_give() -> None:
    masks = [np.zeros(CAT.shape[:2], bool) for _ in range(2)]
    masks[0][20:120, 30:160] = True
    masks[1][150:280, 200:420] = True
    pictures = [apply(CAT, "blur_gaussian", 2), apply(CAT, "compression_jpeg", 4)]
    batch = strengths(CAT, pictures, masks)
    single = [strength(CAT, picture, mask) for picture in pictures for mask in masks]
    assert batch == pytest.approx(single, abs=0.02)
    pairs = [(pictures[0], pictures[1]), (CAT, pictures[1])]
    effects = order_effects_of(CAT, pairs, masks)
    assert effects == pytest.approx(
        [order_effect_of(CAT, *pair, mask) for pair in pairs for mask in masks], abs=0.02
    )


def test_the_order_of_blur_and_noise_is_visible_and_of_darken_and_desaturate_is_not() -> None:
    mask = np.zeros(CAT.shape[:2], bool)
    mask[60:220, 100:300] = True
    visible = order_effect(CAT, mask, Op("blur_gaussian", 3), Op("noise_gaussian_RGB", 3))
    invisible = order_effect(CAT, mask, Op("brightness_darken_shift_RGB", 2), Op("saturate_weaken_YCrCb", 2))
    assert visible > 0.7
    assert invisible < 0.4
    assert order_effect(CAT, mask, Op("noise_gaussian_RGB", 3), Op("blur_gaussian", 3)) == pytest.approx(
        visible, abs=0.3
    )
    assert order_effect(CAT, None, Op("pixelate", 2), Op("pixelate", 2)) == 0


def test_wrong_sizes_and_empty_masks_are_reported() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        strength(CAT, CAT[1:])
    with pytest.raises(ValueError, match="empty"):
        strength(CAT, CAT, np.zeros(CAT.shape[:2], bool))
    with pytest.raises(ValueError, match="mask must be"):
        strength(CAT, CAT, np.ones((3, 3), bool))
