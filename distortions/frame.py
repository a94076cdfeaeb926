"""Where a crop lies in its picture, so that an operation acts on a crop as on the whole picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]


@dataclass(frozen=True)
class Frame:
    """A box of a picture that an operation works on.

    `top`, `left` are the box's corner in the picture, `bottom`, `right` its exclusive end, `height` and
    `width` the size of the WHOLE picture in pixels. `seed` starts every random draw. `mask` (box-sized, True
    inside the region) says where an operation that needs statistics computes them; None means everywhere.
    """

    top: int
    left: int
    bottom: int
    right: int
    height: int
    width: int
    seed: int
    mask: BoolMask | None = None

    @staticmethod
    def whole(image: Image, seed: int) -> Frame:
        """The frame of a whole (H, W, 3) picture."""
        height, width = image.shape[:2]
        return Frame(0, 0, height, width, height, width, seed)

    @property
    def short_side(self) -> int:
        """The shorter side of the whole picture in pixels: spatial parameters scale with it."""
        return min(self.height, self.width)

    def grow(self, by: int) -> Frame:
        """The frame grown by `by` pixels on every side, within the picture and without its mask."""
        if by == 0 and self.mask is None:
            return self
        return replace(
            self,
            top=max(0, self.top - by),
            left=max(0, self.left - by),
            bottom=min(self.height, self.bottom + by),
            right=min(self.width, self.right + by),
            mask=None,
        )

    def mask_u8(self) -> Image | None:
        """The mask in OpenCV's form (uint8, nonzero inside), or None for everywhere."""
        return None if self.mask is None else self.mask.view(np.uint8)
