"""Blurs: Gaussian, motion, glass, lens (disk), zoom, jitter.

All lengths are in pixels of the given picture.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from distortions import random_fields
from distortions.frame import Frame, Image
from schemas.hashing import rng

_BOX_SIGMA = 5.0
_BOXES = 3
LENS_GRID = 8
# The largest disk whose kernel OpenCV filters directly (11x11).
_LENS_DIRECT = 4.5
_DISK_DRAWN = 1.2
# Taps of a motion blur filtered at a time: OpenCV filters kernels up to 11x11 directly and skips their zeros.
_MOTION_PART = 11
_MOTION_PARTS = 6


def gaussian(pixels: Image, frame: Frame, sigma: float) -> Image:
    """Gaussian blur of `sigma` pixels; from 5 pixels up, three box filters of the same variance."""
    del frame
    if sigma < _BOX_SIGMA:
        return smooth(pixels, sigma)
    out = pixels
    for size in box_sizes(sigma):
        soft = cv2.blur(out, (size, size), borderType=cv2.BORDER_REPLICATE)
        out = np.asarray(soft, dtype=np.uint8)
    return out


def gaussian_padding(frame: Frame, sigma: float) -> int:
    """Reach in pixels."""
    del frame
    return sum(size // 2 for size in box_sizes(sigma)) if sigma >= _BOX_SIGMA else smooth_reach(sigma)


def smooth(pixels: Image, sigma: float) -> Image:
    """Exact small Gaussian; a copy if sigma is so small that the kernel is one pixel."""
    size = 2 * smooth_reach(sigma) + 1
    if size == 1:
        return pixels.copy()
    blurred = cv2.GaussianBlur(pixels, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, dtype=np.uint8)


def smooth_reach(sigma: float) -> int:
    """Half the width of `smooth`'s kernel: three and a half sigma."""
    return math.ceil(3.5 * sigma) if sigma > 0.15 else 0


@lru_cache(maxsize=256)
def box_sizes(sigma: float) -> tuple[int, ...]:
    """Odd widths of three box filters whose variances sum to about sigma squared.

    W. Wells, 1986; P. Kovesi, 2010.
    """
    ideal = math.sqrt(12 * sigma * sigma / _BOXES + 1)
    low = math.floor(ideal)
    low -= 1 - low % 2
    count = round((12 * sigma**2 - _BOXES * low**2 - 4 * _BOXES * low - 3 * _BOXES) / (-4 * low - 4))
    return tuple(low if i < count else low + 2 for i in range(_BOXES))


def motion(pixels: Image, frame: Frame, radius: float, sigma: float, lead: float) -> Image:
    """Motion blur of 2 `radius` + 1 pixels at a random angle, fading as a Gaussian of `sigma`.

    `lead` is the share of the line on the pixel's other side: 0 one-sided, 0.5 centered.
    """
    dy, dx, weights = motion_taps(round(2 * radius) + 1, sigma, _motion_angle(frame.seed), lead)
    if len(weights) > _MOTION_PART * _MOTION_PARTS:
        reach = int(max(np.abs(dy).max(), np.abs(dx).max()))
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        np.add.at(kernel, (reach + dy, reach + dx), weights)
        return np.asarray(cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)
    height, width = pixels.shape[:2]
    pad_y, pad_x = int(np.abs(dy).max()), int(np.abs(dx).max())
    padded = cv2.copyMakeBorder(pixels, pad_y, pad_y, pad_x, pad_x, cv2.BORDER_REPLICATE).astype(np.float32)
    total = np.zeros(pixels.shape, np.float32)
    for start in range(0, len(weights), _MOTION_PART):
        part = slice(start, start + _MOTION_PART)
        y, x = dy[part] - dy[part].min(), dx[part] - dx[part].min()
        kernel = np.zeros((int(y.max()) + 1, int(x.max()) + 1), np.float32)
        np.add.at(kernel, (y, x), weights[part])
        top, left = pad_y + int(dy[part].min()), pad_x + int(dx[part].min())
        window = padded[top : top + height + kernel.shape[0] - 1, left : left + width + kernel.shape[1] - 1]
        blurred = cv2.filter2D(window, -1, kernel, anchor=(0, 0))
        cv2.accumulate(blurred[:height, :width], total)
    return np.asarray(cv2.convertScaleAbs(total), dtype=np.uint8)


def motion_padding(frame: Frame, radius: float, sigma: float, lead: float) -> int:
    """Reach in pixels."""
    del frame, sigma, lead
    return round(2 * radius) + 1


def _motion_angle(seed: int) -> float:
    return float(rng(seed, "motion").uniform(-90, 90))


def motion_taps(
    length: int, sigma: float, angle: float, lead: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Offsets (rows, columns) and weights of taps on a line, the share `lead` of it before the pixel.

    `angle` is in degrees.
    """
    count = min(length, math.ceil(4 * sigma) + 1)
    steps = np.arange(count) - lead * (count - 1)
    weights = np.exp(-(steps**2) / (2 * sigma * sigma))
    direction = math.radians(angle)
    dy = np.ceil(steps * math.sin(direction) - 0.5).astype(np.intp)
    dx = np.ceil(steps * math.cos(direction) - 0.5).astype(np.intp)
    return dy, dx, (weights / weights.sum()).astype(np.float32)


def lens(pixels: Image, frame: Frame, radius: float, edge: float) -> Image:
    """Out-of-focus blur: a disk of `radius` pixels with an edge softened by a Gaussian of `edge` pixels.

    Disks too large to filter directly are filtered on a picture reduced 2, 4 or 8 times, with the radius
    decreased by what reducing (a box) and enlarging (a triangle) blur. Boxes must start on multiples of
    `LENS_GRID`.
    """
    del frame
    times = _lens_reduction(radius, edge)
    if times == 1:
        blurred = cv2.filter2D(pixels, -1, _disk(radius, edge), borderType=cv2.BORDER_REPLICATE)
        return np.asarray(blurred, dtype=np.uint8)
    height, width = pixels.shape[:2]
    more_y, more_x = -height % times, -width % times
    padded = cv2.copyMakeBorder(pixels, 0, more_y, 0, more_x, cv2.BORDER_REPLICATE)
    size = ((width + more_x) // times, (height + more_y) // times)
    small = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
    kernel = _disk(math.sqrt(radius**2 - times**2) / times, edge / times)
    soft = cv2.filter2D(small, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    large = cv2.resize(soft, (width + more_x, height + more_y), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large[:height, :width], dtype=np.uint8)


def lens_padding(frame: Frame, radius: float, edge: float) -> int:
    """Reach in pixels."""
    del frame
    times = _lens_reduction(radius, edge)
    return math.ceil(radius + 2 * edge) + 1 + (3 * times if times > 1 else 0)


def _lens_reduction(radius: float, edge: float) -> int:
    """How many times to reduce the picture: 1, 2, 4 or 8."""
    for times in (1, 2, 4):
        if radius + 2 * edge < _LENS_DIRECT * times:
            return times
    return LENS_GRID


@lru_cache(maxsize=64)
def _disk(radius: float, edge: float) -> NDArray[np.float32]:
    """A normalized antialiased disk kernel, float32, odd side.

    A radius too small for pixels to draw gives the 3x3 kernel of a disk's variance, radius squared over 4 an
    axis.
    """
    if radius < _DISK_DRAWN:
        variance = radius**2 * (1 / 4 + 1 / (12 * _DISK_DRAWN**2)) + edge * edge
        side = min(variance, 2 / 3) / 2
        row = np.array([side, 1 - 2 * side, side], np.float32)
        return np.outer(row, row)
    reach = max(1, math.ceil(radius + 0.5 + 2 * edge))
    fine = 8
    axis = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - (reach + 0.5)
    inside = ((axis[:, None] ** 2 + axis[None, :] ** 2) <= radius * radius).astype(np.float32)
    kernel = cv2.resize(inside, (2 * reach + 1, 2 * reach + 1), interpolation=cv2.INTER_AREA)
    if edge > 0:
        kernel = cv2.GaussianBlur(kernel, (0, 0), edge, borderType=cv2.BORDER_CONSTANT)
    if kernel.sum() <= 0:
        kernel[reach, reach] = 1
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def zoom(pixels: Image, frame: Frame, last: float, step: float) -> Image:
    """Mean of the picture and its enlargements about the center by 1, 1 + step, ... below `last`."""
    factors = zoom_factors(last, step)
    height, width = pixels.shape[:2]
    # OpenCV warps four channels in half the time it takes for three.
    four = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    total = four.astype(np.float32) * 2
    for factor in factors[1:]:
        inverse = 1 / factor
        shift_x = (frame.width - 1) / 2 * (1 - inverse) + frame.left * (inverse - 1)
        shift_y = (frame.height - 1) / 2 * (1 - inverse) + frame.top * (inverse - 1)
        matrix = np.array([[inverse, 0, shift_x], [0, inverse, shift_y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        layer = cv2.warpAffine(four, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        cv2.accumulate(layer, total)
    mean = cv2.convertScaleAbs(total, alpha=1 / (len(factors) + 1))
    return np.asarray(cv2.cvtColor(mean, cv2.COLOR_RGBA2RGB), dtype=np.uint8)


def zoom_factors(last: float, step: float) -> list[float]:
    """The enlargements: 1, 1 + step, ... while below `last` (at least 1 itself)."""
    return [1 + i * step for i in range(max(1, math.ceil((last - 1) / step - 1e-9)))]


def zoom_padding(frame: Frame, last: float, step: float) -> int:
    """Reach in pixels: how far the largest enlargement moves the box's farthest corner."""
    largest = zoom_factors(last, step)[-1]
    far_y = max(abs(frame.top - frame.height / 2), abs(frame.bottom - frame.height / 2))
    far_x = max(abs(frame.left - frame.width / 2), abs(frame.right - frame.width / 2))
    return math.ceil(max(far_x, far_y) * (1 - 1 / largest)) + 2


def jitter(pixels: Image, frame: Frame, shift: float, grain: float, passes: float, share: float) -> Image:
    """A local shuffle: cells of `grain` pixels swap places with others up to about `shift` pixels away.

    Each of the `passes` swaps pairs along both axes at the full and at half the distance, each pair with
    probability `share`, scaled by (grain / k)^2 where the grain is rounded to k pixels.
    """
    out = pixels.copy()
    cell = max(1, round(grain))
    share = min(share * (grain / cell) ** 2, max(share, 0.5))
    for number in range(max(1, round(passes))):
        for part, distance in enumerate(_jitter_distances(shift, cell)):
            for axis in (0, 1):
                _swap(out, frame, f"jitter-{number}-{part}-{axis}", axis, distance, cell, share)
    return out


def jitter_padding(frame: Frame, shift: float, grain: float, passes: float, share: float) -> int:
    """Reach in pixels: all distances of all passes, as if every swap went the same way, plus a pair."""
    del frame, share
    cell = max(1, round(grain))
    distances = _jitter_distances(shift, cell)
    return max(1, round(passes)) * sum(distances) + 2 * max(distances)


def _jitter_distances(shift: float, cell: int) -> tuple[int, ...]:
    """Distances of the swaps along each axis, multiples of `cell`: the full and half the shift."""
    whole = max(1, round(shift / cell))
    return (whole * cell, max(1, whole // 2) * cell)


def _swap(out: Image, frame: Frame, name: str, axis: int, distance: int, cell: int, share: float) -> None:
    """Swap pixels in place with those `distance` further along `axis`, each pair with probability `share`.

    Pixels pair up in blocks of two distances laid on the picture's grid, so every pixel moves at most once
    and none is lost: the result is a permutation. Pairs that cross the picture's (or box's) edge stay.
    """
    phase = int(rng(frame.seed, name).integers(0, 2 * distance // cell)) * cell
    start = frame.top if axis == 0 else frame.left
    index = np.arange(out.shape[axis])
    first = ((index + start + phase) % (2 * distance) < distance) & (index + distance < out.shape[axis])
    if not first.any():
        return
    bits = random_fields.cells(frame, name, 1, cell)[:, :, 0]
    chosen = (bits < round(share * 65536)) & (first[:, None] if axis == 0 else first)
    swapped = cv2.merge([chosen.astype(np.uint8) * 255] * 3)
    if axis == 0:
        here, there, swapped = out[:-distance], out[distance:], swapped[:-distance]
    else:
        here, there, swapped = out[:, :-distance], out[:, distance:], swapped[:, :-distance]
    change = (here ^ there) & swapped
    here ^= change
    there ^= change


def glass(
    pixels: Image, frame: Frame, sigma: float, shift: float, grain: float, passes: float, share: float
) -> Image:
    """Frosted glass: a small blur, a local shuffle, the same small blur."""
    shuffled = jitter(smooth(pixels, sigma), frame, shift, grain, passes, share)
    return smooth(shuffled, sigma)


def glass_padding(frame: Frame, sigma: float, shift: float, grain: float, passes: float, share: float) -> int:
    """Reach in pixels."""
    return 2 * smooth_reach(sigma) + jitter_padding(frame, shift, grain, passes, share)
