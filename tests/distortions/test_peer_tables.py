"""Peers' level tables as they publish them, against the parameters their aliases have at their own size."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from skimage import data

from distortions import apply, resolve

KADID_SIDE, DEPICTQA_SIDE = 384, 224
Parameters = dict[str, float | str]


def of(name: str) -> Callable[[Parameters], float]:
    return lambda parameters: float(parameters[name])


def squared(name: str) -> Callable[[Parameters], float]:
    return lambda parameters: float(parameters[name]) ** 2


def pixelation(parameters: Parameters) -> float:
    return float((0.95 - 1 / float(parameters["cell"])) ** (1 / 0.6))


# number -> KADID-10k's table and how the peer's number follows from our parameters.
KADID: dict[int, tuple[list[float], Callable[[Parameters], float]]] = {
    1: ([0.1, 0.5, 1, 2, 5], of("sigma")),
    2: ([1, 2, 4, 6, 8], of("radius")),
    3: ([1, 2, 4, 6, 10], lambda p: 2 * float(p["radius"]) + 1),
    4: ([1, 3, 6, 8, 12], of("scale")),
    5: ([1, 3, 6, 8, 12], of("amount")),
    6: ([64, 48, 32, 16, 8], of("colors")),
    7: ([0.4, 0.2, 0.1, 0, -0.4], of("scale")),
    8: ([1, 2, 3, 6, 9], of("scale")),
    9: ([16, 32, 45, 120, 400], of("target")),
    10: ([43, 36, 24, 7, 4], of("quality")),
    11: ([0.001, 0.002, 0.003, 0.005, 0.01], squared("sigma")),
    12: ([0.0001, 0.0005, 0.001, 0.002, 0.003], squared("sigma")),
    13: ([0.001, 0.005, 0.01, 0.02, 0.03], of("amount")),
    14: ([0.001, 0.005, 0.01, 0.02, 0.05], squared("sigma")),
    15: ([0.01, 0.03, 0.05, 0.1, 0.15], squared("sigma")),
    16: ([0.1, 0.2, 0.4, 0.7, 1.1], of("amount")),
    17: ([0.05, 0.1, 0.2, 0.4, 0.8], lambda p: -float(p["amount"])),
    18: ([0.15, 0.08, 0, -0.08, -0.15], of("shift")),
    19: ([0.05, 0.1, 0.2, 0.5, 1], of("amount")),
    20: ([20, 40, 60, 80, 100], of("count")),
    21: ([0.01, 0.05, 0.1, 0.2, 0.5], pixelation),
    22: ([20, 16, 13, 10, 7], of("classes")),
    23: ([2, 4, 6, 8, 10], of("count")),
    24: ([1, 2, 3, 6, 12], of("amount")),
    25: ([0.3, 0.15, 0, -0.4, -0.6], of("amount")),
}

DEPICTQA: dict[str, dict[str, list[float]]] = {
    "blur_gaussian": {"sigma": [1, 2, 3, 4, 5]},
    "blur_motion": {"radius": [5, 10, 15, 15, 20], "sigma": [3, 5, 7, 9, 12]},
    "blur_glass": {"sigma": [0.7, 0.9, 1.2, 1.4, 1.6], "shift": [1, 2, 2, 3, 4], "passes": [1, 1, 2, 2, 2]},
    "blur_lens": {"radius": [2, 3, 4, 6, 8]},
    "blur_jitter": {"shift": [1, 2, 3, 4, 5]},
    "noise_gaussian_RGB": {"sigma": [0.05, 0.1, 0.15, 0.2, 0.25]},
    "noise_gaussian_YCrCb": {"sigma": [0.05, 0.06, 0.07, 0.08, 0.09], "chroma": [1, 1.45, 1.9, 2.35, 2.8]},
    "noise_speckle": {"sigma": [0.14, 0.21, 0.28, 0.35, 0.42]},
    "noise_spatially_correlated": {"sigma": [0.08, 0.11, 0.14, 0.18, 0.22], "box": [3] * 5},
    "noise_poisson": {"photons": [80, 60, 40, 25, 15]},
    "noise_impulse": {"amount": [0.01, 0.03, 0.05, 0.07, 0.1]},
    "compression_jpeg": {"quality": [25, 18, 12, 8, 5]},
    "compression_jpeg_2000": {"target": [29, 27.5, 26, 24.5, 23]},
    "brightness_brighten_shfit_HSV": {"shift": [0.1, 0.2, 0.3, 0.4, 0.5]},
    "brightness_brighten_shfit_RGB": {"shift": [0.1, 0.15, 0.2, 0.27, 0.35]},
    "brightness_brighten_gamma_HSV": {"gamma": [0.7, 0.58, 0.47, 0.36, 0.25]},
    "brightness_brighten_gamma_RGB": {"gamma": [0.8, 0.7, 0.6, 0.45, 0.3]},
    "brightness_darken_shfit_HSV": {"shift": [-0.1, -0.2, -0.3, -0.4, -0.5]},
    "brightness_darken_shfit_RGB": {"shift": [-0.1, -0.15, -0.2, -0.27, -0.35]},
    "brightness_darken_gamma_HSV": {"gamma": [1.5, 1.8, 2.2, 2.7, 3.5]},
    "brightness_darken_gamma_RGB": {"gamma": [1.4, 1.7, 2.1, 2.6, 3.2]},
    "contrast_strengthen_scale": {"factor": [1.4, 1.7, 2.1, 2.6, 4]},
    "contrast_strengthen_stretch": {"power": [2, 4, 6, 8, 10]},
    "contrast_weaken_scale": {"factor": [0.75, 0.6, 0.45, 0.3, 0.2]},
    "contrast_weaken_stretch": {"power": [1, 0.9, 0.8, 0.6, 0.4]},
    "saturate_strengthen_HSV": {"scale": [3, 6, 12, 20, 64]},
    "saturate_strengthen_YCrCb": {"scale": [2, 3, 5, 8, 16]},
    "saturate_weaken_HSV": {"scale": [0.7, 0.55, 0.4, 0.2, 0]},
    "saturate_weaken_YCrCb": {"scale": [0.6, 0.4, 0.2, 0.1, 0]},
    "oversharpen": {"amount": [2, 2.8, 4, 6, 8]},
    "pixelate": {"cell": [1 / 0.5, 1 / 0.4, 1 / 0.3, 1 / 0.25, 1 / 0.2]},
    "quantization_otsu": {"classes": [15, 11, 8, 5, 3]},
    "quantization_median": {"colors": [20, 15, 10, 6, 3]},
    "quantization_hist": {"bins": [24, 16, 8, 6, 4]},
}


@pytest.mark.parametrize("number", KADID)
def test_kadids_levels_are_those_of_its_table(number: int) -> None:
    table, back = KADID[number]
    ours = [
        back(resolve(f"kadid:{number}", level).parameters(level, KADID_SIDE)) for level in (1, 2, 3, 4, 5)
    ]
    assert ours == pytest.approx(table, rel=1e-3, abs=1e-9)


def test_kadids_diffusion_blurs_as_far_as_its_amount_says() -> None:
    entry = resolve("kadid:4")
    for level in (1, 2, 3, 4, 5):
        parameters = entry.parameters(level, KADID_SIDE)
        assert parameters["sigma"] == 1.5 * float(parameters["scale"]) + 2


@pytest.mark.parametrize("name", DEPICTQA)
def test_depictqas_levels_are_those_of_its_table(name: str) -> None:
    entry = resolve(f"depictqa:{name}")
    for parameter, table in DEPICTQA[name].items():
        ours = [float(entry.parameters(level, DEPICTQA_SIDE)[parameter]) for level in (1, 2, 3, 4, 5)]
        assert ours == pytest.approx(table, rel=1e-4)


def test_depictqas_zoom_has_the_peers_number_of_layers() -> None:
    """The peer averages the enlargements 1, 1.02, ... below its limit, as floating point counts them."""
    entry = resolve("depictqa:blur_zoom")
    for level, limit in enumerate([1.03, 1.06, 1.10, 1.15, 1.21], start=1):
        parameters = entry.parameters(level, DEPICTQA_SIDE)
        counted = math.ceil((float(parameters["last"]) - 1) / float(parameters["step"]) - 1e-9)
        assert counted == len(np.arange(1, limit, 0.02))


def test_jpeg_2000_keeps_to_its_ratio() -> None:
    import io

    from PIL import Image

    picture = np.ascontiguousarray(data.coffee()[:384, :512])
    for level, ratio in ((3, 45), (5, 400)):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(
            buffer, "JPEG2000", quality_mode="rates", quality_layers=[ratio], num_resolutions=6, no_jp2=True
        )
        assert len(buffer.getvalue()) * ratio == pytest.approx(picture.size, rel=0.05)
        buffer.seek(0)
        assert np.array_equal(apply(picture, "kadid:9", level), np.asarray(Image.open(buffer)))


def test_the_palette_has_as_many_colors_as_the_table_says() -> None:
    picture = data.coffee()[:384, :512]
    errors = []
    for level, count in enumerate([64, 48, 32, 16, 8], start=1):
        out = apply(picture, "kadid:6", level)
        assert len(np.unique(out.reshape(-1, 3), axis=0)) == count
        errors.append(float(((out.astype(float) - picture) ** 2).mean()))
    assert errors == sorted(errors)
    assert errors[0] < 60


def test_noises_of_kadid_have_the_variance_of_its_table() -> None:
    gray = np.full((384, 512, 3), 128, np.uint8)
    for level, variance in enumerate([0.001, 0.002, 0.003, 0.005, 0.01], start=1):
        noisy = apply(gray, "kadid:11", level).astype(float) / 255
        assert noisy.var() == pytest.approx(variance, rel=0.05)
    for level, variance in enumerate([0.001, 0.005, 0.01, 0.02, 0.05], start=1):
        noisy = apply(gray, "kadid:14", level).astype(float) / 255
        assert noisy.var() == pytest.approx(variance * (128 / 255) ** 2, rel=0.05)


def test_the_brightening_curve_goes_where_kadids_does() -> None:
    """Through 0, (0.5, 0.5 + amount / 2) and 1, for R, G and B; on grays Lab's L follows with a third."""
    for level, amount in enumerate([0.05, 0.1, 0.2, 0.4, 0.8], start=1):
        half = apply(np.full((4, 4, 3), 128, np.uint8), "kadid:17", level)[0, 0, 0]
        assert half == pytest.approx(255 * (128 / 255 - 2 * amount * (128 / 255) * (127 / 255)), abs=1)
    brightened = apply(np.full((4, 4, 3), 128, np.uint8), "kadid:16", 3)[0, 0]
    assert brightened.min() > 128 + 40
