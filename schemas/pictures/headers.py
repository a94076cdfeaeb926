"""What a picture file claims to be, read from its first bytes before any decoder sees it."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Literal

from schemas.errors import SampleError
from schemas.pictures.png import SIGNATURE as PNG_SIGNATURE

Format = Literal["jpeg", "png", "webp", "bmp", "tiff"]

MAX_SCANS = 128
"""Progressive JPEG: real encoders write about ten scans; each scan costs a pass over every pixel."""

_TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)

# (offset, magic, name): picture formats that are recognized only to be rejected by name.
_UNSUPPORTED: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypcrx", "Canon CR3"),
    (8, b"CR\x02\x00", "Canon CR2"),
    (0, b"FUJIFILMCCD-RAW", "Fuji RAF"),
    (0, b"IIRO", "Olympus ORF"),
    (0, b"IIU\x00", "Panasonic RW2"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
)
_NETPBM = re.compile(rb"P[1-7f]\s")
_SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Header:
    """Format and stored size in pixels; 0 x 0 for TIFF, whose size is only in its directory."""

    format: Format
    width: int
    height: int


def inspect(data: bytes) -> Header:
    """Recognize `data` by content, never by name.

    Raises SampleError "not-a-picture", "unsupported-format", "unsupported-encoding", "broken-header",
    "truncated" or "decompression-bomb".
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(PNG_SIGNATURE):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    for offset, magic, name in _UNSUPPORTED:
        if data.startswith(magic, offset):
            raise SampleError("unsupported-format", f"this is {name}; JPEG, PNG, WebP, BMP and TIFF are read")
    if data.startswith(_TIFF_MAGIC):
        return _tiff(data)
    if data[:2] == b"BM" and (len(data) < 18 or _u32(data, 14) in _BMP_HEADER_SIZES):
        return _bmp(data)
    if _NETPBM.match(data):
        raise SampleError("unsupported-format", "this is Netpbm; JPEG, PNG, WebP, BMP and TIFF are read")
    if _SVG.search(data, 0, 1024):
        raise SampleError("unsupported-format", "this is SVG; JPEG, PNG, WebP, BMP and TIFF are read")
    raise SampleError("not-a-picture", f"the file begins with {data[:12]!r}")


def _u32(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def _make_header(kind: Format, width: int, height: int) -> Header:
    if width < 1 or height < 1:
        raise SampleError("broken-header", f"the header says {width} x {height} pixels")
    return Header(kind, width, height)


def _png(data: bytes) -> Header:
    if len(data) < 33:
        raise SampleError("truncated", f"the file ends after {len(data)} bytes, inside the PNG header")
    if data[8:16] != b"\x00\x00\x00\rIHDR":
        raise SampleError("broken-header", "the first PNG chunk isn't IHDR")
    width, height = struct.unpack_from(">II", data, 16)
    return _make_header("png", width, height)


def _bmp(data: bytes) -> Header:
    if len(data) < 26:
        raise SampleError("truncated", f"the file ends after {len(data)} bytes, inside the BMP header")
    if _u32(data, 14) in (12, 16):
        width, height = struct.unpack_from("<HH" if _u32(data, 14) == 12 else "<II", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return _make_header("bmp", width, abs(height))  # a negative height stores the rows from top to bottom


def _tiff(data: bytes) -> Header:
    """Only whether the first directory lies inside the file: many writers put it at the very end."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    big = 0x2B in data[2:4]
    start, count_bytes, entry_bytes = (8, 8, 20) if big else (4, 2, 12)
    offset = int.from_bytes(data[start : start + (8 if big else 4)], order)
    count = int.from_bytes(data[offset : offset + count_bytes], order)
    if offset + count_bytes + count * entry_bytes > len(data):
        raise SampleError("truncated", f"the TIFF directory at byte {offset} lies behind the end of the file")
    return Header("tiff", 0, 0)


def _webp(data: bytes) -> Header:
    if len(data) < 30:
        raise SampleError("truncated", f"the file ends after {len(data)} bytes, inside the WebP header")
    if len(data) < _u32(data, 4) + 8:
        raise SampleError("truncated", f"the file has {len(data)} of {_u32(data, 4) + 8} bytes")
    chunk = data[12:16]
    if chunk == b"VP8X":
        bits = int.from_bytes(data[24:30], "little")
        return _make_header("webp", (bits & 0xFFFFFF) + 1, (bits >> 24) + 1)
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return _make_header("webp", width & 0x3FFF, height & 0x3FFF)
    if chunk == b"VP8L" and data[20] == 0x2F:
        bits = _u32(data, 21)
        return _make_header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    raise SampleError("broken-header", f"the first WebP chunk {chunk!r} has no picture header")


# A marker inside entropy-coded data: FF followed by neither a stuffed zero, a restart marker nor padding.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _jpeg(data: bytes) -> Header:
    """Walk the segments to the frame header; a progressive file is walked to its end to count the scans."""
    position, found, scans, progressive = 2, None, 0, False
    while True:
        match = _NEXT_MARKER.search(data, position)
        if match is None:
            break
        marker, position = data[match.start() + 1], match.end()
        if marker == 0xD9:
            break
        if marker in (0x01, 0xD8):
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        if length < 2 or position + length > len(data):
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and found is None:
            if length < 8:
                raise SampleError("broken-header", "the JPEG frame header is too short")
            precision, height, width = struct.unpack_from(">BHH", data, position + 2)
            if precision != 8:
                raise SampleError("unsupported-encoding", f"a JPEG of {precision} bits a sample; 8 are read")
            found, progressive = _make_header("jpeg", width, height), marker in (0xC2, 0xC6, 0xCA, 0xCE)
        position += length
        if marker == 0xDA:
            scans += 1
            if data.find(b"\xff\xd9", position) < 0:
                raise SampleError(
                    "truncated", "the JPEG has no end marker: its tail is missing or overwritten"
                )
            if not progressive:
                break
            if scans > MAX_SCANS:
                raise SampleError("decompression-bomb", f"a progressive JPEG of more than {MAX_SCANS} scans")
    if found is None:
        raise SampleError("truncated", "the file ends before the JPEG frame header")
    return found
