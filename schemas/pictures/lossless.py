"""The one lossless form pictures are stored in: PNG with the "up" filter and one pass of fast deflate."""

from __future__ import annotations

import hashlib
import struct
import zlib

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from schemas.errors import SampleError
from schemas.pictures import png

_LEVEL = 1
_UP = 2
"""PNG filter type 2: each byte minus the byte above it (PNG specification, 9.2)."""
MAX_PIXELS = 16384 * 16384


def encode(rgb: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) uint8 RGB as PNG: 8 bits, no interlacing, "up" filter, ISA-L deflate level 1.

    Equal pixels give equal bytes in one environment; another processor or deflate library may compress
    them differently, so `pixel_hash` decides identity, never these bytes. Raises ValueError for any
    other shape or type.
    """
    _check(rgb)
    height, width = rgb.shape[:2]
    flat = np.ascontiguousarray(rgb).reshape(height, width * 3)
    rows = np.empty((height, 1 + width * 3), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = isal_zlib.compress(rows, _LEVEL)
    return png.SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def load_png(data: bytes) -> NDArray[np.uint8]:
    """Decode a PNG that `encode` wrote: (H, W, 3) uint8 RGB.

    Every chunk's checksum is checked, and only 8-bit RGB without interlacing is accepted. Raises SampleError
    "not-a-picture", "truncated", "broken-data", "unsupported-encoding" or "too-many-pixels".
    """
    if not data.startswith(png.SIGNATURE):
        raise SampleError("not-a-picture", "a stored picture isn't a PNG")
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise SampleError("truncated", "a stored picture ends inside its header")
    width, height, depth, color, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if (depth, color, interlace) != (8, 2, 0):
        raise SampleError("unsupported-encoding", "a stored picture isn't plain 8-bit RGB")
    if width * height > MAX_PIXELS:
        raise SampleError("too-many-pixels", f"a stored picture claims {width} x {height} pixels")
    for name, start, end in png.chunks(data):
        png.check_chunk(data, name, start, end)
    rgb = _decode_up_filtered(data, height, width)
    if rgb is None:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        rgb = cv2.imdecode(np.frombuffer(data, np.uint8), flags)  # type: ignore[assignment]
    if rgb is None or rgb.shape != (height, width, 3):
        raise SampleError("broken-data", "the pixels of a stored picture can't be decoded")
    return np.ascontiguousarray(rgb, dtype=np.uint8)


def _decode_up_filtered(data: bytes, height: int, width: int) -> NDArray[np.uint8] | None:
    """The pixels of a PNG with exactly `encode`'s layout, in half of OpenCV's time; None for any other."""
    (length,) = struct.unpack_from(">I", data, 33)
    if data[37:41] != b"IDAT" or data[45 + length + 4 : 45 + length + 8] != b"IEND":
        return None
    size = height * (1 + width * 3)
    expander = isal_zlib.decompressobj()
    try:
        packed = expander.decompress(memoryview(data)[41 : 41 + length], size)
    except isal_zlib.error:  # type: ignore[misc]
        return None
    if len(packed) != size or not expander.eof:
        return None
    rows = np.frombuffer(packed, np.uint8).reshape(height, 1 + width * 3)
    if (rows[:, 0] != _UP).any():
        return None
    flat = np.empty((height, width * 3), np.uint8)
    flat[0] = rows[0, 1:]
    for row in range(1, height):
        np.add(flat[row - 1], rows[row, 1:], out=flat[row])
    return flat.reshape(height, width, 3)


def pixel_hash(rgb: NDArray[np.uint8]) -> str:
    """SHA-256 (64 hex digits) over "HxWx3:" and the raw RGB bytes of an (H, W, 3) uint8 array, row by row."""
    _check(rgb)
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]}x3:".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()


def _check(rgb: NDArray[np.uint8]) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"expected (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(name))
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
