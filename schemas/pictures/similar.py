"""Near duplicates: a perceptual hash proposes, the shape and a thumbnail confirm."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_HASHED = 128
_SIDE = 12
_THUMBNAIL_BYTES = _SIDE * _SIDE * 3
_ASPECT_UNIT = 1 / 512
"""Aspect ratios are kept as log2(width / height) in steps of this, about 0.14 %."""
_MAX_ASPECT_STEPS = 15
"""Two aspect ratios within about 2 % are equal: resizing and trimming a row or two keep it."""
_FLOOR, _SHARE = 1.0, 0.2
"""Thumbnails agree when they differ on average by at most 1 gray level plus a fifth of their contrast."""


def perceptual_hash(rgb: NDArray[np.uint8]) -> str:
    """64-bit DCT hash (imagehash.phash) of an (H, W, 3) uint8 picture, as 16 hex digits.

    The picture is first reduced to 128 x 128 by an area filter, which takes a fifth of the time of hashing
    it at full size.
    """
    return str(imagehash.phash(Image.fromarray(_small(rgb))))


def fingerprint(rgb: NDArray[np.uint8]) -> str:
    """What `near_duplicates` compares: "hash-aspect-thumbnail" in hex (886 ASCII characters).

    hash: `perceptual_hash`. aspect: log2(width / height) / _ASPECT_UNIT + 32768, 16 bits. thumbnail: 12 x
    12 RGB.
    """
    height, width = rgb.shape[:2]
    aspect = round(float(np.log2(width / height)) / _ASPECT_UNIT) + 32768
    small = _small(rgb)
    thumbnail = cv2.resize(small, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    code = imagehash.phash(Image.fromarray(small))
    return f"{code}-{aspect:04x}-{thumbnail.tobytes().hex()}"


def _small(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(rgb, (_HASHED, _HASHED), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def near_duplicates(items: Iterable[tuple[str, str]], bits: int) -> dict[str, str]:
    """Which pictures to drop, as {dropped id: kept id}, from (id, `fingerprint`) pairs in any order.

    Ids are processed in ascending order; a picture is dropped when it is near one already kept (the smallest
    such id is reported), so the result doesn't depend on the order of `items` and every dropped picture is
    near a kept one. Near: hashes differ in at most `bits` bits (0 to 64; negative turns the search off),
    aspect ratios within about 2 %, and thumbnails within 1 gray level plus a fifth of the smaller contrast
    (standard deviation). The last two separate flat pictures, whose hashes collide: another color or another
    faint pattern isn't a duplicate. Each picture is compared with the kept ones in one vector operation:
    100,000 pictures take seconds. Raises ValueError for a repeated id or a malformed fingerprint.
    """
    if bits < 0:
        return {}
    pairs = sorted(items)
    kept = NearPictures(bits)
    dropped: dict[str, str] = {}
    if len({identifier for identifier, _ in pairs}) != len(pairs):
        raise ValueError("near_duplicates got the same id twice")
    for identifier, text in pairs:
        near = kept.find(identifier, text, first=True)
        if near:
            dropped[identifier] = near[0]
        else:
            kept.add(identifier, text)
    return dropped


class NearPictures:
    """Pictures to compare others with, by `fingerprint` or by `perceptual_hash` alone.

    Near means what it does in `near_duplicates`; a bare hash has neither shape nor thumbnail to confirm it.
    Memory: 444 bytes per picture. Looking one up among 100,000 takes about 0.1 ms.
    """

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._ids: list[str] = []
        self._hashes = np.empty(64, np.uint64)
        self._aspects = np.empty(64, np.int32)
        self._thumbnails = np.empty((64, _THUMBNAIL_BYTES), np.uint8)

    def add(self, identifier: str, text: str) -> None:
        """Add a picture. Raises ValueError for a malformed fingerprint."""
        count = len(self._ids)
        if count == len(self._hashes):
            self._hashes = np.resize(self._hashes, 2 * count)
            self._aspects = np.resize(self._aspects, 2 * count)
            self._thumbnails = np.resize(self._thumbnails, (2 * count, _THUMBNAIL_BYTES))
        bare = "-" not in text
        code, aspect, thumbnail = _parse(identifier, f"{text}-0-{'00' * _THUMBNAIL_BYTES}" if bare else text)
        self._hashes[count] = code
        self._aspects[count] = _ANY_ASPECT if bare else aspect
        self._thumbnails[count] = thumbnail
        self._ids.append(identifier)

    def find(self, identifier: str, text: str, first: bool = False) -> list[str]:
        """Ids of the pictures near one with this fingerprint, in the order they were added.

        With `first` only the first. Raises ValueError for a malformed fingerprint.
        """
        code, aspect, thumbnail = _parse(identifier, text)
        distances = np.bitwise_count(self._hashes[: len(self._ids)] ^ np.uint64(code))
        found: list[str] = []
        for other in np.flatnonzero(distances <= self._bits):
            bare = self._aspects[other] == _ANY_ASPECT
            if bare or (
                abs(int(self._aspects[other]) - aspect) <= _MAX_ASPECT_STEPS
                and _alike(self._thumbnails[other], thumbnail)
            ):
                found.append(self._ids[other])
                if first:
                    break
        return found


_ANY_ASPECT = -1
"""The aspect ratio of a picture of which only the perceptual hash is known."""


def _alike(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    difference = float(np.abs(a.astype(np.int16) - b).mean())
    contrast = min(float(thumbnail.reshape(-1, 3).std(axis=0).mean()) for thumbnail in (a, b))
    return difference <= _FLOOR + _SHARE * contrast


def _parse(identifier: str, text: str) -> tuple[int, int, NDArray[np.uint8]]:
    try:
        code, aspect, thumbnail = text.split("-")
        values = np.frombuffer(bytes.fromhex(thumbnail), np.uint8)
        if len(code) != 16 or values.size != _THUMBNAIL_BYTES:
            raise ValueError("wrong length")
        return int(code, 16), int(aspect, 16), values
    except ValueError as error:
        raise ValueError(f"{identifier}: malformed fingerprint: {error}") from error
