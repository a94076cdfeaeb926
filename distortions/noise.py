"""Noise: Gaussian, YCrCb, speckle, spatially correlated, Poisson, impulse.

Deviations are fractions of full scale. `grain` is the size of a noise grain in pixels of the given picture
(see `random_fields.normal`).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr, xlogy

from distortions import random_fields
from distortions.frame import Frame, Image

# Rows are R, G, B; columns are Y, Cr, Cb (ITU-R BT.601, full range, as OpenCV converts).
_YCRCB_TO_RGB = np.array([[1, 1.403, 0], [1, -0.714, -0.344], [1, 0, 1.773]], np.float32)
_POISSON_STEPS = 2048
_POISSON_SCALE = _POISSON_STEPS / 8.4
_POISSON_EXACT = 500.0


def gaussian(pixels: Image, frame: Frame, sigma: float, grain: float) -> Image:
    """Additive normal noise, independent in R, G and B."""
    return _add(pixels, random_fields.normal(frame, "noise", 3, grain), 255 * sigma)


def gaussian_ycrcb(pixels: Image, frame: Frame, sigma: float, chroma: float, grain: float) -> Image:
    """Additive normal noise in Y (`sigma`) and in Cr and Cb (`sigma * chroma`)."""
    field = random_fields.normal(frame, "noise", 3, grain)
    weights = np.array([1, chroma, chroma], np.float32) * (255 * sigma)
    return _add(pixels, cv2.transform(field, _YCRCB_TO_RGB * weights), 1)


def speckle(pixels: Image, frame: Frame, sigma: float, grain: float) -> Image:
    """Multiplicative normal noise: v + v n."""
    field = random_fields.normal(frame, "noise", 3, grain)
    return _add(pixels, cv2.multiply(pixels, field, scale=sigma, dtype=cv2.CV_32F), 1)


def correlated(pixels: Image, frame: Frame, sigma: float, box: float, grain: float, smoothed: str) -> Image:
    """Normal noise smoothed by a box of `box` grains; `smoothed` "picture" smooths the picture as well."""
    if smoothed == "noise":
        return _add(pixels, random_fields.normal(frame, "noise", 3, grain, round(box)), 255 * sigma)
    size = _odd(box * grain)
    field = random_fields.normal(frame, "noise", 3, grain)
    noisy = cv2.scaleAdd(field, 255 * sigma, pixels.astype(np.float32))
    return _to_u8(cv2.blur(noisy, (size, size), borderType=cv2.BORDER_REPLICATE))


def correlated_padding(frame: Frame, sigma: float, box: float, grain: float, smoothed: str) -> int:
    """Reach in pixels."""
    del frame, sigma
    return _odd(box * grain) // 2 if smoothed == "picture" else 0


def poisson(pixels: Image, frame: Frame, photons: float, grain: float) -> Image:
    """Poisson noise of `photons` at full scale: a pixel gets the quantile given by its normal field's rank.

    For a grain rounded to k pixels there are `photons * (k / grain)^2`, so that the noise looks the same from
    a distance. Above 500 photons the normal approximation is used.
    """
    cell = max(1, round(grain))
    effective = photons * (cell / grain) ** 2
    field = random_fields.normal(frame, "noise", 3, cell)
    if effective > _POISSON_EXACT:
        deviation = np.sqrt(np.arange(256) * (255 / effective)).astype(np.float32)
        return _add(pixels, cv2.multiply(field, cv2.LUT(pixels, deviation)), 1)
    index = np.clip(field * _POISSON_SCALE + _POISSON_STEPS / 2, 0, _POISSON_STEPS - 1).astype(np.int32)
    index += pixels.astype(np.int32) * _POISSON_STEPS
    return np.asarray(np.take(_poisson_table(round(effective, 2)), index), dtype=np.uint8)


@lru_cache(maxsize=16)
def _poisson_table(photons: float) -> NDArray[np.uint8]:
    """Noisy value for (pixel value, normal score), flattened (256 * steps,) uint8."""
    scores = (np.arange(_POISSON_STEPS) + 0.5 - _POISSON_STEPS / 2) / _POISSON_SCALE
    rate = np.arange(256)[:, None] / 255 * photons
    counts = np.arange(math.ceil(photons + 7 * math.sqrt(photons) + 12))
    mass = np.exp(xlogy(counts, rate) - rate - gammaln(counts + 1))
    reached = np.searchsorted(ndtr(scores), np.cumsum(mass, axis=1), side="right")
    steps = np.zeros((256, _POISSON_STEPS + 1), np.int64)
    np.add.at(steps, (np.arange(256)[:, None], reached), 1)
    table = np.cumsum(steps, axis=1)[:, :-1] * (255 / photons)
    return np.asarray(np.clip(np.rint(table), 0, 255), dtype=np.uint8).ravel()


def impulse(pixels: Image, frame: Frame, amount: float, grain: float) -> Image:
    """Salt and pepper in equal parts on a share `amount` of all values, independent in each channel.

    For a grain rounded to k pixels the share is scaled by (grain / k)^2, so that it looks the same from a
    distance.
    """
    bits = random_fields.cells(frame, "impulse", 3, grain)
    share = min(1.0, amount * (grain / max(1, round(grain))) ** 2)
    half = max(1, round(share / 2 * 65536))
    kept = (bits >= half).view(np.uint8) * np.uint8(255)
    salt = (bits >= 65536 - half).view(np.uint8) * np.uint8(255)
    return np.asarray((pixels & kept) | salt, dtype=np.uint8)


def _add(pixels: Image, field: NDArray[Any], gain: float) -> Image:
    """Pixels plus `gain` times the field, rounded and clipped."""
    noisy = cv2.addWeighted(pixels.astype(np.float32), 1, field, gain, 0, dtype=cv2.CV_8U)
    return np.asarray(noisy, dtype=np.uint8)


def _to_u8(values: NDArray[Any]) -> Image:
    """Round to nearest and clip."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def _odd(size: float) -> int:
    return max(1, 2 * round((size - 1) / 2) + 1)
