"""Makes regions disjoint: where masks overlap, the smaller one, usually the part or the object in front,
keeps the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pycocotools import mask as coco_mask

from annotation.regions.interface import Candidate, candidate


def carve(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same candidates in the same order, without common pixels; a mask may end up empty.

    A distortion injected into one region then leaves every other region untouched, which is what the rows
    claim.
    """
    encoded = [item.rle() for item in candidates]
    if len(candidates) < 2 or np.count_nonzero(coco_mask.iou(encoded, encoded, [0] * len(encoded))) <= len(
        encoded
    ):
        return list(candidates)
    height, width = candidates[0].mask.size
    taken = np.zeros((height, width), dtype=bool)
    result = list(candidates)
    order = sorted(range(len(candidates)), key=lambda i: (candidates[i].area, candidates[i].bbox, i))
    for index in order:
        item = candidates[index]
        mask = item.pixels()
        if (mask & taken).any():
            new = candidate(mask & ~taken)
            result[index] = replace(item, mask=new.mask, area=new.area, bbox=new.bbox)
        taken |= mask
    return result
