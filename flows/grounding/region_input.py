"""Pictures and regions as a command line gives them: files, points, boxes and masks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.config import IngestConfig
from schemas.errors import InputError, SampleError
from schemas.masks import BoolMask

if TYPE_CHECKING:
    from inference.grounded_answer import Encoded, Segmenter

RgbImage = NDArray[np.uint8]

LIMITS = IngestConfig(max_side=16384, min_side=16)
"""A picture is taken at its own size, so that points and masks are in its pixels."""
_BOX_FITS = 0.5
_NUMBERS = re.compile(r"\s*-?\d+(\.\d+)?(\s*,\s*-?\d+(\.\d+)?)*\s*")


def open_picture(path: Path) -> RgbImage:
    """The picture in a file as (H, W, 3) uint8 RGB, upright, at its own size. Raises InputError."""
    from schemas.pictures import decode

    try:
        size = path.stat().st_size
        if size > LIMITS.max_bytes:
            raise InputError(f"{path}: has {size} bytes; the limit is {LIMITS.max_bytes}")
        return decode(path.read_bytes(), LIMITS).rgb
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}; give a picture") from error
    except SampleError as error:
        raise InputError(f"{path}: {error.reason}: {error.detail}; give another picture") from error


def open_mask(path: Path, shape: tuple[int, ...]) -> BoolMask:
    """The region that a picture file marks by all that isn't black, of the shape (H, W, ...) of the picture
    it belongs to. Raises InputError.
    """
    mask: BoolMask = np.asarray(open_picture(path).any(axis=2))
    if mask.shape != shape[:2]:
        raise InputError(
            f"{path}: is {mask.shape[1]} x {mask.shape[0]} pixels, the picture {shape[1]} x {shape[0]}; "
            "give a mask of its size"
        )
    if not mask.any():
        raise InputError(f"{path}: is black all over; mark the region in white")
    return mask


def numbers(text: str, count: int, form: str) -> list[float]:
    """`count` numbers with commas between. Raises InputError that names the `form` wanted."""
    if not _NUMBERS.fullmatch(text) or text.count(",") != count - 1:
        raise InputError(f"{text!r} is not {form}, in pixels")
    return [float(part) for part in text.split(",")]


def is_place(text: str) -> bool:
    """Whether a text is numbers with commas, as points and boxes are, and no file."""
    return _NUMBERS.fullmatch(text) is not None and "," in text


def region_at(encoded: Encoded, point: str) -> BoolMask:
    """What the segmenter sees at "x,y" in pixels. Raises InputError for a point outside the picture."""
    x, y = numbers(point, 2, "a point x,y")
    height, width = encoded.size
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(f"the point {point} is outside the picture of {width} x {height} pixels")
    found = encoded.segment([np.array([[(x + 0.5) / width, (y + 0.5) / height]])])[0].mask
    if not found.any():
        raise InputError(f"the segmenter sees no region at {point}; give a box or a mask")
    return found


def region_in(encoded: Encoded, box: str) -> BoolMask:
    """The region of the segmenter that fills the box "x,y,w,h" in pixels best, or else the box itself.

    Raises InputError for a box that isn't inside the picture.
    """
    x, y, width, height = numbers(box, 4, "a box x,y,w,h")
    rows, columns = encoded.size
    left, top = round(x), round(y)
    right, bottom = round(x + width), round(y + height)
    if not (0 <= left < right <= columns and 0 <= top < bottom <= rows):
        raise InputError(f"the box {box} is not inside the picture of {columns} x {rows} pixels")
    inside = np.zeros(encoded.size, bool)
    inside[top:bottom, left:right] = True
    center = np.array([[(left + right) / 2 / columns, (top + bottom) / 2 / rows]])
    offered = [region.mask for region in encoded.regions()] + [encoded.segment([center])[0].mask]
    fits = [_overlap(mask, inside) for mask in offered]
    best = int(np.argmax(fits))
    return offered[best] if fits[best] >= _BOX_FITS else inside


def region_given(segmenter: Segmenter, picture: RgbImage, text: str) -> BoolMask:
    """The region of "x,y,w,h", of "x,y", or of a picture file that masks it. Raises InputError."""
    if not is_place(text):
        return open_mask(Path(text), picture.shape)
    encoded = segmenter.encode(picture)
    return region_at(encoded, text) if text.count(",") == 1 else region_in(encoded, text)


def _overlap(first: BoolMask, second: BoolMask) -> float:
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 0.0
