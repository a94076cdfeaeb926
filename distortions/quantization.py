"""Color quantization: multi-level Otsu, median cut and equalized bins per channel, palettes of all channels.

All work on histograms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from distortions.frame import Frame, Image
from distortions.tone import apply_table

_OTSU_BINS = 30
_COARSE = 1 << 15
Histogram = NDArray[np.float64]
_TableMaker = Callable[[Histogram], NDArray[np.float64]]


def otsu(pixels: Image, frame: Frame, classes: float, values: str) -> Image:
    """Multi-level Otsu: thresholds on 30 bins that leave the least variance within `classes` classes.

    `values` "means" gives each class its mean; "steps" is DepictQA's: equal steps up from the channel's
    minimum. A channel with fewer filled bins than classes gets one class per bin.
    """
    return _by_channel(pixels, frame, lambda histogram: _otsu_table(histogram, round(classes), values))


def median_cut(pixels: Image, frame: Frame, colors: float) -> Image:
    """Median cut: split the fullest range at its median until there are `colors`; each gets its mean."""
    return _by_channel(pixels, frame, lambda histogram: _median_cut_table(histogram, round(colors)))


def equalized(pixels: Image, frame: Frame, bins: float, values: str) -> Image:
    """`bins` equal bins over 0..255, from all channels together.

    `values` "equalized" is DepictQA's: bin i takes the equalized histogram's value, which also stretches
    contrast; "means" gives a bin its mean.
    """
    count = max(2, round(bins))
    mask = frame.mask_u8()
    histogram = sum(_histogram(pixels, channel, mask) for channel in range(3))
    assert isinstance(histogram, np.ndarray)
    index = np.rint(np.arange(256) / 255 * (count - 1)).astype(int)
    if values == "equalized":
        edges = np.minimum(np.arange(256) * count // 255, count - 1)
        total = np.bincount(edges, histogram, count).cumsum()
        filled = total[total > 0]
        spread = filled[-1] - filled[0]
        levels = (total - filled[0]) * 255 / spread if spread > 0 else np.linspace(0, 255, count)
        levels = np.clip(levels, 0, 255)
    else:
        weight = np.bincount(index, histogram, count)
        mean = np.bincount(index, histogram * np.arange(256), count)
        levels = np.where(weight > 0, mean / np.maximum(weight, 1), np.linspace(0, 255, count))
    return apply_table(pixels, np.rint(levels).astype(np.uint8)[index])


def palette(pixels: Image, frame: Frame, colors: float) -> Image:
    """`colors` colors for R, G and B together: minimum-variance color quantization (Wu, 1992), no dither.

    Boxes of colors are cut in two where the squared error falls most, the largest gain first; each color
    becomes its box's mean. Colors are distinguished by the upper five bits of each channel.
    """
    index = _coarse(pixels)
    if frame.mask is None:
        chosen, values = index.ravel(), pixels.reshape(-1, 3)
    else:
        chosen, values = index[frame.mask], pixels[frame.mask]
    counts = np.bincount(chosen, minlength=_COARSE)
    filled = np.flatnonzero(counts)
    weight = counts[filled].astype(np.float64)
    sums = [np.bincount(chosen, values[:, channel], _COARSE)[filled] for channel in range(3)]
    points = np.stack(sums, axis=-1) / weight[:, None]
    table = np.zeros((_COARSE, 3), np.uint8)
    # Colors outside the region's histogram (its padding) keep their coarse value.
    shifts = np.arange(_COARSE)[:, None] >> np.array([10, 5, 0])
    table[:] = (shifts & 31) * 8 + 4
    table[filled] = np.rint(_min_variance(points, weight, max(1, round(colors))))
    return np.asarray(np.take(table, index, axis=0), dtype=np.uint8)


def _coarse(pixels: Image) -> NDArray[np.int32]:
    """The upper five bits of R, G and B as one number, (h, w) int32."""
    red, green, blue = (np.right_shift(p, 3).astype(np.int32) for p in cv2.split(pixels))
    return (red << 10) | (green << 5) | blue


def _min_variance(points: Histogram, weight: Histogram, colors: int) -> Histogram:
    """Each of (n, 3) weighted points replaced by the mean of its box."""
    boxes = [np.arange(len(points))]
    cuts = [_best_cut(points, weight)]
    while len(boxes) < colors:
        gains = [gain for gain, _ in cuts]
        largest = int(np.argmax(gains))
        if gains[largest] <= 0:
            break
        box, (_, lower) = boxes[largest], cuts[largest]
        halves = [box[lower], box[~lower]]
        boxes[largest : largest + 1] = halves
        cuts[largest : largest + 1] = [_best_cut(points[half], weight[half]) for half in halves]
    out = np.empty_like(points)
    for box in boxes:
        out[box] = weight[box] @ points[box] / weight[box].sum()
    return out


def _best_cut(points: Histogram, weight: Histogram) -> tuple[float, NDArray[np.bool_]]:
    """How much the best cut across an axis lowers the squared error, and which points lie below it."""
    best, below = 0.0, np.zeros(len(points), bool)
    total, mass = weight @ points, weight.sum()
    for axis in range(3):
        order = np.argsort(points[:, axis], kind="stable")
        w = np.cumsum(weight[order])[:-1]
        s = np.cumsum(weight[order, None] * points[order], axis=0)[:-1]
        apart = np.diff(points[order, axis]) > 0
        if not apart.any():
            continue
        error = (s**2).sum(1) / w + ((total - s) ** 2).sum(1) / (mass - w) - (total**2).sum() / mass
        at = int(np.argmax(np.where(apart, error, -np.inf)))
        if error[at] > best:
            best, below = float(error[at]), np.zeros(len(points), bool)
            below[order[: at + 1]] = True
    return best, below


def _by_channel(pixels: Image, frame: Frame, table_of: _TableMaker) -> Image:
    mask = frame.mask_u8()
    tables = [table_of(_histogram(pixels, channel, mask)) for channel in range(3)]
    table = np.stack(tables, axis=-1)[None]
    return np.asarray(cv2.LUT(pixels, np.clip(np.rint(table), 0, 255).astype(np.uint8)), dtype=np.uint8)


def _histogram(pixels: Image, channel: int, mask: Image | None) -> Histogram:
    return np.asarray(cv2.calcHist([pixels], [channel], mask, [256], [0, 256]), dtype=np.float64).ravel()


def _otsu_table(histogram: Histogram, classes: int, values: str) -> NDArray[np.float64]:
    """Value for each of 256 inputs."""
    filled = np.flatnonzero(histogram)
    low, high = int(filled[0]), int(filled[-1])
    inputs = np.arange(256, dtype=np.float64)
    if low == high:
        return inputs
    bin_of = np.clip(((inputs - low) * _OTSU_BINS / (high - low)).astype(int), 0, _OTSU_BINS - 1)
    weight = np.bincount(bin_of, histogram, _OTSU_BINS)
    count = max(1, min(classes, int((weight > 0).sum())))
    ends = _best_partition(weight, count)
    class_of = np.searchsorted(ends, bin_of, side="right")
    if values == "steps":
        return np.asarray(class_of * (high - low) / classes + low, dtype=np.float64)
    total = np.bincount(class_of, histogram, count)
    mean = np.bincount(class_of, histogram * inputs, count) / np.maximum(total, 1e-9)
    return np.asarray(np.where(total > 0, mean, low)[class_of], dtype=np.float64)


def _best_partition(weight: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """The first bin of each class but the first, for the partition with the most variance between classes.

    Exact dynamic programming over prefixes (Liao, Chen and Chung, 2001 give the criterion).
    """
    size = len(weight)
    mass = np.concatenate([[0], np.cumsum(weight)])
    moment = np.concatenate([[0], np.cumsum(weight * np.arange(size))])
    spread = mass[None, :] - mass[:, None]
    gain = np.where(spread > 0, (moment[None, :] - moment[:, None]) ** 2 / np.maximum(spread, 1e-9), 0)
    gain[np.tril_indices(size + 1)] = -np.inf
    best = gain[0].copy()
    choice = np.zeros((classes, size + 1), np.int64)
    for step in range(1, classes):
        candidates = best[:, None] + gain
        choice[step] = candidates.argmax(axis=0)
        best = candidates.max(axis=0)
    ends, position = [], size
    for step in range(classes - 1, 0, -1):
        position = int(choice[step, position])
        ends.append(position)
    return np.array(ends[::-1], np.int64)


def _median_cut_table(histogram: Histogram, colors: int) -> NDArray[np.float64]:
    """Value for each of 256 inputs."""
    inputs = np.arange(256, dtype=np.float64)
    mass = np.concatenate([[0], np.cumsum(histogram)])
    moment = np.concatenate([[0], np.cumsum(histogram * inputs)])
    ranges = [(0, 256)]
    while len(ranges) < colors:
        splits = [(mass[b] - mass[a], i) for i, (a, b) in enumerate(ranges) if _can_split(histogram[a:b])]
        if not splits:
            break
        _, index = max(splits)
        a, b = ranges[index]
        filled = np.flatnonzero(histogram[a:b]) + a
        middle = int(np.searchsorted(mass, (mass[a] + mass[b]) / 2))
        middle = min(max(middle, int(filled[0]) + 1), int(filled[-1]))
        ranges[index : index + 1] = [(a, middle), (middle, b)]
    table = inputs.copy()
    for a, b in ranges:
        if mass[b] > mass[a]:
            table[a:b] = (moment[b] - moment[a]) / (mass[b] - mass[a])
    return table


def _can_split(histogram: Histogram) -> bool:
    return int((histogram > 0).sum()) > 1
