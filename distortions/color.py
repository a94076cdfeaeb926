"""Saturation: the distance of R, G and B to HSV's value or to luma, scaled."""

from __future__ import annotations

import cv2
import numpy as np

from distortions import chroma
from distortions.frame import Frame, Image

_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)


def saturate_hsv(pixels: Image, frame: Frame, scale: float, lift: float) -> Image:
    """HSV's saturation times `scale` plus `lift`, at most 1; value and hue stay.

    A negative saturation turns hues into their opposites. Grey has no hue: with a lift it becomes red.
    """
    del frame
    red, green, blue = cv2.split(pixels)
    value = cv2.max(cv2.max(red, green), blue)
    if scale <= 1 and lift == 0:
        grey = cv2.cvtColor(value, cv2.COLOR_GRAY2RGB)
        return np.asarray(cv2.addWeighted(pixels, scale, grey, 1 - scale, 0), dtype=np.uint8)
    least = cv2.min(cv2.min(red, green), blue)
    value_f = value.astype(np.float32)
    spread = np.maximum(value_f - least, np.float32(0.5))
    gain = np.minimum(np.float32(scale) + np.float32(lift) * value_f / spread, value_f / spread)
    rest = value_f * (1 - gain)
    gain3, rest3 = cv2.cvtColor(gain, cv2.COLOR_GRAY2RGB), cv2.cvtColor(rest, cv2.COLOR_GRAY2RGB)
    product = cv2.multiply(pixels, gain3, dtype=cv2.CV_32F)
    out = np.asarray(cv2.add(product, rest3, dtype=cv2.CV_8U), dtype=np.uint8)
    if lift > 0:
        grey_at = (value == least) & (value > 0)
        paled = np.rint(value_f[grey_at] * np.float32(1 - min(lift, 1))).astype(np.uint8)
        out[grey_at] = np.stack([value[grey_at], paled, paled], axis=-1)
    return out


def saturate_lab(pixels: Image, frame: Frame, scale: float) -> Image:
    """Scale Lab's a and b; L stays until a channel clips."""
    del frame
    lab = chroma.to_lab(pixels)
    lab[:, :, 1:] *= np.float32(scale)
    return chroma.from_lab(lab)


def saturate_ycrcb(pixels: Image, frame: Frame, scale: float) -> Image:
    """Scale Cr and Cb about neutral: every channel's distance to luma times `scale`."""
    del frame
    matrix = scale * np.eye(3, dtype=np.float32) + (1 - scale) * _LUMA
    return np.asarray(cv2.transform(pixels, matrix), dtype=np.uint8)
