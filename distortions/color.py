"""Saturation: the distance of R, G and B to HSV's value or to luma, scaled."""

from __future__ import annotations

import cv2
import numpy as np

from distortions.frame import Frame, Image

_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)


def saturate_hsv(pixels: Image, frame: Frame, scale: float) -> Image:
    """Scale HSV's saturation, at most to 1; value and hue stay."""
    del frame
    red, green, blue = cv2.split(pixels)
    value = cv2.max(cv2.max(red, green), blue)
    if scale <= 1:
        grey = cv2.cvtColor(value, cv2.COLOR_GRAY2RGB)
        return np.asarray(cv2.addWeighted(pixels, scale, grey, 1 - scale, 0), dtype=np.uint8)
    least = cv2.min(cv2.min(red, green), blue)
    value_f = value.astype(np.float32)
    spread = value_f - least
    gain = np.minimum(np.float32(scale), value_f / np.maximum(spread, np.float32(0.5)))
    rest = value_f * (1 - gain)
    gain3, rest3 = cv2.cvtColor(gain, cv2.COLOR_GRAY2RGB), cv2.cvtColor(rest, cv2.COLOR_GRAY2RGB)
    product = cv2.multiply(pixels, gain3, dtype=cv2.CV_32F)
    return np.asarray(cv2.add(product, rest3, dtype=cv2.CV_8U), dtype=np.uint8)


def saturate_ycrcb(pixels: Image, frame: Frame, scale: float) -> Image:
    """Scale Cr and Cb about neutral: every channel's distance to luma times `scale`."""
    del frame
    matrix = scale * np.eye(3, dtype=np.float32) + (1 - scale) * _LUMA
    return np.asarray(cv2.transform(pixels, matrix), dtype=np.uint8)
