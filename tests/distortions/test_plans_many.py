"""Two thousand plans on random regions of real photographs: every promise recomputed from the pixels."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest

from distortions.plans import PlannedSample, PlanSkip, plan_samples
from schemas.config import DistortConfig, SamplesConfig
from schemas.records import SAMPLE_KINDS, Region
from tests.distortions.test_plans import BoolMask, Picture, check, photograph, region, source_of

NAMES = ("astronaut", "chelsea", "coffee", "rocket", "china", "flower")
PLANS = 2000
PER_PHOTOGRAPH = -(-PLANS // len(NAMES))
CONFIG = DistortConfig(samples=SamplesConfig(hyd=4, sid=4, dao=3, single=3, whole=2, pristine=1))
# A picture gives all kinds or nearly; without this bound a planner that skips everything would never end.
MOST_PICTURES = 3 * PER_PHOTOGRAPH // sum(CONFIG.samples.counts().values())


def view(name: str, random: np.random.Generator) -> Picture:
    """A random part of a photograph, 128 to 192 pixels a side, sometimes mirrored."""
    whole = photograph(name)
    height, width = (int(random.integers(128, min(192, side) + 1)) for side in whole.shape[:2])
    top, left = (
        int(random.integers(0, side - part + 1))
        for side, part in zip(whole.shape, (height, width), strict=False)
    )
    part = whole[top : top + height, left : left + width]
    return np.ascontiguousarray(part[:, ::-1] if random.random() < 0.5 else part)


def blobs(shape: tuple[int, ...], random: np.random.Generator) -> list[Region]:
    """Three to nine ragged regions of very different sizes that may overlap, have holes or fall apart."""
    height, width = shape[:2]
    found = []
    for _ in range(int(random.integers(3, 10))):
        noise = random.random((height, width)).astype(np.float32)
        ragged = cv2.GaussianBlur(noise, (0, 0), float(random.uniform(2, 6)))
        ragged = (ragged - ragged.mean()) / ragged.std()
        y, x = np.mgrid[:height, :width]
        radius = float(random.uniform(0.1, 0.45)) * min(height, width)
        away = np.hypot(y - random.uniform(0, height), x - random.uniform(0, width)) / radius
        mask: BoolMask = away + float(random.uniform(0, 0.25)) * ragged < 1
        if mask.any():
            found.append(region(len(found), mask))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_promise_of_many_random_plans_holds(name: str) -> None:
    kinds: Counter[str] = Counter()
    number = 0
    while kinds.total() < PER_PHOTOGRAPH and number < MOST_PICTURES:
        random = np.random.default_rng([NAMES.index(name), number])
        image = view(name, random)
        regions = blobs(image.shape, random)
        source = source_of(f"{name}-{number}", image)
        for item in plan_samples(image, regions, source, CONFIG, seed=int(random.integers(2**63))):
            assert isinstance(item, (PlannedSample, PlanSkip)), item
            if isinstance(item, PlannedSample):
                check(image, regions, item, CONFIG)
                kinds[item.sample.kind] += 1
        number += 1
    assert kinds.total() >= PER_PHOTOGRAPH, kinds
    assert all(kinds[kind] >= PER_PHOTOGRAPH // 40 for kind in SAMPLE_KINDS), kinds
