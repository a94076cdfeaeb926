"""The filter chain: named rules that say why a candidate is dropped, the drops counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from annotation.regions.interface import Candidate, Rule
from annotation.regions.tree_cut import solidity
from schemas.masks import BoolMask
from schemas.regions_config import RegionsConfig

SAME_IOU = 0.8  # two masks that overlap more are one region (mask IoU; box IoU would kill nested regions)
THIN = 0.008  # least radius of the largest inscribed circle, as a share of the long side
SHAPE_SIDE = 512  # long side in pixels at which shapes are judged
SCATTERED = 0.15  # area over convex hull below this is scattered crumbs, not a region


def no_mask(item: Candidate, kept: Sequence[Candidate], config: RegionsConfig) -> str | None:
    """An annotation that gives a box and no mask."""
    return "no-mask" if item.facts.get("no_mask") else None


def empty(item: Candidate, kept: Sequence[Candidate], config: RegionsConfig) -> str | None:
    """A mask without a pixel, for example one that vanished when the picture was scaled down."""
    return "empty" if item.area == 0 else None


def crowd(item: Candidate, kept: Sequence[Candidate], config: RegionsConfig) -> str | None:
    """A crowd: many objects under one mask, so neither one region nor one name."""
    return "crowd" if item.facts.get("crowd") else None


def too_small(item: Candidate, kept: Sequence[Candidate], config: RegionsConfig) -> str | None:
    """Below `config.min_area` of the picture."""
    return "too-small" if item.area < config.min_area * _pixels(item) else None


def too_large(item: Candidate, kept: Sequence[Candidate], config: RegionsConfig) -> str | None:
    """Above `config.max_area` of the picture."""
    return "too-large" if item.area > config.max_area * _pixels(item) else None


def duplicate(item: Candidate, kept: Sequence[Candidate], config: RegionsConfig) -> str | None:
    """Nearly the same mask as one that ranks higher."""
    if not kept:
        return None
    overlap = coco_mask.iou([item.rle()], [other.rle() for other in kept], [0] * len(kept))
    return "duplicate" if float(np.max(overlap)) > SAME_IOU else None


def too_thin(item: Candidate, kept: Sequence[Candidate], config: RegionsConfig) -> str | None:
    """A sliver: no circle of 0.8% of the long side fits into it."""
    shape, step = _shape(item)
    inside = np.pad(shape, 1).astype(np.uint8)
    radius = float(cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max()) - 0.5
    return "too-thin" if radius * step < THIN * max(item.mask.size) else None


def scattered(item: Candidate, kept: Sequence[Candidate], config: RegionsConfig) -> str | None:
    """Crumbs all over the picture: the mask fills under 15% of its convex hull."""
    return "scattered" if solidity(_shape(item)[0]) < SCATTERED else None


def surplus(item: Candidate, kept: Sequence[Candidate], config: RegionsConfig) -> str | None:
    """More than `config.max_regions` that rank higher."""
    return "surplus" if len(kept) >= config.max_regions else None


def unnamed(item: Candidate, kept: Sequence[Candidate], config: RegionsConfig) -> str | None:
    """A mask the labeller could not name."""
    return None if item.label else "unnamed"


MASK_RULES: tuple[Rule, ...] = (
    no_mask,
    empty,
    crowd,
    too_small,
    too_large,
    duplicate,
    too_thin,
    scattered,
    surplus,
)
CARVED_RULES: tuple[Rule, ...] = (empty, too_small, too_thin, scattered)
NAME_RULES: tuple[Rule, ...] = (unnamed,)


def rank(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Best first: by score, then area, then bounding box, then mask; independent of the order given."""
    return sorted(candidates, key=lambda c: (-c.score, -c.area, c.bbox, c.mask.counts, c.label or ""))


def run(
    candidates: Iterable[Candidate], rules: Sequence[Rule], config: RegionsConfig, dropped: Counter[str]
) -> list[Candidate]:
    """The candidates that pass every rule, in the order given; each drop is added to `dropped` under its
    reason.

    A rule sees all that earlier rules left, one after the other.
    """
    left = list(candidates)
    for rule in rules:
        kept: list[Candidate] = []
        for item in left:
            reason = rule(item, kept, config)
            if reason is None:
                kept.append(item)
            else:
                dropped[reason] += 1
        left = kept
    return left


def _pixels(item: Candidate) -> int:
    return item.mask.size[0] * item.mask.size[1]


def _shape(item: Candidate) -> tuple[BoolMask, int]:
    """The mask inside its bounding box at every n-th pixel, and n: enough to judge a shape."""
    x, y, width, height = item.bbox
    step = max(1, max(item.mask.size) // SHAPE_SIDE)
    return item.pixels()[y : y + height : step, x : x + width : step], step
