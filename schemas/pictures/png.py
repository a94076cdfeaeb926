"""PNG files at chunk level: checked, and reduced to the chunks that determine the pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.errors import SampleError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 100_000
MAX_PROFILE_BYTES = 8_000_000
"""Printers' color profiles reach about 3 MB; more than this is a decompression bomb."""

# Text, time, animation and private chunks never affect the default picture's pixels: they are never expanded.
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND")


@dataclass(frozen=True, slots=True)
class ReducedPng:
    """`stream`: the file with only the chunks that matter. `profile`: the expanded ICC profile, or None."""

    stream: bytes
    profile: bytes | None
    notes: tuple[str, ...]


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) of every chunk up to IEND, `data[start:end]` being the whole chunk.

    Raises SampleError "truncated" (no IEND, or a chunk runs past the end) or "broken-data".
    """
    position = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if position + 12 > len(data):
            raise SampleError("truncated", f"the PNG ends after {len(data)} bytes, before its end chunk")
        (length,) = struct.unpack_from(">I", data, position)
        name, end = data[position + 4 : position + 8], position + 12 + length
        if not name.isalpha():
            raise SampleError("broken-data", f"PNG chunk name {name!r} at byte {position}")
        if end > len(data):
            raise SampleError(
                "truncated", f"the PNG ends inside the {name.decode('ascii')} chunk at byte {position}"
            )
        yield name, position, end
        if name == b"IEND":
            return
        position = end
    raise SampleError("broken-data", f"a PNG of more than {MAX_CHUNKS} chunks")


def check_chunk(data: bytes, name: bytes, start: int, end: int) -> None:
    """Raises SampleError "broken-data" when the chunk's checksum doesn't match its content."""
    stored = int.from_bytes(data[end - 4 : end], "big")
    if zlib.crc32(memoryview(data)[start + 4 : end - 4]) != stored:
        raise SampleError(
            "broken-data", f"the checksum of the PNG chunk {name.decode('ascii')} at byte {start} is wrong"
        )


def reduce(data: bytes) -> ReducedPng:
    """Check the chunks that determine the pixels, drop the rest. Raises as `chunks` and `check_chunk` do."""
    kept, notes, profile = [SIGNATURE], [], None
    for name, start, end in chunks(data):
        if name in _KEPT:
            check_chunk(data, name, start, end)
            kept.append(data[start:end])
        elif name == b"iCCP" and profile is None:
            profile = _expand_profile(data[start + 8 : end - 4])
            if profile is None:
                notes.append("icc-ignored")
        elif name == b"acTL":
            notes.append("first-frame")
        elif not name[0] & 0x20:
            raise SampleError("broken-data", f"unknown critical PNG chunk {name.decode('ascii')}")
    if not any(part[4:8] == b"IDAT" for part in kept):
        raise SampleError("broken-data", "a PNG without picture data")
    return ReducedPng(b"".join(kept), profile, tuple(notes))


def _expand_profile(content: bytes) -> bytes | None:
    """The profile of an iCCP chunk (name, zero, method, zlib stream); None when broken or too large."""
    _, _, packed = content.partition(b"\x00")
    expander = zlib.decompressobj()
    try:
        profile = expander.decompress(packed[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if expander.eof else None
