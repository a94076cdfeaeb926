"""Saturation: the distance of R, G and B from HSV's value or from luma, scaled."""

from __future__ import annotations

import cv2
import numpy as np

from distortions import chroma
from distortions.frame import Frame, Image

_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)


def saturate_hsv(pixels: Image, frame: Frame, scale: float, lift: float) -> Image:
    """HSV's saturation times `scale` plus `lift`, at most 1; value and hue stay.

    A negative saturation inverts hues. Gray has no hue: with a lift it becomes red.
    """
    del frame
    red, green, blue = cv2.split(pixels)
    value = cv2.max(cv2.max(red, green), blue)
    if scale <= 1 and lift == 0:
        gray = cv2.cvtColor(value, cv2.COLOR_GRAY2RGB)
        return np.asarray(cv2.addWeighted(pixels, scale, gray, 1 - scale, 0), dtype=np.uint8)
    least = cv2.min(cv2.min(red, green), blue)
    # The most that a channel's distance to the value can grow: until the least channel is 0.
    most = cv2.divide(value, cv2.subtract(value, least), dtype=cv2.CV_32F)
    if lift:
        gain = cv2.min(cv2.addWeighted(most, lift, most, 0, scale), most)
    else:
        gain = np.minimum(most, np.float32(scale))
    planes = []
    for plane in (red, green, blue):
        away = cv2.multiply(cv2.subtract(value, plane), gain, dtype=cv2.CV_8U)
        planes.append(cv2.subtract(value, away))
    if lift > 0:
        gray = cv2.compare(value, least, cv2.CMP_EQ)
        paled = cv2.convertScaleAbs(value, alpha=1 - min(lift, 1))
        for plane in planes[1:]:
            cv2.copyTo(paled, gray, plane)
    return np.asarray(cv2.merge(planes), dtype=np.uint8)


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
