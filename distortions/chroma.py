"""Misplaced color: chroma diffused across edges, one channel shifted against the others.

All lengths are in pixels of the given picture.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from distortions import blur
from distortions.frame import Frame, Image
from schemas.hashing import rng

# Edges are measured on gradients smoothed by this sigma at a short side of 384 (KADID-10k's pictures).
_EDGE_SIGMA = 4.0
_EDGE_SIDE = 384
_EDGE_BINS = 1024
_EDGE_TAIL = 0.01


def diffusion(pixels: Image, frame: Frame, sigma: float, scale: float) -> Image:
    """Lab's a and b blurred by a Gaussian of `sigma` pixels and multiplied by `scale`; L stays."""
    del frame
    lab = to_lab(pixels)
    tint = np.ascontiguousarray(lab[:, :, 1:])
    lab[:, :, 1:] = _blur_plane(tint, sigma).reshape(tint.shape) * np.float32(scale)
    return from_lab(lab)


def diffusion_padding(frame: Frame, sigma: float, scale: float) -> int:
    """Reach in pixels."""
    del frame, scale
    return _blur_reach(sigma)


def shift(pixels: Image, frame: Frame, amount: float) -> Image:
    """The green channel shifted by `amount` pixels in a random direction, mixed in more at stronger edges.

    The mix is the pixel's smoothed gradient, scaled from 0 at the region's 1st percentile to 1 at its 99th.
    """
    angle = rng(frame.seed, "shift").uniform(0, math.pi / 2)
    move = np.array([[1, 0, amount * math.cos(angle)], [0, 1, amount * math.sin(angle)]], np.float32)
    share = _edge_strength(pixels, frame)
    green = np.ascontiguousarray(pixels[:, :, 1])
    moved = cv2.warpAffine(green, move, green.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    moved = np.asarray(moved, np.float32)
    out = pixels.copy()
    out[:, :, 1] = np.rint(green + (moved - green) * share).astype(np.uint8)
    return out


def shift_padding(frame: Frame, amount: float) -> int:
    """Reach in pixels."""
    return math.ceil(amount) + 1 + _blur_reach(_edge_sigma(frame)) + 1


def to_lab(pixels: Image) -> NDArray[np.float32]:
    """CIE L*a*b* of sRGB, float32 (h, w, 3): L 0 to 100."""
    return np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)


def from_lab(lab: NDArray[np.float32]) -> Image:
    """sRGB of L*a*b*, clipped."""
    rgb = cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)
    return np.asarray(cv2.addWeighted(rgb, 255, rgb, 0, 0, dtype=cv2.CV_8U), dtype=np.uint8)


def _edge_strength(pixels: Image, frame: Frame) -> NDArray[np.float32]:
    """Edge strength 0 to 1, (h, w) float32."""
    luma = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)
    dx = cv2.filter2D(luma, cv2.CV_32F, np.array([[-0.5, 0, 0.5]]), borderType=cv2.BORDER_REPLICATE)
    dy = cv2.filter2D(luma, cv2.CV_32F, np.array([[-0.5], [0], [0.5]]), borderType=cv2.BORDER_REPLICATE)
    strength = _blur_plane(np.asarray(cv2.magnitude(dx, dy), np.float32), _edge_sigma(frame))
    counts = cv2.calcHist([strength], [0], frame.mask_u8(), [_EDGE_BINS], [0, 256]).ravel()
    below = np.cumsum(counts) / max(counts.sum(), 1)
    low, high = (int(np.searchsorted(below, at)) * 256 / _EDGE_BINS for at in (_EDGE_TAIL, 1 - _EDGE_TAIL))
    spread = max(high + 256 / _EDGE_BINS - low, 1.0)
    return np.asarray(np.clip((strength - low) / spread, 0, 1), np.float32)


def _edge_sigma(frame: Frame) -> float:
    return _EDGE_SIGMA * frame.short_side / _EDGE_SIDE


def _blur_plane(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A Gaussian blur of float planes; from sigma 3 up, three box filters."""
    if sigma < 3:
        size = 2 * blur.smooth_reach(sigma) + 1
        soft = cv2.GaussianBlur(plane, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(soft, np.float32)
    for size in blur.box_sizes(sigma):
        plane = np.asarray(cv2.blur(plane, (size, size), borderType=cv2.BORDER_REPLICATE), np.float32)
    return plane


def _blur_reach(sigma: float) -> int:
    return blur.smooth_reach(sigma) if sigma < 3 else sum(size // 2 for size in blur.box_sizes(sigma))
