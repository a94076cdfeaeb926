"""The `appearance` labeller: names a region by its color, lightness, texture, shape and size; no model, no
guess at what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation.regions.color_terms import color_phrase, color_terms
from annotation.regions.interface import Candidate, Context, Labeller, Picture
from annotation.regions.regionmaps import texture_class, working_lab, working_rgb
from schemas.masks import BoolMask
from schemas.regions_config import RegionsConfig

SMALL = 0.05  # share of the picture below which an area is a patch
LONG = 4.0  # length over breadth of the rotated bounding box of a strip
FULL = 0.6  # share of that box a strip fills


def make(config: RegionsConfig) -> Labeller:
    return label


@dataclass(frozen=True)
class Look:
    """What a region looks like: color phrase, the share of its pixels the phrase speaks for, texture and
    noun.
    """

    color: str
    color_share: float
    texture: str
    noun: str

    def phrase(self) -> str:
        """Texture, color, noun, for example "smooth dark blue area"."""
        return " ".join(word for word in (self.texture, self.color, self.noun) if word)


def label(image: Picture, candidates: Sequence[Candidate], context: Context) -> list[Candidate]:
    """Every candidate named by its look; the score is the share of its pixels that have the named colors."""
    small = working_rgb(image)
    lab = working_lab(small)
    height, width = lab.shape[:2]
    terms = color_terms(small)
    named = []
    for item in candidates:
        look = describe(
            lab, terms, _working_mask(item, (height, width)), item.area / (image.shape[0] * image.shape[1])
        )
        named.append(item.named(look.phrase(), round(look.color_share, 4)))
    return named


def describe(lab: NDArray[np.float32], terms: NDArray[np.uint8], mask: BoolMask, share: float) -> Look:
    """The look of a non-empty mask at the working size; `share` is its part of the picture, 0..1."""
    color, color_share = color_phrase(terms[mask], float(lab[..., 0][mask].mean()))
    return Look(color, color_share, texture_class(lab[..., 0], mask), _noun(mask, share))


def _noun(mask: BoolMask, share: float) -> str:
    """ "strip" for a long thin region, "patch" for a small one, otherwise "area"."""
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    _, (a, b), _ = cv2.minAreaRect(points)
    length, breadth = max(a, b) + 1, min(a, b) + 1
    if length / breadth >= LONG and len(points) >= FULL * length * breadth:
        return "strip"
    return "patch" if share < SMALL else "area"


def _working_mask(item: Candidate, size: tuple[int, int]) -> BoolMask:
    """The mask at the working size, never empty: one that vanishes keeps the pixels it fills most."""
    mask = item.pixels()
    if mask.shape == size:
        return mask
    full = mask.astype(np.uint8) * np.uint8(255)
    share = cv2.resize(full, (size[1], size[0]), interpolation=cv2.INTER_AREA).reshape(size)
    return np.asarray(share >= min(128, int(share.max())))
