"""The distortion benchmark's peers: imagecorruptions' 19 functions, albumentations' matching ones."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Call = Callable[[], object]


@dataclass(frozen=True)
class Twin:
    """One of our operations and albumentations' transform that does the same, at matched parameters.

    `note` says where the two differ; `same` means that they are still equivalent. Others are timed, but not
    counted.
    """

    operation: str
    parameters: dict[str, float | str]
    transform: str
    arguments: dict[str, Any]
    note: str = ""
    same: bool = True


_PIXELATE = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_NEAREST}


def _fixed(value: float) -> tuple[float, float]:
    return value, value


TWINS = (
    Twin(
        "blur.gaussian",
        {"sigma": 3},
        "GaussianBlur",
        {"sigma_limit": _fixed(3), "blur_limit": (23, 23)},
        "the same 23-pixel kernel",
    ),
    Twin(
        "blur.motion",
        {"radius": 10, "sigma": 20, "lead": 0.5},
        "MotionBlur",
        {"blur_limit": (21, 21), "angle_range": (30, 30)},
        "a line of 21 pixels; ours is one-sided",
    ),
    Twin("blur.lens", {"radius": 6, "edge": 0.5}, "Defocus", {"radius": (6, 6), "alias_blur": _fixed(0.5)}),
    Twin(
        "blur.zoom",
        {"last": 1.16, "step": 0.01},
        "ZoomBlur",
        {"max_factor": _fixed(1.16), "step_factor": _fixed(0.01)},
        "16 layers",
    ),
    Twin(
        "blur.glass",
        {"sigma": 1, "shift": 2, "grain": 1, "passes": 2, "share": 0.5},
        "GlassBlur",
        {"sigma": 1, "max_delta": 2, "iterations": 2, "mode": "fast"},
        "theirs shuffles a vectorized part",
    ),
    Twin(
        "noise.gaussian",
        {"sigma": 0.18, "grain": 1},
        "GaussNoise",
        {"std_range": _fixed(0.18), "per_channel": True},
    ),
    Twin(
        "noise.gaussian_ycrcb",
        {"sigma": 0.07, "chroma": 1.9, "grain": 1},
        "ISONoise",
        {"color_shift": _fixed(0.05), "intensity": _fixed(0.5)},
        "theirs in HLS",
    ),
    Twin(
        "noise.speckle",
        {"sigma": 0.35, "grain": 1},
        "MultiplicativeNoise",
        {"multiplier": (0.4, 1.6), "per_channel": True, "elementwise": True},
        "theirs uniform",
    ),
    Twin("noise.poisson", {"photons": 40, "grain": 1}, "ShotNoise", {"scale_range": _fixed(1 / 40)}),
    Twin(
        "noise.impulse",
        {"amount": 0.09, "grain": 1},
        "SaltAndPepper",
        {"amount": _fixed(0.09), "salt_vs_pepper": _fixed(0.5)},
        "ours per channel",
    ),
    Twin("compression.jpeg", {"quality": 15}, "ImageCompression", {"quality_range": (15, 15)}),
    Twin(
        "tone.shift_rgb",
        {"shift": 0.2},
        "RandomBrightnessContrast",
        {"brightness_limit": _fixed(0.2), "contrast_limit": _fixed(0)},
    ),
    Twin(
        "tone.contrast_scale",
        {"factor": 0.6, "pivot": "luma"},
        "ColorJitter",
        {"brightness": _fixed(1), "contrast": _fixed(0.6), "saturation": _fixed(1), "hue": _fixed(0)},
    ),
    Twin("tone.gamma_rgb", {"gamma": 0.6}, "RandomGamma", {"gamma_limit": _fixed(60)}),
    Twin(
        "tone.shift_hsv",
        {"shift": 0.3, "ceiling": 1},
        "HueSaturationValue",
        {"hue_shift_limit": _fixed(0), "sat_shift_limit": _fixed(0), "val_shift_limit": _fixed(76)},
    ),
    Twin(
        "color.saturate_hsv",
        {"scale": 1, "lift": 60 / 255},
        "HueSaturationValue",
        {"hue_shift_limit": _fixed(0), "sat_shift_limit": _fixed(60), "val_shift_limit": _fixed(0)},
    ),
    Twin(
        "color.saturate_ycrcb",
        {"scale": 2},
        "ColorJitter",
        {"brightness": _fixed(1), "contrast": _fixed(1), "saturation": _fixed(2), "hue": _fixed(0)},
    ),
    Twin(
        "quantization.equalized",
        {"bins": 8, "values": "means"},
        "Posterize",
        {"num_bits": 3},
        "related: theirs drops bits, ours uses the bins' means",
        same=False,
    ),
    Twin(
        "sharpen.unsharp",
        {"amount": 4, "sigma": 1.5},
        "UnsharpMask",
        {"blur_limit": (13, 13), "sigma_limit": _fixed(1.5), "alpha": _fixed(1), "threshold": 0},
    ),
    Twin(
        "mosaic.pixelate",
        {"cell": 4},
        "Downscale",
        {"scale_range": _fixed(0.25), "interpolation_pair": _PIXELATE},
    ),
    Twin("warp.elastic", {"amount": 2, "smooth": 10}, "ElasticTransform", {"alpha": 40, "sigma": 10}),
    Twin("weather.water", {"smooth": 2, "level": 0.1, "strength": 0.6}, "Spatter", {"mode": "rain"}),
)


def albumentations_call(twin: Twin, image: Image) -> Call:
    """The peer's transform, always applied. Raises ImportError when albumentations isn't installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transform = getattr(importlib.import_module("albumentations"), twin.transform)(**twin.arguments, p=1)
    return lambda: transform(image=image)


def imagecorruptions_calls(image: Image, severity: int) -> dict[str, Call]:
    """The peer's functions by name, with what current NumPy and scikit-image removed restored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from imagecorruptions import corrupt, corruptions, get_corruption_names
    gaussian = corruptions.gaussian

    def with_channel_axis(
        x: NDArray[Any], sigma: float, multichannel: bool = False, **rest: Any
    ) -> NDArray[Any]:
        """skimage.filters.gaussian, whose `multichannel` is now called `channel_axis`."""
        return np.asarray(gaussian(x, sigma=sigma, channel_axis=-1 if multichannel else None, **rest))

    corruptions.gaussian = with_channel_axis
    if not hasattr(np, "float_"):
        setattr(np, "float_", np.float64)  # noqa: B010

    def call(name: str) -> Call:
        return lambda: corrupt(image, corruption_name=name, severity=severity)

    return {name: call(name) for name in get_corruption_names("all")}
