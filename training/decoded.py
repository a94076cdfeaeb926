"""Pictures for training: encoded bytes to arrays or PIL images, each decoded once while it is needed."""

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


def decoded(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a stored picture. Raises SampleError for one that can't be decoded."""
    try:
        return load_png(data)
    except SampleError as error:
        if error.reason not in ("not-a-picture", "unsupported-encoding"):
            raise
    return decode(data, _LIMITS).rgb


class Pictures:
    """The pictures of a window in the form asked for; those that come again are kept, up to 256 MB.

    `left` says how often each picture, named by piece and place, still comes.
    """

    def __init__(self, form: Form, left: dict[tuple[int, int], int]) -> None:
        self._form, self._left = form, left
        self._kept: dict[tuple[int, int], NDArray[np.uint8]] = {}
        self._bytes = 0

    def take(self, name: tuple[int, int], encoded: Sequence[bytes]) -> Any:
        """One picture of its piece's: bytes, a (H, W, 3) uint8 array of its own, or a PIL image.

        Raises SampleError for one that can't be decoded.
        """
        if self._form == "encoded":
            return encoded[name[1]]
        self._left[name] -= 1
        again = self._left[name] > 0
        rgb = self._kept.get(name)
        if rgb is None:
            rgb = decoded(encoded[name[1]])
            if again and self._bytes + rgb.nbytes <= _KEPT_BYTES:
                self._kept[name] = rgb
                self._bytes += rgb.nbytes
                rgb = rgb.copy()
        elif again:
            rgb = rgb.copy()
        else:
            del self._kept[name]
            self._bytes -= rgb.nbytes
        return rgb if self._form == "array" else Image.fromarray(rgb)
