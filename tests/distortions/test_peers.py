"""Peers' levels under their aliases against the peer itself, at the size the levels were set at."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from distortions import apply, resolve, weather

Image = NDArray[np.uint8]


@cache
def picture() -> Image:
    return cv2.resize(data.coffee(), (336, 224), interpolation=cv2.INTER_AREA)


def peer(name: str, severity: int, image: Image | None = None, seed: int = 0) -> Image:
    """imagecorruptions' result; it still uses names that scikit-image and NumPy have dropped."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        from imagecorruptions import corrupt, corruptions

        module: Any = corruptions
        original = module.gaussian

        def renamed(
            picture: NDArray[Any], *args: Any, multichannel: bool = False, **rest: Any
        ) -> NDArray[Any]:
            return np.asarray(original(picture, *args, channel_axis=-1 if multichannel else None, **rest))

        patch.setattr(module, "gaussian", renamed)
        patch.setattr(np, "float_", np.float64, raising=False)
        np.random.seed(seed)  # noqa: NPY002
        shown = picture() if image is None else image
        corrupted = corrupt(shown.copy(), corruption_name=name, severity=severity)
        return np.asarray(corrupted, dtype=np.uint8)


def test_every_corruption_of_imagecorruptions_has_an_alias() -> None:
    from imagecorruptions import get_corruption_names

    for name in get_corruption_names("all"):
        for level in range(1, 6):
            assert resolve(f"imagecorruptions:{name}", level).source


DETERMINISTIC = (
    "defocus_blur", "zoom_blur", "gaussian_blur", "jpeg_compression", "pixelate", "brightness", "contrast",
    "saturate",
)  # fmt: skip


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_ones_agree_within_two_gray_levels(name: str, severity: int) -> None:
    ours = apply(picture(), f"imagecorruptions:{name}", severity)
    assert np.abs(ours.astype(int) - peer(name, severity)).mean() < 2


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", ["snow", "frost", "fog", "elastic_transform", "spatter", "motion_blur"])
def test_random_scenes_agree_in_mean_and_deviation(
    name: str, severity: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No two draws are alike: their change is compared over many, on a square picture.

    The peer never draws its sixth photograph of frost; for the comparison, neither does this.
    """
    monkeypatch.setattr(weather, "_FROST_FILES", weather._FROST_FILES[:5])
    image = np.ascontiguousarray(picture()[:, 56:280])
    alias, seeds = f"imagecorruptions:{name}", range({"fog": 40, "frost": 150}.get(name, 10))
    theirs = [peer(name, severity, image, seed).astype(float) - image for seed in seeds]
    ours = [apply(image, alias, severity, seed).astype(float) - image for seed in seeds]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=5)
    assert np.std(ours) == pytest.approx(np.std(theirs), rel=0.1, abs=1)


def test_frost_draws_all_six_photographs_the_peer_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    black = np.zeros((224, 224, 3), np.uint8)
    requested: set[int] = set()
    texture = weather._frost_texture
    monkeypatch.setattr(weather, "_frost_texture", lambda index: requested.add(index) or texture(index))
    for seed in range(60):
        assert apply(black, "imagecorruptions:frost", 5, seed).any()
    assert requested == set(range(6))


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise", "shot_noise", "impulse_noise"])
def test_noises_agree_in_mean_and_deviation(name: str, severity: int) -> None:
    image = picture().astype(float)
    ours = apply(picture(), f"imagecorruptions:{name}", severity) - image
    theirs = peer(name, severity) - image
    assert ours.mean() == pytest.approx(theirs.mean(), abs=1.5)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.05)


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_glass_agrees_in_how_far_it_moves_values(severity: int) -> None:
    image = picture()[:64, :96]
    ours = np.abs(
        apply(picture(), "imagecorruptions:glass_blur", severity)[:64, :96].astype(int) - image
    ).mean()
    theirs = np.abs(peer("glass_blur", severity)[:64, :96].astype(int) - image).mean()
    assert ours == pytest.approx(theirs, rel=0.35)


def test_poisson_noise_has_the_variance_of_its_photons() -> None:
    for value, photons in [(40, 40), (128, 40), (100, 15)]:
        flat = np.full((224, 400, 3), value, np.uint8)
        level = {40: 3, 15: 5}[photons]
        noisy = apply(flat, "depictqa:noise_poisson", level).astype(float) / 255
        mean = value / 255
        assert noisy.mean() == pytest.approx(mean, abs=0.01)
        assert noisy.std() == pytest.approx((mean / photons) ** 0.5, rel=0.06)


@pytest.mark.parametrize("level", [1, 3, 5])
def test_median_cut_and_otsu_leave_as_many_values_as_the_table_says(level: int) -> None:
    for alias, counts in [
        ("depictqa:quantization_otsu", (15, 11, 8, 5, 3)),
        ("depictqa:quantization_median", (20, 15, 10, 6, 3)),
        ("depictqa:quantization_hist", (24, 16, 8, 6, 4)),
    ]:
        out = apply(picture(), alias, level)
        found = [len(np.unique(out[:, :, channel])) for channel in range(3)]
        assert max(found) <= counts[level - 1]
        assert max(found) >= 0.6 * counts[level - 1]


def test_multi_otsu_finds_scikit_images_thresholds() -> None:
    from skimage.filters import threshold_multiotsu

    gray = picture()[:, :, 1]
    thresholds = threshold_multiotsu(gray, classes=4, nbins=30)
    flat = np.repeat(gray[:, :, None], 3, axis=2)
    from distortions.frame import Frame
    from distortions.quantization import otsu

    out = otsu(flat, Frame.whole(flat, 0), 4, "means")[:, :, 0]
    ours = np.unique(out, return_inverse=True)[1].reshape(gray.shape)
    theirs = np.digitize(gray, bins=thresholds)
    assert (ours == theirs).mean() > 0.97
