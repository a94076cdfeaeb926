"""Brightness and contrast: curves on values, as lookup tables."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import stringzilla
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from distortions import chroma
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

    A ceiling of 1 keeps hues; a ceiling of 2 lets the largest channel clip, which washes out bright colors.
    """
    del frame
    return _value_curve(pixels, np.minimum(_VALUES + shift, ceiling))


def gamma_hsv(pixels: Image, frame: Frame, gamma: float) -> Image:
    """Raise HSV's value to `gamma`; hue and saturation stay."""
    del frame
    return _value_curve(pixels, _VALUES**gamma)


def bend(pixels: Image, frame: Frame, amount: float, lab: float) -> Image:
    """A parabola through 0, 1 and 1/2 + `amount` / 2 at one half, clipped: v + 2 amount v (1 - v).

    Applied to R, G and B; a share `lab` of the result has it applied to Lab's L instead.
    """
    del frame
    rgb = _lookup(pixels, _VALUES + 2 * amount * _VALUES * (1 - _VALUES))
    if lab == 0:
        return rgb
    space = chroma.to_lab(pixels)
    light = space[:, :, 0] / 100
    space[:, :, 0] = np.clip(light + 2 * amount * light * (1 - light), 0, 1) * 100
    return np.asarray(cv2.addWeighted(rgb, 1 - lab, chroma.from_lab(space), lab, 0), dtype=np.uint8)


def contrast_curve(pixels: Image, frame: Frame, amount: float) -> Image:
    """A cubic spline through (.3, .25 - amount / 4), (.5, .5) and (.7, .75 + amount / 4), 0 and 1, clipped.

    An amount of -0.2 changes nothing; a larger one strengthens contrast, a smaller one weakens it.
    """
    del frame
    return _lookup(pixels, _contrast_values(amount))


@lru_cache(maxsize=64)
def _contrast_values(amount: float) -> NDArray[np.float64]:
    knots = [0, 0.3, 0.5, 0.7, 1], [0, 0.25 - amount / 4, 0.5, 0.75 + amount / 4, 1]
    values = np.asarray(CubicSpline(*knots)(_VALUES), dtype=np.float64)
    values.setflags(write=False)
    return values


def contrast_scale(pixels: Image, frame: Frame, factor: float, pivot: str) -> Image:
    """Scale the distance to the region's mean by `factor`.

    `pivot` "luma" scales about the mean luma, "channels" each channel about its own mean.
    """
    means = np.array(cv2.mean(pixels, mask=frame.mask_u8())[:3])
    if pivot == "luma":
        mean = round(float(means @ (0.299, 0.587, 0.114))) / 255
        return _lookup(pixels, mean + factor * (_VALUES - mean))
    curve = means / 255 + factor * (_VALUES[:, None] - means / 255)
    table = np.clip(np.rint(curve * 255), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, table[None]), dtype=np.uint8)


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
    """log(v / (1 - v)) with v clipped to 1/1000 from 0 and 1."""
    inner = np.clip(values, 0.001, 0.999)
    return np.asarray(np.log(inner / (1 - inner)), dtype=np.float64)


def _lookup(pixels: Image, curve: NDArray[np.float64]) -> Image:
    table = np.clip(np.rint(curve * 255), 0, 255).astype(np.uint8)
    return apply_table(pixels, table)


def apply_table(pixels: Image, table: NDArray[np.uint8]) -> Image:
    """Map every value through a table of 256 bytes; StringZilla's SIMD takes a fifth of cv2.LUT's time."""
    out = pixels.copy()
    stringzilla.translate(out.reshape(-1).data, table.data, inplace=True)
    return out


def _value_curve(pixels: Image, curve: NDArray[np.float64]) -> Image:
    """Map HSV's value through `curve`: all channels times curve(v) / v; black becomes gray of curve(0)."""
    red, green, blue = cv2.split(pixels)
    value = np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8)
    gain = np.zeros(256, np.float32)
    gain[1:] = curve[1:] / _VALUES[1:]
    factor = cv2.LUT(value, gain)
    planes = [cv2.multiply(plane, factor, dtype=cv2.CV_8U) for plane in (red, green, blue)]
    if curve[0] > 0:
        floor = np.zeros(256, np.uint8)
        floor[0] = round(min(curve[0], 1.0) * 255)
        black = apply_table(value, floor)
        planes = [cv2.max(plane, black) for plane in planes]
    return np.asarray(cv2.merge(planes), dtype=np.uint8)
