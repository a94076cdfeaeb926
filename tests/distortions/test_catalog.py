"""Every entry of the catalog at every level: what `apply` and `inject` promise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data
from sklearn.datasets import load_sample_image

from distortions import Op, apply, catalog, inject, resolve, strengths

NAMES = [entry.name for entry in catalog()]
LOCAL = [entry.name for entry in catalog() if entry.extent == "local"]
ALIASES = sorted(alias for entry in catalog() for alias in entry.aliases)
BY_LEVEL = ["kadid:18", "kadid:25", "imagecorruptions:saturate", "imagecorruptions:spatter"]
LEVELS = (1, 2, 3, 4, 5)
Image = NDArray[np.uint8]


def shrunk(picture: Image, short_side: int) -> Image:
    height, width = picture.shape[:2]
    scale = short_side / min(height, width)
    size = (round(width * scale), round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


@cache
def photographs() -> tuple[Image, ...]:
    pictures = (
        data.astronaut(),
        data.chelsea(),
        data.coffee(),
        data.rocket(),
        load_sample_image("china.jpg"),
        load_sample_image("flower.jpg"),
    )
    return tuple(shrunk(picture, 256) for picture in pictures)


@cache
def region() -> NDArray[np.bool_]:
    """Two components, one with a hole, on odd coordinates."""
    mask = np.zeros(photographs()[0].shape[:2], bool)
    mask[61:131, 37:119] = True
    mask[90:101, 60:75] = False
    mask[171:190, 203:211] = True
    return mask


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_apply_gives_a_new_picture_of_the_same_kind_and_again_the_same(name: str, level: int) -> None:
    image = photographs()[0][:200, :173]
    before = image.copy()
    out = apply(image, name, level, seed=3)
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    assert not np.shares_memory(out, image)
    assert np.array_equal(image, before)
    assert not np.array_equal(out, image)
    assert np.array_equal(out, apply(image, name, level, seed=3))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_inject_changes_the_region_and_nothing_else(name: str, level: int) -> None:
    image, mask = photographs()[0], region()
    before, mask_before = image.copy(), mask.copy()
    out = inject(image, mask, [Op(name, level)], seed=1)
    assert np.array_equal(out[~mask], image[~mask])
    assert not np.array_equal(out[mask], image[mask])
    assert np.array_equal(image, before)
    assert np.array_equal(mask, mask_before)
    assert not np.shares_memory(out, image)


@pytest.mark.parametrize("level", [1, 3, 5])
@pytest.mark.parametrize("name", LOCAL)
def test_a_local_entry_gives_in_the_region_what_it_gives_on_the_whole_picture(name: str, level: int) -> None:
    image, mask = photographs()[0], region()
    crop = inject(image, mask, [Op(name, level)], seed=1)
    whole = inject(image, np.ones_like(mask), [Op(name, level)], seed=1)
    assert np.abs(crop[mask].astype(int) - whole[mask]).max() <= 1
    assert np.array_equal(whole, apply(image, name, level, seed=1))


@pytest.mark.parametrize(
    "ops", [["blur_gaussian", "compression_jpeg"], ["noise_impulse", "blur_glass", "pixelate"]]
)
def test_a_chain_of_local_entries_sees_enough_around_its_region(ops: list[str]) -> None:
    image, mask = photographs()[1], np.zeros(photographs()[1].shape[:2], bool)
    mask[101:157, 99:183] = True
    chain = [Op(name, 3) for name in ops]
    crop = inject(image, mask, chain, seed=1)
    whole = inject(image, np.ones_like(mask), chain, seed=1)
    assert np.array_equal(crop[mask], whole[mask])


@pytest.mark.parametrize("name", NAMES)
def test_strength_rises_with_the_level_on_photographs(name: str) -> None:
    total = np.zeros(len(LEVELS))
    for number, image in enumerate(photographs()):
        total += strengths(image, [apply(image, name, level, seed=number) for level in LEVELS])
    mean = total / len(photographs())
    assert (np.diff(mean) > 0.05).all(), mean
    assert mean[0] > 0.1


@pytest.mark.parametrize("name", NAMES + ALIASES + BY_LEVEL)
def test_tiny_flat_and_black_pictures_pass(name: str) -> None:
    for height, width in [(1, 1), (1, 9), (2, 3), (17, 5), (33, 64)]:
        for value in (0, 128, 255):
            image = np.full((height, width, 3), value, np.uint8)
            for level in (1, 5):
                out = apply(image, name, level)
                assert out.shape == image.shape
                assert out.dtype == np.uint8


@pytest.mark.parametrize(
    "name", ["noise_gaussian_RGB", "blur_jitter", "compression_jpeg_2000", "quantization_otsu"]
)
def test_threads_give_the_same_pixels(name: str) -> None:
    image = photographs()[2]
    alone = [apply(image, name, 3, seed) for seed in range(6)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: apply(image, name, 3, seed), range(6)))
    for a, b in zip(alone, together, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_no_entry_touches_the_global_generator(name: str) -> None:
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    apply(photographs()[0][:64, :64], name, 2, seed=9)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize("name", [name for name in NAMES if resolve(name).category == "noise"])
def test_another_seed_draws_other_noise(name: str) -> None:
    image = photographs()[0]
    assert not np.array_equal(apply(image, name, 3, seed=1), apply(image, name, 3, seed=2))


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_applies_the_peers_levels(alias: str) -> None:
    image = photographs()[0]
    out = apply(image, alias, 3)
    entry = resolve(alias)
    assert entry.alias == alias
    assert entry.name == resolve(entry.name).name
    assert out.shape == image.shape


def test_black_and_flat_regions_of_a_photograph_take_every_entry() -> None:
    image = photographs()[0].copy()
    mask = np.zeros(image.shape[:2], bool)
    mask[10:60, 10:60] = True
    image[mask] = 0
    for name in NAMES:
        out = inject(image, mask, [Op(name, 5)])
        assert np.array_equal(out[~mask], image[~mask])
