"""The last few pictures a segmenter has looked at: a picture asked again is not encoded again."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from inference.grounded_answer import Picture

T = TypeVar("T")
PICTURES = 4
"""Pictures remembered: SAM's embedding of one takes 4 MB, SAM-HQ's 60 MB."""


class Recent(Generic[T]):
    """What `make` gives for a picture, kept for the last `most` different pictures; safe between threads."""

    def __init__(self, make: Callable[[Picture], T], most: int = PICTURES) -> None:
        self._make = make
        self._most = most
        self._kept: OrderedDict[bytes, T] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, image: Picture) -> T:
        """`make(image)`, or what it gave for a picture with the same pixels.

        Raises ValueError for anything but (H, W, 3) uint8 with pixels.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"a picture is (H, W, 3) uint8 with pixels, not {image.shape} {image.dtype}")
        key = _key(image)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            made = self._kept[key] = self._make(image)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return made


def _key(image: Picture) -> bytes:
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()
