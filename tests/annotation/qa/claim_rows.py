"""Rows with a known truth, for what answers to them claim."""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas import masks
from schemas.records import Distortion, Message, Region, Row
from tests.annotation.qa.samples import region as crafted_region
from tests.annotation.qa.test_crafted_answers import SCENES

BLUR = Distortion(name="blur_gaussian", category="blur", level=4, order=1)
JPEG = Distortion(name="compression_jpeg", category="compression", level=2, order=2)
NOISE = Distortion(name="noise_speckle", category="noise", level=3, order=1)


def region(number: int, label: str, *distortions: Distortion) -> Region:
    mask = np.zeros((9, 9), np.bool_)
    mask[:3, 3 * number : 3 * number + 3] = True
    return Region(
        region_id=f"r{number}", label=label, label_score=None, bbox=masks.bounding_box(mask),
        area=int(mask.sum()), mask=masks.encode(mask), position=masks.position(mask),
        distortions=list(distortions), strength=None,
    )  # fmt: skip


def row(task: str, *regions: Region, targets: tuple[str, ...] = (), whole: bool = False) -> Row:
    return Row(
        id="a", source="iqa-spider", task=task, split="test",
        messages=[Message(role="user", content="?"), Message(role="assistant", content="!")],
        regions=list(regions), target_region_ids=list(targets), whole_image=whole, order_effect=None,
        source_image=None, provenance=None,
    )  # fmt: skip


SCENE = (region(0, "wooden table", BLUR, JPEG), region(1, "brown dog", NOISE), region(2, "green lamp"))
LOCAL = row("local_description", *SCENE, targets=("r0",))
LONG = row("referring_long", *SCENE, targets=("r0",))
GLOBAL = row("global_description", *SCENE, targets=("r0", "r1"))
PRISTINE = row("global_description", region(0, "wooden table"), region(1, "brown dog"))
EVERYWHERE = row(
    "global_description", region(0, "wooden table", BLUR), region(1, "brown dog", BLUR), whole=True
)


def crafted(case: dict[str, Any]) -> tuple[Row, list[str]]:
    """The row and the answers of a crafted dialogue."""
    scene = SCENES[case["scene"]]
    regions = [
        crafted_region(int(key[1:]), label, cell, list(distortions.items()), strength)
        for key, (label, cell, strength, distortions) in scene["regions"].items()
    ]
    whole = bool(scene.get("whole", False))
    every = () if whole else tuple(r.region_id for r in regions if r.distortions)
    targets = (case["target"],) if "target" in case else every
    return row(case["task"], *regions, targets=targets, whole=whole), case["turns"][1::2]
