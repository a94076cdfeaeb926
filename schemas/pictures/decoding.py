"""Untrusted picture files to upright 8-bit RGB: limits first, then pixels, size, color and orientation."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from schemas.config import IngestConfig
from schemas.errors import SampleError
from schemas.pictures import color_profiles, headers, png

# Pillow warns about odd metadata; what matters reaches `Picture.notes` or the quarantine.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# The plugin classes themselves: only the recognized format is tried, and only `limits` applies.
_OPEN: dict[headers.Format, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
    "bmp": BmpImageFile,
    "tiff": TiffImageFile,
}
_ORIENTATION = 0x0112
_SUBFILE_TYPE, _TILE_WIDTH, _TILE_LENGTH, _DNG_VERSION = 254, 322, 323, 50706
_UNSUPPORTED = re.compile(
    r"cannot handle|unknown pixel mode|unsupported|unknown (tiff )?compression|not available", re.I
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture.

    `rgb` is (H, W, 3) uint8, contiguous, sRGB, upright, long side at most `max_side`. `width` and `height`
    are the upright size in the file, before shrinking. `notes` list what was ignored or converted:
    "icc-ignored" (a broken or unsuitable color profile), "icc-applied", "exif-ignored", "first-frame"
    (animation), "first-page" (TIFF), "alpha-on-white".
    """

    rgb: NDArray[np.uint8]
    format: headers.Format
    width: int
    height: int
    notes: tuple[str, ...]


def decode(data: bytes, limits: IngestConfig) -> Picture:
    """Decode a JPEG, PNG, WebP, BMP or TIFF file of unknown origin.

    - Byte, pixel and smallest-side limits are checked before any pixel is decoded. PNG text is never
      expanded.
    - The first frame of an animation (an animated PNG's default picture), the first page of a TIFF.
    - Transparency is composited on white. 16 bits become 8 by their upper byte, so that 0 is 0 and 65535 is
      255.
    - Shrinking uses an area filter over the full picture and never enlarges. A JPEG isn't shrunk by its DCT:
      that is sharper than the area filter, so the same photograph as PNG would give different pixels.
    - CMYK, YCCK, LAB and anything with a suitable ICC profile become sRGB; EXIF orientation is applied.

    Raises SampleError with the reason "empty-file", "too-many-bytes", "not-a-picture", "unsupported-format",
    "unsupported-encoding", "broken-header", "truncated", "broken-data", "too-many-pixels", "too-small",
    "decompression-bomb" or "out-of-memory".
    """
    if not data:
        raise SampleError("empty-file", "the file has no bytes")
    if len(data) > limits.max_bytes:
        raise SampleError("too-many-bytes", f"{len(data)} bytes; the limit is {limits.max_bytes}")
    header = headers.inspect(data)
    if header.format != "tiff":
        _check_size(header.width, header.height, limits)
    notes: list[str] = []
    profile: bytes | None = None
    if header.format == "png":
        reduced = png.reduce(data)
        data, profile = reduced.stream, reduced.profile
        notes.extend(reduced.notes)
    with _wrap_decoder_errors():
        image = _OPEN[header.format](io.BytesIO(data))
    if header.format == "tiff":
        _check_tiff(image, limits)
        if image.tag_v2.next:  # type: ignore[attr-defined]
            notes.append("first-page")
    _check_size(*image.size, limits)
    if header.format == "webp" and getattr(image, "is_animated", False):
        notes.append("first-frame")
    with _wrap_decoder_errors():
        image.load()
    width, height = image.size  # after loading, because that turns a TIFF upright
    if header.format != "png":
        profile = image.info.get("icc_profile")
    orientation = _orientation(image, notes)
    pixels = color_profiles.flatten(image, notes)
    image.close()
    pixels = color_profiles.Pixels(_shrink(pixels.values, limits.max_side), pixels.mode)
    rgb = _upright(color_profiles.to_srgb(pixels, profile, notes), orientation)
    if orientation >= 5:
        width, height = height, width
    return Picture(rgb, header.format, width, height, tuple(dict.fromkeys(notes)))


def final_size(width: int, height: int, max_side: int) -> tuple[int, int]:
    """(width, height) after limiting the long side to `max_side` pixels; never larger, at least 1."""
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _check_size(width: int, height: int, limits: IngestConfig) -> None:
    if width * height > limits.max_pixels:
        raise SampleError("too-many-pixels", f"{width} x {height} pixels; the limit is {limits.max_pixels}")
    if min(final_size(width, height, limits.max_side)) < limits.min_side:
        raise SampleError(
            "too-small",
            f"{width} x {height} pixels; the short side must be {limits.min_side} within {limits.max_side}",
        )


def _check_tiff(image: ImageFile.ImageFile, limits: IngestConfig) -> None:
    """Refuse raw camera files, whose first page is a preview, and tiles larger than a picture may be."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    if _DNG_VERSION in tags or (isinstance(tags.get(_SUBFILE_TYPE), int) and tags[_SUBFILE_TYPE] & 1):
        raise SampleError("unsupported-format", "the first page is a preview, as in raw camera files")
    tile = (tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0))
    if not all(isinstance(side, int) for side in tile):
        raise SampleError("broken-header", f"the TIFF tile size is {tile}")
    if tile[0] * tile[1] > limits.max_pixels:
        raise SampleError("too-many-pixels", f"TIFF tiles of {tile[0]} x {tile[1]} pixels")


@contextmanager
def _wrap_decoder_errors() -> Iterator[None]:
    """Turn whatever a decoder raises on a hostile file into a SampleError.

    Pillow doesn't document which exceptions its decoders raise for malformed input, hence the wide net,
    around the decoders only.
    """
    try:
        yield
    except MemoryError as error:
        raise SampleError("out-of-memory", "the decoder asked for more memory than there is") from error
    except SyntaxError as error:
        reason = "unsupported-encoding" if _UNSUPPORTED.search(str(error)) else "broken-header"
        raise SampleError(reason, str(error)) from error
    except Exception as error:
        text = str(error)
        if "truncat" in text.lower():
            reason = "truncated"
        else:
            reason = "unsupported-encoding" if _UNSUPPORTED.search(text) else "broken-data"
        raise SampleError(reason, f"{type(error).__name__}: {text}") from error


def _orientation(image: ImageFile.ImageFile, notes: list[str]) -> int:
    """EXIF orientation 1 to 8; 1 when it is missing or invalid. An unreadable EXIF block is noted."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF blocks of hostile files raise anything; the pixels are good without them
        notes.append("exif-ignored")
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _shrink(values: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Area filter to the final size of (H, W) or (H, W, C) values."""
    height, width = values.shape[:2]
    target = final_size(width, height, max_side)
    if (width, height) == target:
        return values
    return np.asarray(cv2.resize(values, target, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply EXIF orientation 1 to 8 (EXIF 2.3, tag 0x0112) to (H, W, 3)."""
    if orientation >= 5:
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)
