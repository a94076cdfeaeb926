"""Noises: Gaussian, YCrCb, speckle, spatially correlated, Poisson, impulse. Deviations are fractions of full scale.

`grain` is the size of a noise grain in pixels of the picture at hand (see `fields.normal`).
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, pdtrik

from distortions import fields
from distortions.frame import Frame, Image

# Rows are R, G, B; columns are Y, Cr, Cb (ITU-R BT.601, full range, as OpenCV converts).
_YCRCB_TO_RGB = np.array([[1, 1.403, 0], [1, -0.714, -0.344], [1, 0, 1.773]], np.float32)
_POISSON_STEPS = 2048
_POISSON_REACH = 4.2


def gaussian(pixels: Image, frame: Frame, sigma: float, grain: float) -> Image:
    """Additive normal noise, independent in R, G and B."""
    return _add(pixels, fields.normal(frame, "noise", 3, grain), 255 * sigma)


def gaussian_ycrcb(pixels: Image, frame: Frame, sigma: float, chroma: float, grain: float) -> Image:
    """Additive normal noise in Y (`sigma`) and in Cr and Cb (`sigma * chroma`)."""
    field = fields.normal(frame, "noise", 3, grain)
    weights = np.array([1, chroma, chroma], np.float32) * (255 * sigma)
    return _add(pixels, cv2.transform(field, _YCRCB_TO_RGB * weights), 1)


def speckle(pixels: Image, frame: Frame, sigma: float, grain: float) -> Image:
    """Multiplicative normal noise: v + v n."""
    field = fields.normal(frame, "noise", 3, grain)
    return _add(pixels, cv2.multiply(pixels, field, scale=sigma, dtype=cv2.CV_32F), 1)


def correlated(pixels: Image, frame: Frame, sigma: float, box: float, grain: float, smoothed: str) -> Image:
    """Normal noise smoothed by a box of `box` pixels; with `smoothed` "picture" the picture is smoothed as well."""
    size = _odd(box)
    field = fields.normal(frame, "noise", 3, grain)
    if smoothed == "picture":
        noisy = cv2.scaleAdd(field, 255 * sigma, pixels.astype(np.float32))
        return _to_u8(cv2.blur(noisy, (size, size), borderType=cv2.BORDER_REPLICATE))
    field = cv2.blur(field, (size, size), borderType=cv2.BORDER_REPLICATE)
    return _add(pixels, field, 255 * sigma)


def correlated_padding(frame: Frame, sigma: float, box: float, grain: float, smoothed: str) -> int:
    """Reach in pixels."""
    del frame, sigma, grain, smoothed
    return _odd(box) // 2


def poisson(pixels: Image, frame: Frame, photons: float, grain: float) -> Image:
    """Poisson noise of `photons` at full scale: each pixel takes the quantile its normal field's rank says."""
    cell = max(1, round(grain))
    effective = photons * (cell / grain) ** 2
    field = fields.normal(frame, "noise", 3, cell)
    scale = _POISSON_STEPS / (2 * _POISSON_REACH)
    index = np.clip(field * scale + _POISSON_STEPS / 2, 0, _POISSON_STEPS - 1).astype(np.int32)
    index += pixels.astype(np.int32) * _POISSON_STEPS
    return np.take(_poisson_table(round(effective, 3)), index)


@lru_cache(maxsize=16)
def _poisson_table(photons: float) -> NDArray[np.uint8]:
    """Noisy value for (pixel value, normal score), flattened (256 * steps,) uint8."""
    scores = (np.arange(_POISSON_STEPS) + 0.5) / _POISSON_STEPS * 2 * _POISSON_REACH - _POISSON_REACH
    rate = np.arange(1, 256)[:, None] / 255 * photons
    counts = np.ceil(np.maximum(pdtrik(ndtr(scores)[None, :], rate), 0))
    table = np.zeros((256, _POISSON_STEPS))
    table[1:] = np.nan_to_num(counts) / photons * 255
    return np.clip(np.rint(table), 0, 255).astype(np.uint8).ravel()


def impulse(pixels: Image, frame: Frame, amount: float, grain: float) -> Image:
    """Salt and pepper in equal parts on a share `amount` of all values, each channel for itself."""
    bits = fields.cells(frame, "impulse", 3, grain)
    half = round(amount / 2 * 65536)
    out = pixels.copy()
    out[bits < half] = 0
    out[bits >= 65536 - half] = 255
    return out


def _add(pixels: Image, field: NDArray[np.float32], gain: float) -> Image:
    return _to_u8(cv2.scaleAdd(field, gain, pixels.astype(np.float32)))


def _to_u8(values: NDArray[np.float32]) -> Image:
    """Round to nearest and saturate."""
    return np.asarray(cv2.add(values, 0.0, dtype=cv2.CV_8U), dtype=np.uint8)


def _odd(size: float) -> int:
    return max(1, 2 * round((size - 1) / 2) + 1)
