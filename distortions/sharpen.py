"""Oversharpening: a much too strong unsharp mask."""

from __future__ import annotations

import cv2
import numpy as np

from distortions import blur
from distortions.frame import Frame, Image


def unsharp(pixels: Image, frame: Frame, amount: float, sigma: float) -> Image:
    """`(1 + amount) v - amount G(v)` with G a Gaussian of `sigma` pixels."""
    soft = blur.gaussian(pixels, frame, sigma)
    return np.asarray(cv2.addWeighted(pixels, 1 + amount, soft, -amount, 0), dtype=np.uint8)


def unsharp_padding(frame: Frame, amount: float, sigma: float) -> int:
    """Reach in pixels."""
    del amount
    return blur.gaussian_padding(frame, sigma)
