"""Excessive denoising: added noise is removed together with the detail."""

from __future__ import annotations

import math

import cv2
import numpy as np

from distortions import noise
from distortions.frame import Frame, Image

# The variance that the filter assumes, relative to the noise's: it also removes detail that looks like noise.
_ZEAL = 1.5
# Luma's share of the variance of noise that is independent in R, G and B.
_LUMA_SHARE = 0.299**2 + 0.587**2 + 0.114**2


def wiener(pixels: Image, frame: Frame, sigma: float, grain: float, window: float) -> Image:
    """Normal noise of `sigma` (a fraction of full scale), then a local Wiener filter.

    The filter (J. Lee, 1980; smoothed coefficients: He, Sun and Tang's guided filter, 2010) keeps of a
    pixel's distance to its window's mean the share of luma's variance there that isn't noise. `window` is
    the side of its box in pixels, `grain` the noise grain as in `random_fields.normal`.
    """
    size = (_odd(window), _odd(window))
    noisy = noise.gaussian(pixels, frame, sigma, grain)
    luma = np.asarray(cv2.cvtColor(noisy, cv2.COLOR_RGB2GRAY), np.float32)
    border = cv2.BORDER_REPLICATE
    mean = cv2.blur(luma, size, borderType=border)
    square = cv2.sqrBoxFilter(luma, cv2.CV_32F, size, borderType=border)
    variance = np.maximum(square - mean * mean, np.float32(1e-3))
    expected = _ZEAL * _LUMA_SHARE * (255 * sigma * min(1.0, grain)) ** 2
    kept = np.maximum(1 - np.float32(expected) / variance, 0).reshape(luma.shape)
    kept = np.asarray(cv2.blur(kept, size, borderType=border), np.float32)
    smooth = cv2.blur(noisy, size, borderType=border)
    return np.asarray(cv2.blendLinear(noisy, smooth, kept, 1 - kept), dtype=np.uint8)


def wiener_padding(frame: Frame, sigma: float, grain: float, window: float) -> int:
    """Reach in pixels."""
    del frame, sigma, grain
    return 2 * (_odd(window) // 2)


def _odd(size: float) -> int:
    return max(3, 2 * math.floor(size / 2) + 1)
