"""Color terms: which of thirteen English color words a pixel has, and the color phrase of a region."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from annotation.regions.interface import Picture

TABLE = 32  # cells a side of the RGB table of color terms
ONE_TERM, TWO_TERMS = 0.55, 0.60  # share of pixels one term, or the two most frequent together, must have
SHADOW = 0.40  # black pixels below this share are shadows and don't vote
DARK, LIGHT = 33.0, 70.0  # mean L (0..100) below which a color is dark, above which it is light
NO_LIGHT = frozenset({"black", "white", "beige", "yellow"})
NO_DARK = frozenset({"black", "white", "pink", "beige", "orange", "yellow"})

# The eleven basic color terms of English (Berlin and Kay, "Basic Color Terms", 1969), beige and teal: sRGB
# prototypes, several where a term spans a wide range. A pixel takes the term of the nearest one in CIE Lab.
# The prototypes were set by hand and corrected by looking at regions of photographs.
PROTOTYPES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((0, 0, 0), (22, 22, 22), (30, 26, 24), (22, 24, 30)),
    "grey": ((60, 60, 60), (95, 95, 95), (130, 130, 130), (165, 165, 165), (195, 195, 195)),
    "white": ((255, 255, 255), (232, 232, 232), (245, 240, 232)),
    "red": ((200, 20, 20), (225, 50, 45), (130, 15, 15), (170, 40, 35), (80, 8, 10), (55, 8, 5)),
    "orange": ((240, 130, 20), (235, 110, 50), (250, 165, 80), (215, 95, 20), (218, 155, 92), (208, 140, 78)),
    "yellow": ((250, 225, 40), (240, 220, 110), (210, 185, 30)),
    "green": (
        (30, 150, 50),
        (100, 180, 80),
        (15, 70, 25),
        (85, 107, 47),
        (130, 150, 90),
        (40, 55, 25),
        (180, 215, 140),
        (92, 96, 68),
        (66, 72, 48),
    ),
    "teal": ((0, 128, 128), (20, 85, 90), (64, 190, 185), (5, 45, 50), (150, 220, 215)),
    "blue": (
        (30, 60, 200),
        (70, 130, 200),
        (20, 30, 90),
        (135, 185, 235),
        (45, 70, 115),
        (100, 130, 170),
        (195, 215, 240),
    ),
    "purple": ((120, 40, 150), (90, 60, 130), (165, 110, 190), (50, 20, 65)),
    "pink": ((245, 140, 175), (240, 190, 200), (225, 80, 140), (215, 150, 150)),
    "brown": (
        (120, 70, 30),
        (80, 45, 20),
        (150, 95, 60),
        (165, 120, 85),
        (55, 35, 22),
        (100, 75, 55),
        (110, 50, 30),
        (138, 113, 100),
    ),
    "beige": ((225, 205, 170), (200, 178, 145), (240, 222, 195), (180, 160, 130), (190, 165, 152)),
}
TERMS = tuple(PROTOTYPES)


def color_terms(image: Picture) -> NDArray[np.uint8]:
    """Index into TERMS for every pixel of a (H, W, 3) uint8 RGB picture."""
    cell = image.astype(np.intp) * TABLE // 256
    return np.asarray(_table()[cell[..., 0], cell[..., 1], cell[..., 2]], dtype=np.uint8)


@cache
def _table() -> NDArray[np.uint8]:
    """Term index for each of 32^3 RGB cells, by the nearest prototype in Lab."""
    centers = ((np.arange(TABLE) + 0.5) / TABLE).astype(np.float32)
    grid = np.stack(np.meshgrid(centers, centers, centers, indexing="ij"), axis=-1).reshape(1, -1, 3)
    cells = cv2.cvtColor(grid, cv2.COLOR_RGB2LAB)[0]
    prototypes = np.array(
        [rgb for many in PROTOTYPES.values() for rgb in many], dtype=np.float32
    ) / np.float32(255)
    owner = np.array([index for index, many in enumerate(PROTOTYPES.values()) for _ in many], dtype=np.uint8)
    lab = cv2.cvtColor(prototypes[None], cv2.COLOR_RGB2LAB)[0]
    distance = ((cells[:, None, :] - lab[None]) ** 2).sum(axis=2)
    return np.asarray(owner[distance.argmin(axis=1)].reshape(TABLE, TABLE, TABLE), dtype=np.uint8)


def color_phrase(terms: NDArray[np.uint8], lightness: float) -> tuple[str, float]:
    """The color of a region, and the share (0..1) of its pixels the phrase speaks for.

    `terms` are the indices into TERMS of its pixels, at least one; `lightness` its mean L (0..100). The
    phrase is one term with at most "dark" or "light" before it, "x-and-y", or "multicolored".
    """
    shares = np.bincount(terms, minlength=len(TERMS)) / terms.size
    votes = shares.copy()
    if votes[TERMS.index("black")] < SHADOW:
        votes[TERMS.index("black")] = 0.0
    total = float(votes.sum())
    first, second = (int(index) for index in np.argsort(-votes, kind="stable")[:2])
    if votes[first] >= ONE_TERM * total:
        return _with_lightness(TERMS[first], lightness), float(votes[first])
    together = float(votes[first] + votes[second])
    if together >= TWO_TERMS * total:
        return f"{TERMS[first]}-and-{TERMS[second]}", together
    return "multicoloured", total - float(votes[first])


def _with_lightness(term: str, lightness: float) -> str:
    if lightness < DARK and term not in NO_DARK:
        return f"dark {term}"
    if lightness > LIGHT and term not in NO_LIGHT:
        return f"light {term}"
    return term
