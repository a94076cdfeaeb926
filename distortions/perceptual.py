"""Perceptual strength of a distortion: mean-opinion points lost, on one scale for all types.

The analysis runs on the picture area-resized to a short side of 192 pixels, so a strength doesn't depend on
resolution. Constants were fitted to KADID-10k's mean opinions (Lin, Hosu and Saupe, 2019); gradient
similarity follows GMSD (Xue et al., 2014), detail is measured by 2x2 Haar responses as in HaarPSI
(Reisenhofer et al., 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from distortions.frame import BoolMask, Image
from distortions.injection import Op, inject
from schemas.masks import bounding_box

Plane = NDArray[np.float32]

MAXIMUM = 3.41
ANALYSIS_SIDE = 192
_CONTEXT = 16
_CHROMA_SIGMA, _BRIGHTNESS_SIGMA = 2.0, 4.0
_ROUNDING = 1e-5
_GRADIENT_CONSTANT = 170.0
_DETAIL_CONSTANT = 2.0
_CHROMA_CONSTANT = 550.0
_EXPONENT = 1.84
_WEIGHT_GRADIENT, _WEIGHT_DETAIL, _WEIGHT_CHROMA, _WEIGHT_BRIGHTNESS = 8.6, 2.8, 1.44, 3.5
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32)
_PREWITT = np.array([1, 1, 1], np.float32) / 3
_STEP = np.array([1, 0, -1], np.float32)


@dataclass(frozen=True)
class Analysis:
    """A picture's planes at analysis size (h, w) float32, to be compared with several others."""

    gradient: Plane
    detail: Plane
    chroma: tuple[Plane, Plane]
    energy: Plane
    smooth: Plane


def analyze(image: Image, box: tuple[int, int, int, int] | None = None) -> Analysis:
    """The planes `strength` compares, for an (H, W, 3) uint8 RGB picture.

    `box` (top, left, bottom, right, in analysis pixels) keeps only a part; the resize always sees the whole
    picture.
    """
    small = _resize(image, analysis_size(*image.shape[:2]))
    if box is not None:
        small = small[box[0] : box[2], box[1] : box[3]]
    luma, in_phase, quadrature = (_plane(p) for p in cv2.split(cv2.transform(small.astype(np.float32), _YIQ)))
    chroma = tuple(_plane(cv2.GaussianBlur(p, (0, 0), _CHROMA_SIGMA)) for p in (in_phase, quadrature))
    gx = cv2.sepFilter2D(luma, cv2.CV_32F, _STEP, _PREWITT, borderType=cv2.BORDER_REPLICATE)
    gy = cv2.sepFilter2D(luma, cv2.CV_32F, _PREWITT, _STEP, borderType=cv2.BORDER_REPLICATE)
    return Analysis(
        gradient=_plane(cv2.magnitude(gx, gy)),
        detail=_haar(luma),
        chroma=(chroma[0], chroma[1]),
        energy=chroma[0] * chroma[0] + chroma[1] * chroma[1],
        smooth=_plane(cv2.GaussianBlur(luma, (0, 0), _BRIGHTNESS_SIGMA)),
    )


def strength(reference: Image, distorted: Image, mask: BoolMask | None = None) -> float:
    """How much worse `distorted` looks than `reference`: 0 (identical) to 3.41 mean-opinion points.

    Both are (H, W, 3) uint8 RGB of one size; `mask` (H, W) bool restricts the measure to a region. Not
    symmetric: losing detail counts, gaining detail doesn't. Raises ValueError for an empty mask or
    pictures of different sizes.
    """
    return strengths(reference, [distorted], [mask])[0]


def strengths(
    reference: Image, distorted: Sequence[Image], masks: Sequence[BoolMask | None] = (None,)
) -> list[float]:
    """`strength` of each picture for each mask, pictures outermost; the reference is analyzed once."""
    weights, box = _weigh_masks(reference, distorted, masks)
    base = analyze(reference, box)
    values = []
    for image in distorted:
        other = analyze(image, box)
        values += [_compare(base, other, weight, box, 0.0) for weight in weights]
    return values


def order_effect(image: Image, mask: BoolMask | None, a: Op, b: Op, seed: int = 0) -> float:
    """Perceptual distance between a-then-b and b-then-a inside `mask` (None: the whole picture), 0 to 3.41.

    From 0.7 up the order is visible, below 0.4 it isn't.
    """
    area = np.ones(image.shape[:2], bool) if mask is None else mask
    ab = inject(image, area, [a, b], seed)
    ba = inject(image, area, [b, a], seed)
    return order_effect_of(image, ab, ba, mask)


def order_effect_of(reference: Image, ab: Image, ba: Image, mask: BoolMask | None = None) -> float:
    """`order_effect` of two finished pictures: the larger strength of one against the other.

    Detail lost is measured against no less than the clean reference's detail, so that two nearly flat results
    don't count as different.
    """
    return order_effects_of(reference, [(ab, ba)], [mask])[0]


def order_effects_of(
    reference: Image, pairs: Sequence[tuple[Image, Image]], masks: Sequence[BoolMask | None] = (None,)
) -> list[float]:
    """`order_effect_of` for each pair and each mask, pairs outermost; the reference is analyzed once."""
    weights, box = _weigh_masks(reference, [image for pair in pairs for image in pair], masks)
    clean = analyze(reference, box)
    values = []
    for pair in pairs:
        first, second = analyze(pair[0], box), analyze(pair[1], box)
        for weight in weights:
            cut = _cut(weight, box)
            floor = _mean_of(clean.detail[cut[1], cut[2]] if cut else clean.detail, cut)
            values.append(
                max(
                    _compare(first, second, weight, box, floor),
                    _compare(second, first, weight, box, floor),
                )
            )
    return values


def _weigh_masks(
    reference: Image, images: Sequence[Image], masks: Sequence[BoolMask | None]
) -> tuple[list[_Weight], _Box | None]:
    """The masks' weights and the box that holds them all, for pictures of the reference's size."""
    for image in images:
        if image.shape != reference.shape:
            raise ValueError(f"pictures differ in size: {reference.shape} and {image.shape}")
    weights = [_weights(reference.shape[:2], mask) for mask in masks]
    return weights, _union(weights, analysis_size(*reference.shape[:2]))


def analysis_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the analyzed picture: short side 192, never enlarged."""
    scale = min(1.0, ANALYSIS_SIDE / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


_Box = tuple[int, int, int, int]
_Weight = tuple[Plane, _Box] | None


def _weights(shape: tuple[int, ...], mask: BoolMask | None) -> _Weight:
    """A mask's soft weights on the analysis grid, cut to their bounding box: (h, w) float32 summing to 1."""
    if mask is None:
        return None
    if mask.shape != shape or mask.dtype != np.bool_:
        raise ValueError(f"mask must be boolean and {shape}; got {mask.dtype} {mask.shape}")
    soft = _resize(mask.astype(np.float32), analysis_size(*mask.shape))
    x, y, w, h = bounding_box(np.greater(soft, 0))
    if w == 0:
        raise ValueError("the mask is empty: there is nothing to measure")
    part = soft[y : y + h, x : x + w]
    return part / part.sum(dtype=np.float64).astype(np.float32), (y, x, y + h, x + w)


def _union(weights: Sequence[_Weight], size: tuple[int, int]) -> _Box | None:
    """The box holding all regions with context, or None for the whole picture."""
    boxes = [weight[1] for weight in weights if weight is not None]
    if len(boxes) < len(weights) or not boxes:
        return None
    top, left = (max(0, min(box[i] for box in boxes) - _CONTEXT) for i in (0, 1))
    bottom, right = (min(size[i], max(box[i + 2] for box in boxes) + _CONTEXT) for i in (0, 1))
    return top, left, bottom, right


def _cut(weight: _Weight, box: _Box | None) -> tuple[Plane, slice, slice] | None:
    """A region's weights and the slices of the analyzed box they lie on."""
    if weight is None:
        return None
    plane, (top, left, bottom, right) = weight
    y, x = (box[0], box[1]) if box else (0, 0)
    return plane, slice(top - y, bottom - y), slice(left - x, right - x)


def _compare(a: Analysis, b: Analysis, weight: _Weight, box: _Box | None, detail_floor: float) -> float:
    """Strength of `b` against the reference `a`."""
    cut = _cut(weight, box)
    rows, columns = (cut[1], cut[2]) if cut else (slice(None), slice(None))
    ga, gb = a.gradient[rows, columns], b.gradient[rows, columns]
    product = 2 * ga * gb + _GRADIENT_CONSTANT
    difference = 1 - product / (ga * ga + gb * gb + _GRADIENT_CONSTANT)
    gradient = _mean_of(difference * difference, cut) ** 0.5
    had = a.detail[rows, columns]
    lost = _mean_of(np.maximum(had - b.detail[rows, columns], 0), cut)
    detail = lost / (max(_mean_of(had, cut), detail_floor) + _DETAIL_CONSTANT)
    di, dq = (a.chroma[i][rows, columns] - b.chroma[i][rows, columns] for i in (0, 1))
    energy = a.energy[rows, columns] + b.energy[rows, columns]
    ratio = (di * di + dq * dq) / (energy + _CHROMA_CONSTANT)
    chroma = _mean_of(ratio * ratio * ratio, cut) ** (1 / 3)
    brightness = _mean_of(np.abs(a.smooth[rows, columns] - b.smooth[rows, columns]), cut) / 255
    structure = _WEIGHT_GRADIENT * gradient + _WEIGHT_DETAIL * detail + _WEIGHT_CHROMA * chroma
    x = (structure**3 + (_WEIGHT_BRIGHTNESS * brightness) ** 3) ** (1 / 3)
    if x < _ROUNDING:
        return 0.0
    raised = x**_EXPONENT
    return float(MAXIMUM * raised / (1 + raised))


def _mean_of(values: NDArray[Any], cut: tuple[Plane, slice, slice] | None) -> float:
    """Weighted mean of values already cut to the region."""
    if cut is None:
        return float(values.mean(dtype=np.float64))
    return max(0.0, float(np.vdot(cut[0], np.ascontiguousarray(values, dtype=np.float32))))


def _haar(luma: Plane) -> Plane:
    """Sum of the magnitudes of the two 2x2 Haar responses (horizontal and vertical)."""
    up = cv2.copyMakeBorder(luma, 0, 1, 0, 1, cv2.BORDER_REPLICATE)
    a, b, c, d = up[:-1, :-1], up[:-1, 1:], up[1:, :-1], up[1:, 1:]
    return np.asarray((np.abs(a + c - b - d) + np.abs(a + b - c - d)) / 2, dtype=np.float32)


def _plane(values: NDArray[Any]) -> Plane:
    return np.asarray(values, dtype=np.float32)


def _resize(plane: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    if plane.shape[:2] == size:
        return plane
    return np.asarray(cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA))
