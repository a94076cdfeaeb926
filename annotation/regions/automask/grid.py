"""Where automatic mask generation looks: crops of a picture and a grid of points on each.

Both are as segment-anything defines them (facebookresearch/segment-anything, utils/amg.py).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Crop(NamedTuple):
    """A part of a picture in pixels, and its layer: 0 is the whole picture, layer n has 2^n crops a side."""

    x: int
    y: int
    width: int
    height: int
    layer: int

    def corners(self) -> NDArray[np.float32]:
        """[x0, y0, x1, y1]."""
        return np.array([self.x, self.y, self.x + self.width, self.y + self.height], np.float32)


def crops(height: int, width: int, layers: int, overlap: float) -> list[Crop]:
    """The whole picture, then every layer's crops, left to right and there top to bottom.

    Crops of layer 1 share `overlap` times the picture's short side with their neighbors, those of layer n
    1/2^(n-1) of that. Crops without a pixel, which a very thin picture has, are left out.
    """
    result = [Crop(0, 0, width, height, 0)]
    for layer in range(1, layers + 1):
        count = 2**layer
        shared = int(overlap * min(height, width) * (2 / count))
        crop_width = math.ceil((shared * (count - 1) + width) / count)
        crop_height = math.ceil((shared * (count - 1) + height) / count)
        for column in range(count):
            for row in range(count):
                x, y = column * (crop_width - shared), row * (crop_height - shared)
                if x < width and y < height:
                    size = min(crop_width, width - x), min(crop_height, height - y)
                    result.append(Crop(x, y, *size, layer))
    return result


def points(crop: Crop, per_side: int, downscale: int) -> NDArray[np.float64]:
    """The grid on a crop, (N, 2) x and y in pixels of the crop, row by row.

    Layer n has `per_side / downscale^n` points a side, but at least one.
    """
    count = max(1, int(per_side / downscale**crop.layer))
    place = np.linspace(1 / (2 * count), 1 - 1 / (2 * count), count)
    y, x = np.meshgrid(place * crop.height, place * crop.width, indexing="ij")
    return np.stack([x, y], axis=-1).reshape(-1, 2)
