"""Every pixel layout a decoder returns, as 8-bit sRGB: alpha, depth, palettes, CMYK, LAB, ICC profiles."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from schemas.errors import SampleError
from schemas.pictures.png import MAX_PROFILE_BYTES

_WHITE_IS_ZERO = 0
_PHOTOMETRIC = 262
_BAND = 256


class Pixels(NamedTuple):
    """Opaque 8-bit pixels: (H, W) for mode L, (H, W, 3) for RGB and LAB, (H, W, 4) for CMYK."""

    values: NDArray[np.uint8]
    mode: str


def flatten(image: Image.Image, notes: list[str]) -> Pixels:
    """A loaded picture as opaque 8-bit L, RGB, CMYK or LAB pixels; transparency is composited on white.

    Raises SampleError "unsupported-encoding" for depths without a defined white: float, signed and 32-bit
    samples.
    """
    if image.mode.startswith("I;16"):
        return Pixels(_upper_byte(image, notes), "L")
    if image.mode in ("I", "F"):
        raise SampleError(
            "unsupported-encoding", f"samples of mode {image.mode} have no defined black and white"
        )
    if image.has_transparency_data:
        return Pixels(_composite_on_white(image, notes), "RGB")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("RGB")
    return Pixels(_to_array(image), image.mode)


def _to_array(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels as an array, band by band: np.asarray would hold two more copies of a large picture."""
    width, height = image.size
    bands = len(image.getbands())
    values = np.empty((height, width) if bands == 1 else (height, width, bands), np.uint8)
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        values[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return values


def _upper_byte(image: Image.Image, notes: list[str]) -> NDArray[np.uint8]:
    """16-bit gray to 8: v // 256, the inverse of the 8-to-16 expansion by 257; Pillow's own rule for RGB."""
    wide = np.asarray(image)
    if image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # type: ignore[attr-defined]
        wide = 65535 - wide
    gray = (wide >> 8).astype(np.uint8)
    key = image.info.get("transparency")
    if isinstance(key, int):
        notes.append("alpha-on-white")
        gray[wide == key] = 255
    return gray


def _composite_on_white(image: Image.Image, notes: list[str]) -> NDArray[np.uint8]:
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        image.info["transparency"] = tuple(value >> 8 for value in key)
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    alpha = rgba.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return _to_array(rgba.convert("RGB"))
    notes.append("alpha-on-white")
    white = Image.new("RGB", rgba.size, (255, 255, 255))
    white.paste(rgba, mask=alpha)
    return _to_array(white)


def to_srgb(pixels: Pixels, profile: bytes | None, notes: list[str]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 sRGB. A profile that is broken or for other channels is ignored with a note."""
    image = _image(pixels)
    if pixels.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(image, lab, ImageCms.createProfile("sRGB"), outputMode="RGB")
        return np.asarray(converted)
    if profile:
        rgb = _convert_with_profile(image, profile, notes)
        if rgb is not None:
            return rgb
    if pixels.mode == "L":
        return np.repeat(pixels.values[:, :, None], 3, axis=2)
    return pixels.values if pixels.mode == "RGB" else np.asarray(image.convert("RGB"))


def _image(pixels: Pixels) -> Image.Image:
    height, width = pixels.values.shape[:2]
    values = np.ascontiguousarray(pixels.values)
    return Image.frombytes(pixels.mode, (width, height), values.tobytes())


def _convert_with_profile(image: Image.Image, profile: bytes, notes: list[str]) -> NDArray[np.uint8] | None:
    """Convert with `profile`; None when the pixels are already sRGB or the profile can't be used (noted).

    Little CMS rejects a broken profile, and one for other channels, with PyCMSError, OSError or ValueError.
    """
    if len(profile) > MAX_PROFILE_BYTES:
        notes.append("icc-ignored")
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode != "CMYK" and (source.profile.profile_description or "").startswith("sRGB"):
            return None
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), renderingIntent=intent, outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        notes.append("icc-ignored")
        return None
    if converted is None:
        raise AssertionError("profileToProfile returned no picture")
    notes.append("icc-applied")
    return np.asarray(converted)
