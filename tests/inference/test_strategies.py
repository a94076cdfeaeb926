"""What the strategies reach with oracle answers about the regions of real photographs."""

from __future__ import annotations

import numpy as np
import pytest

from annotation.regions.names import place_phrase
from benchmarks.strategies import CONFIDENCES, Case, Outcome, inside, outcomes, table
from inference.segmenters.graph import GraphSegmenter
from schemas.masks import position
from tests.conftest import photograph


@pytest.fixture(scope="module")
def done() -> list[Outcome]:
    """All strategies on an answer about each region of two photographs, on the picture with noise there: its
    regions are proposed anew.
    """
    found = []
    for name in ("coffee", "chelsea"):
        picture = photograph(name, 256)
        for k, region in enumerate(GraphSegmenter().encode(picture).regions()):
            place = position(region.mask)
            text = f"It is the {region.label}."
            if not any(word in (region.label or "") for word in place.split()):
                text = f"It is the {region.label} {place_phrase(place)}."
            noisy = picture.astype(int)
            noisy[region.mask] += (
                np.random.default_rng(k).normal(0, 12, (int(region.mask.sum()), 3)).astype(int)
            )
            asked = noisy.clip(0, 255).astype(np.uint8)
            found.append(Case(f"{name}-{k}", "grounding_hyd", text, place, asked, region.mask))
    return outcomes(found, GraphSegmenter())


@pytest.mark.parametrize("strategy", ["grid", "proposal"])
def test_looking_at_the_picture_beats_the_paper_by_ten_points(done: list[Outcome], strategy: str) -> None:
    lines = {(line["confidence"], line["strategy"]): line for line in table(done)}
    for confidence in CONFIDENCES:
        paper, other = lines[confidence, "paper"], lines[confidence, strategy]
        assert other["inside"] >= paper["inside"] + 0.1
        assert other["giou"] >= paper["giou"] + 0.1


def test_points_inside_a_mask() -> None:
    mask = np.zeros((4, 4), bool)
    mask[3, 3] = True
    assert inside(np.array([[1.0, 1.0]]), mask) == 1.0
    assert inside(np.array([[0.76, 0.8], [0.0, 0.0]]), mask) == 0.5
