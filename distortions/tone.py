"""Brightness and contrast: curves on values, as look-up tables."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from distortions.frame import Frame, Image

_VALUES = np.arange(256, dtype=np.float64) / 255


def shift_rgb(pixels: Image, frame: Frame, shift: float) -> Image:
    """Add `shift` (a fraction of full scale, signed) to R, G and B."""
    del frame
    return _lookup(pixels, _VALUES + shift)


def gamma_rgb(pixels: Image, frame: Frame, gamma: float) -> Image:
    """Raise R, G and B (0 to 1) to `gamma`."""
    del frame
    return _lookup(pixels, _VALUES**gamma)


def shift_hsv(pixels: Image, frame: Frame, shift: float, ceiling: float) -> Image:
    """Add `shift` to HSV's value, at most up to `ceiling`; hue and saturation stay until a channel clips.

    A ceiling of 1 keeps hues; one of 2 lets the largest channel clip and so washes bright colours out.
    """
    del frame
    return _value_curve(pixels, np.minimum(_VALUES + shift, ceiling))


def gamma_hsv(pixels: Image, frame: Frame, gamma: float) -> Image:
    """Raise HSV's value to `gamma`; hue and saturation stay."""
    del frame
    return _value_curve(pixels, _VALUES**gamma)


def contrast_scale(pixels: Image, frame: Frame, factor: float) -> Image:
    """Scale the distance to the region's mean luma by `factor`."""
    red, green, blue = cv2.mean(pixels, mask=frame.mask_u8())[:3]
    mean = round(0.299 * red + 0.587 * green + 0.114 * blue) / 255
    return _lookup(pixels, mean + factor * (_VALUES - mean))


def contrast_stretch(pixels: Image, frame: Frame, power: float, pivot: str) -> Image:
    """An S-curve of `power` about each channel's mean m over the region.

    `pivot` "mean" keeps the mean: logit(v') = logit(m) + power (logit(v) - logit(m)). `pivot` "half" is
    DepictQA's 1 / (1 + (m / v)^power), which moves the mean to one half.
    """
    means = np.array(cv2.mean(pixels, mask=frame.mask_u8())[:3]) / 255
    values = _VALUES[:, None]
    if pivot == "half":
        curve = 1 / (1 + (means / (values + 1e-12)) ** power)
    else:
        exponent = power * (_logit(values) - _logit(means)) + _logit(means)
        curve = 1 / (1 + np.exp(-np.clip(exponent, -60, 60)))
    table = np.clip(np.rint(curve * 255), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, table[None]), dtype=np.uint8)


def _logit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(v / (1 - v)) with v kept 1/1000 off 0 and 1."""
    inner = np.clip(values, 0.001, 0.999)
    return np.asarray(np.log(inner / (1 - inner)), dtype=np.float64)


def _lookup(pixels: Image, curve: NDArray[np.float64]) -> Image:
    table = np.clip(np.rint(curve * 255), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, table), dtype=np.uint8)


def _value_curve(pixels: Image, curve: NDArray[np.float64]) -> Image:
    """Map HSV's value through `curve`: all channels times curve(v) / v; black becomes grey of curve(0)."""
    value = np.maximum(np.maximum(pixels[:, :, 0], pixels[:, :, 1]), pixels[:, :, 2])
    gain = np.zeros(256, np.float32)
    gain[1:] = curve[1:] / _VALUES[1:]
    factor = cv2.cvtColor(cv2.LUT(value, gain), cv2.COLOR_GRAY2RGB)
    out = np.asarray(cv2.multiply(pixels, factor, dtype=cv2.CV_8U), dtype=np.uint8)
    if curve[0] > 0:
        out[value == 0] = round(min(curve[0], 1.0) * 255)
    return out
