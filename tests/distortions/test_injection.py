"""Injection through hostile masks, on any size of picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from distortions import Op, UnknownDistortion, catalog, inject

NAMES = [entry.name for entry in catalog()]


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    density=st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]),
    ops=st.lists(st.builds(Op, st.sampled_from(NAMES), st.integers(1, 5)), max_size=3),
    seed=st.integers(0, 2**63 - 1),
    flat=st.booleans(),
)
def test_any_mask_on_any_size(
    height: int, width: int, density: float, ops: list[Op], seed: int, flat: bool
) -> None:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if flat:
        image[:] = image[0, 0]
    mask = generator.random((height, width)) < density
    before = image.copy()
    out = inject(image, mask, ops, seed=seed)
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    assert np.array_equal(out[~mask], image[~mask])
    assert np.array_equal(image, before)
    assert not np.shares_memory(out, image)
    assert np.array_equal(out, inject(image, mask, ops, seed=seed))


def test_operations_apply_in_order() -> None:
    image = data.astronaut()[:160, :200]
    mask = np.zeros(image.shape[:2], bool)
    mask[40:120, 50:150] = True
    ab = inject(image, mask, [Op("noise_gaussian_RGB", 3), Op("blur_gaussian", 3)])
    ba = inject(image, mask, [Op("blur_gaussian", 3), Op("noise_gaussian_RGB", 3)])
    assert np.abs(ab[mask].astype(int) - ba[mask]).mean() > 1.5
    detail = [np.abs(np.diff(picture[40:120, 50:150].astype(int), axis=1)).mean() for picture in (ab, ba)]
    assert detail[0] < detail[1]


def test_the_same_operation_twice_draws_new_noise() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    mask = np.ones((64, 64), bool)
    once = inject(image, mask, [Op("noise_gaussian_RGB", 2)]).astype(int) - 128
    twice = inject(image, mask, [Op("noise_gaussian_RGB", 2)] * 2).astype(int) - 128
    assert 1.25 < twice.std() / once.std() < 1.6


def test_statistics_come_from_the_region() -> None:
    image = np.zeros((80, 80, 3), np.uint8)
    image[20:60, 20:60] = 200
    image[20:60, 20:40] = 180
    mask = image[:, :, 0] > 0
    out = inject(image, mask, [Op("contrast_weaken_scale", 5)])
    assert abs(float(out[mask].mean()) - 190) < 2
    assert np.ptp(out[mask]) < 20


def test_a_feathered_edge_is_soft_and_ends() -> None:
    image = np.full((100, 100, 3), 100, np.uint8)
    mask = np.zeros((100, 100), bool)
    mask[30:70, 30:70] = True
    hard = inject(image, mask, [Op("brightness_brighten_shift_RGB", 5)])
    soft = inject(image, mask, [Op("brightness_brighten_shift_RGB", 5)], feather=6)
    assert np.array_equal(soft[50, 50], hard[50, 50])
    assert np.array_equal(soft[:20], image[:20])
    line = soft[50, 15:45, 0].astype(int)
    assert (np.diff(line) >= 0).all()
    assert len(np.unique(line)) > 8


def test_an_image_view_with_odd_strides_passes() -> None:
    image = data.astronaut()[::3, ::-2]
    mask = np.zeros(image.shape[:2], bool)
    mask[10:50, 10:50] = True
    out = inject(image, mask, [Op("pixelate", 4), Op("compression_jpeg", 3)])
    assert np.array_equal(out[~mask], image[~mask])


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), np.ones((4, 4), bool), "uint8"),
        (np.zeros((4, 4), np.uint8), np.ones((4, 4), bool), "H, W, 3"),
        (np.zeros((0, 4, 3), np.uint8), np.ones((0, 4), bool), "H, W >= 1"),
        (np.zeros((4, 4, 3), np.uint8), np.ones((4, 5), bool), "mask must be boolean"),
        (np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8), "mask must be boolean"),
    ],
)
def test_wrong_input_is_reported(image: np.ndarray, mask: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        inject(image, mask, [Op("blur_gaussian", 1)])


def test_an_unknown_operation_is_reported_even_for_an_empty_mask() -> None:
    with pytest.raises(UnknownDistortion, match="blur_gaussian"):
        inject(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool), [Op("blur_gausian", 1)])
