"""The operations that the catalog refers to: the function and how many pixels around a box it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from distortions import (
    blur,
    chroma,
    compression,
    denoise,
    mosaic,
    noise,
    patches,
    quantization,
    saturation,
    sharpen,
    tone,
    warp,
    weather,
)
from distortions.frame import Frame, Image


def no_padding(frame: Frame, **parameters: float | str) -> int:
    """Reach of an operation on single pixels."""
    del frame, parameters
    return 0


@dataclass(frozen=True)
class Operation:
    """`run(pixels, frame, **parameters)` distorts a box, `padding(frame, **parameters)` is its reach.

    `grid` is the pixel grid of the picture that a box must start on (1: none). Increase `version` when the
    pixels change.
    """

    run: Callable[..., Image]
    padding: Callable[..., int] = no_padding
    grid: int = 1
    version: int = 1


OPERATIONS: dict[str, Operation] = {
    "blur.gaussian": Operation(blur.gaussian, blur.gaussian_padding),
    "blur.motion": Operation(blur.motion, blur.motion_padding),
    "blur.glass": Operation(blur.glass, blur.glass_padding),
    "blur.lens": Operation(blur.lens, blur.lens_padding, grid=blur.LENS_GRID),
    "blur.zoom": Operation(blur.zoom, blur.zoom_padding),
    "blur.jitter": Operation(blur.jitter, blur.jitter_padding),
    "blur.denoise": Operation(denoise.wiener, denoise.wiener_padding),
    "warp.jitter": Operation(warp.jitter, warp.jitter_padding),
    "warp.elastic": Operation(warp.elastic, warp.elastic_padding),
    "noise.gaussian": Operation(noise.gaussian),
    "noise.gaussian_ycrcb": Operation(noise.gaussian_ycrcb),
    "noise.speckle": Operation(noise.speckle),
    "noise.correlated": Operation(noise.correlated, noise.correlated_padding),
    "noise.poisson": Operation(noise.poisson),
    "noise.impulse": Operation(noise.impulse),
    "compression.jpeg": Operation(compression.jpeg, compression.jpeg_padding, grid=compression.JPEG_GRID),
    "compression.jpeg_2000": Operation(compression.jpeg_2000, compression.jpeg_2000_padding),
    "tone.shift_rgb": Operation(tone.shift_rgb),
    "tone.shift_hsv": Operation(tone.shift_hsv),
    "tone.gamma_rgb": Operation(tone.gamma_rgb),
    "tone.gamma_hsv": Operation(tone.gamma_hsv),
    "tone.bend": Operation(tone.bend),
    "tone.contrast_curve": Operation(tone.contrast_curve),
    "tone.contrast_scale": Operation(tone.contrast_scale),
    "tone.contrast_stretch": Operation(tone.contrast_stretch),
    "color.saturate_hsv": Operation(saturation.saturate_hsv),
    "color.saturate_ycrcb": Operation(saturation.saturate_ycrcb),
    "color.saturate_lab": Operation(saturation.saturate_lab),
    "chroma.diffusion": Operation(chroma.diffusion, chroma.diffusion_padding),
    "chroma.shift": Operation(chroma.shift, chroma.shift_padding),
    "sharpen.unsharp": Operation(sharpen.unsharp, sharpen.unsharp_padding),
    "mosaic.pixelate": Operation(mosaic.pixelate, mosaic.pixelate_padding),
    "patches.displaced": Operation(patches.displaced, patches.displaced_padding),
    "patches.blocks": Operation(patches.blocks),
    "weather.fog": Operation(weather.fog),
    "weather.frost": Operation(weather.frost),
    "weather.snow": Operation(weather.snow),
    "weather.water": Operation(weather.water),
    "weather.mud": Operation(weather.mud),
    "quantization.otsu": Operation(quantization.otsu),
    "quantization.median_cut": Operation(quantization.median_cut),
    "quantization.equalized": Operation(quantization.equalized),
    "quantization.palette": Operation(quantization.palette),
}
