"""Two sets of automatic masks compared so that near ties may fall either way; parity with segment-anything.

Of masks that overlap, the one of the highest predicted IoU survives. Floating-point kernels differ between
processors, libraries and batches, so of two masks whose scores are equal up to their noise either may
survive, and with it what the other would have removed. `compare` pairs equal masks and wants a reason for
each that has no pair.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from segment_anything import SamAutomaticMaskGenerator

from annotation.regions.interface import Context, Proposals
from annotation.regions.proposers.sam import SamProposer
from schemas.regions_config import RegionsConfig
from tests.annotation.regions import tiny_models
from tests.annotation.regions.conftest import load

PHOTOGRAPHS = (("astronaut", 320, 0), ("coffee", 400, 0), ("chelsea", 300, 1))
"""Names, long sides in pixels and layers of crops that parity is judged on."""

POINTS = 10
SCORE_NOISE = 1e-4
"""Predicted IoUs that differ by less are a tie; kernels make them differ by some 2e-6."""
OVERLAP_NOISE = 0.01
"""What a side of a box of 100 pixels changes in an IoU when it moves by one."""
SAME_MASK = 0.99
"""IoU of the masks of a pair at least."""
PAIRED = 0.75
"""Share of masks that must be paired: ties are few."""


@dataclass(frozen=True)
class Rules:
    """What decides on a mask: its predicted IoU, its stability, and the IoU with a better one's box or mask.

    Stability is counted on pixels that take `pixel` pixels of the picture each.
    """

    min_predicted_iou: float = 0.86
    min_stability: float = 0.92
    max_overlap: float = 0.7
    by_box: bool = True
    pixel: float = 1.0


ORIGINAL = Rules()
"""segment-anything's, with SSA's settings."""


@dataclass(frozen=True)
class Mask:
    """A mask of either side: its run-length encoding and what is known of it."""

    rle: Mapping[str, Any]
    area: int
    predicted_iou: float
    stability: float
    point: tuple[float, float]
    crop: tuple[float, ...]

    def stability_noise(self, rules: Rules) -> float:
        """What two pixels at the border change."""
        return max(1e-3, 2 * rules.pixel / self.area)

    def is_like(self, other: Mask, rules: Rules) -> bool:
        """Whether all but the pixels agree, up to noise."""
        return (
            self.crop == other.crop
            and bool(np.allclose(self.point, other.point, rtol=0, atol=1e-6))
            and abs(self.predicted_iou - other.predicted_iou) <= 1e-3
            and abs(self.stability - other.stability) <= self.stability_noise(rules)
            and abs(self.area - other.area) <= 0.01 * other.area
        )

    def is_at_a_limit(self, rules: Rules) -> bool:
        """Whether noise alone decides if the mask passes."""
        return abs(self.predicted_iou - rules.min_predicted_iou) <= SCORE_NOISE or abs(
            self.stability - rules.min_stability
        ) <= self.stability_noise(rules)

    def overlap(self, other: Mask, rules: Rules) -> float:
        """IoU of the two boxes or masks, whichever decides."""
        pair = [dict(self.rle)], [dict(other.rle)]
        first, second = (coco_mask.toBbox(side) for side in pair) if rules.by_box else pair
        return float(coco_mask.iou(first, second, [0])[0, 0])

    def may_lose_to(self, other: Mask, rules: Rules) -> bool:
        """Whether `other` may have removed this mask as its duplicate: a smaller crop's is better anyway."""
        better = other.predicted_iou >= self.predicted_iou - SCORE_NOISE
        near = self.overlap(other, rules) > rules.max_overlap - OVERLAP_NOISE
        return near and (better or other.crop != self.crop)

    def may_tie_with(self, other: Mask, rules: Rules) -> bool:
        """Whether noise decides which of the two removes the other, or whether one does."""
        equal = abs(other.predicted_iou - self.predicted_iou) <= SCORE_NOISE and other.crop == self.crop
        at_limit = abs(self.overlap(other, rules) - rules.max_overlap) <= OVERLAP_NOISE
        return (equal or at_limit) and self.may_lose_to(other, rules)


def compare(ours: Sequence[Mask], theirs: Sequence[Mask], rules: Rules = ORIGINAL) -> list[str]:
    """What differs between two sets of masks beyond ties; empty where they are the same.

    A mask that stands on one side alone is excused when it is at a limit, when a mask of the other side ties
    with it, or when one that stands on the other side alone, and is excused itself, may have removed it.
    """
    mine, others = _unpaired(ours, theirs, rules)
    alone = [("ours", item, theirs) for item in mine] + [("theirs", item, ours) for item in others]
    excused = {
        index
        for index, (_, item, facing) in enumerate(alone)
        if item.is_at_a_limit(rules) or any(item.may_tie_with(other, rules) for other in facing)
    }
    more = excused
    while more:
        more = {
            index
            for index, (side, item, _) in enumerate(alone)
            if index not in excused
            and any(alone[other][0] != side and item.may_lose_to(alone[other][1], rules) for other in excused)
        }
        excused = excused | more
    wrong = [f"{side} alone: {item}" for index, (side, item, _) in enumerate(alone) if index not in excused]
    paired = len(ours) - len(mine)
    if paired < PAIRED * max(len(ours), len(theirs)):
        wrong.append(f"only {paired} of {len(ours)} and {len(theirs)} masks are the same")
    return wrong


def _unpaired(ours: Sequence[Mask], theirs: Sequence[Mask], rules: Rules) -> tuple[list[Mask], list[Mask]]:
    """The masks of each side without an equal one on the other."""
    mine, others = [], list(range(len(theirs)))
    encoded = [dict(item.rle) for item in theirs]
    for item in ours:
        iou = coco_mask.iou([dict(item.rle)], encoded, [0] * len(encoded))[0] if encoded else []
        equal = [index for index in others if iou[index] >= SAME_MASK and item.is_like(theirs[index], rules)]
        if equal:
            others.remove(max(equal, key=lambda index: float(iou[index])))
        else:
            mine.append(item)
    return mine, [theirs[index] for index in others]


def picture(name: str, side: int) -> NDArray[np.uint8]:
    """A photograph with its long side at `side`."""
    whole = load(name)
    scale = side / max(whole.shape[:2])
    size = (round(whole.shape[1] * scale), round(whole.shape[0] * scale))
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA))


def ours(folder: Path, name: str, side: int, layers: int, **more: object) -> Proposals:
    """What the proposer finds in exact mode with the model in `folder`; `more` are settings of SAM."""
    sam = {"model": str(folder), "exact": True, "points_per_side": POINTS, "crop_layers": layers, **more}
    config = RegionsConfig.model_validate({"proposer": "sam", "labeller": "appearance", "sam": sam})
    return SamProposer(config)([picture(name, side)], [Context(config)])[0]


def masks_of(found: Proposals) -> list[Mask]:
    """The proposer's masks in the form that is compared."""
    return [
        Mask(
            item.rle(),
            item.area,
            item.facts["predicted_iou"],
            item.facts["stability_score"],
            (item.facts["point_x"], item.facts["point_y"]),
            tuple(item.facts[f"crop_{part}"] for part in ("x", "y", "width", "height")),
        )
        for item in found.candidates
    ]


def theirs(folder: Path, name: str, side: int, layers: int) -> list[Mask]:
    """What segment-anything's own generator finds with the same weights."""
    found = SamAutomaticMaskGenerator(
        tiny_models.original_sam(folder),
        points_per_side=POINTS,
        pred_iou_thresh=ORIGINAL.min_predicted_iou,
        stability_score_thresh=ORIGINAL.min_stability,
        box_nms_thresh=ORIGINAL.max_overlap,
        crop_nms_thresh=ORIGINAL.max_overlap,
        crop_n_layers=layers,
        crop_n_points_downscale_factor=2,
        min_mask_region_area=100,
        output_mode="coco_rle",
    ).generate(picture(name, side))
    return [
        Mask(
            item["segmentation"],
            item["area"],
            item["predicted_iou"],
            item["stability_score"],
            (item["point_coords"][0][0], item["point_coords"][0][1]),
            tuple(item["crop_box"]),
        )
        for item in found
    ]


def main() -> None:
    """Compare all photographs with one thread and with two; the environment chooses the kernels."""
    print(f"kernels: {torch.backends.cpu.get_cpu_capability()}")
    with tempfile.TemporaryDirectory() as place:
        folder = tiny_models.save_sam(Path(place))
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for photograph in PHOTOGRAPHS:
                wrong = compare(masks_of(ours(folder, *photograph)), theirs(folder, *photograph))
                print(*(wrong or ["same masks"]), sep="\n")


if __name__ == "__main__":
    main()
