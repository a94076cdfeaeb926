"""Decodes pictures for training into arrays or PIL images, each once for as long as it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from schemas.config import IngestConfig
from schemas.errors import SampleError
from schemas.pictures import decode, load_png

Form = Literal["pil", "array", "encoded", "none"]
FORMS: tuple[Form, ...] = ("pil", "array", "encoded", "none")
_KEPT_BYTES = 256_000_000
_LIMITS = IngestConfig(max_side=16384, min_side=1)


def decode_picture(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a stored picture. Raises SampleError for one that can't be decoded."""
    try:
        return load_png(data)
    except SampleError as error:
        if error.reason not in ("not-a-picture", "unsupported-encoding"):
            raise
    return decode(data, _LIMITS).rgb


class PictureCache:
    """The pictures of a window in the requested form; those needed again are cached, up to 256 MB.

    `left` holds how many times each picture, keyed by (piece, index in the piece), is still to be taken.
    """

    def __init__(self, form: Form, left: dict[tuple[int, int], int]) -> None:
        self._form, self._left = form, left
        self._kept: dict[tuple[int, int], bytes | NDArray[np.uint8]] = {}
        self._bytes = 0

    def take(self, name: tuple[int, int], encoded: Sequence[bytes]) -> Any:
        """One of its piece's `encoded` pictures: bytes, an (H, W, 3) uint8 array of its own, or a PIL image.

        Raises SampleError for one that can't be decoded.
        """
        self._left[name] -= 1
        found = self._kept.get(name)
        if found is None:
            data = encoded[name[1]]
            found = data if self._form == "encoded" else decode_picture(data)
            if self._left[name] and self._bytes + _size(found) <= _KEPT_BYTES:
                self._kept[name] = found
                self._bytes += _size(found)
        elif not self._left[name]:
            del self._kept[name]
            self._bytes -= _size(found)
        if isinstance(found, bytes):
            return found
        if name in self._kept:
            found = found.copy()
        return found if self._form == "array" else Image.fromarray(found)


def _size(picture: bytes | NDArray[np.uint8]) -> int:
    return len(picture) if isinstance(picture, bytes) else picture.nbytes
