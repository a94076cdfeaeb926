"""annotation.regions.propose: regions of real photographs, of absurd pictures, of masks made elsewhere."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from annotation.regions import propose
from annotation.regions.interface import LABELLERS, PROPOSERS, Registry, candidate
from annotation.regions.names import PLACE_WORDS
from schemas import masks
from schemas.errors import InputError
from schemas.records import Region
from schemas.regions_config import RegionsConfig

CONFIG = RegionsConfig()
COCO = RegionsConfig(proposer="coco", labeller="given")
COLOR = "black|grey|white|red|orange|yellow|green|teal|blue|purple|pink|brown|beige"
PHRASE = re.compile(
    r"^(larger |smaller |(second |third )?largest |smallest )?(smooth |textured )?"
    rf"((dark |light )?({COLOR})|({COLOR})-and-({COLOR})|multicoloured) (area|patch|strip)( .+)?$"
)


def check(regions: list[Region], shape: tuple[int, ...]) -> None:
    """What holds for the regions of any picture."""
    taken = np.zeros(shape[:2], dtype=bool)
    for number, region in enumerate(regions, start=1):
        mask = masks.decode(region.mask)
        assert region.region_id == f"r{number}"
        assert mask.shape == shape[:2]
        assert region.area == int(mask.sum()) > 0
        assert region.bbox == masks.bounding_box(mask)
        assert region.position == masks.position(mask)
        assert not (mask & taken).any()
        assert set(region.label.casefold().split()) & PLACE_WORDS <= set(region.position.split())
        assert region.label_score is None or 0 <= region.label_score <= 1
        taken |= mask
    labels = [region.label.casefold() for region in regions]
    assert len(set(labels)) == len(labels)
    assert [r.area for r in regions] == sorted((r.area for r in regions), reverse=True)


def test_photographs_have_3_to_10_regions_that_cover_them(photograph: NDArray[np.uint8]) -> None:
    before = photograph.copy()
    result = propose(photograph, CONFIG)
    check(result.regions, photograph.shape)
    assert 3 <= len(result.regions) <= 10
    share = sum(region.area for region in result.regions) / photograph[..., 0].size
    assert share >= 0.85
    assert all(0.01 <= r.area / photograph[..., 0].size <= 0.6 for r in result.regions)
    assert all(PHRASE.match(region.label) for region in result.regions), [r.label for r in result.regions]
    assert np.array_equal(before, photograph)


def test_same_picture_same_regions_whatever_the_thread_count(photograph: NDArray[np.uint8]) -> None:
    threads = cv2.getNumThreads()
    first = propose(photograph, CONFIG)
    try:
        cv2.setNumThreads(1 if threads > 1 else 2)
        assert propose(np.asfortranarray(photograph), CONFIG) == first
    finally:
        cv2.setNumThreads(threads)


def test_a_slightly_changed_picture_gives_mostly_the_same_regions(photograph: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(3).normal(0, 2, photograph.shape)
    noisy = np.clip(photograph + noise, 0, 255).astype(np.uint8)
    one = [masks.decode(r.mask) for r in propose(photograph, CONFIG).regions]
    two = [masks.decode(r.mask) for r in propose(noisy, CONFIG).regions]
    best = [(max((a & b).sum() / (a | b).sum() for b in two), a.sum()) for a in one]
    mean = sum(iou * area for iou, area in best) / sum(area for _, area in best)
    assert mean > 0.6


def test_known_colors_get_their_names() -> None:
    picture = np.zeros((200, 300, 3), dtype=np.uint8)
    picture[:, :100], picture[:, 100:200], picture[:, 200:] = (200, 20, 20), (30, 150, 50), (20, 30, 90)
    labels = [region.label for region in propose(picture, CONFIG).regions]
    assert sorted(labels) == ["smooth dark blue area", "smooth green area", "smooth red area"]


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ((1, 1), 7),
        ((1, 5000), 90),
        ((5000, 1), 90),
        ((2, 2), 0),
        ((64, 64), 0),
        ((64, 64), 255),
        ((300, 400), 128),
    ],
)
def test_flat_pictures_have_no_region_and_the_reason_is_counted(shape: tuple[int, int], value: int) -> None:
    result = propose(np.full((*shape, 3), value, dtype=np.uint8), CONFIG)
    assert result.regions == []
    assert result.dropped == {"too-large": 1}


def test_one_line_of_pixels_with_two_colors() -> None:
    line = np.zeros((1, 5000, 3), dtype=np.uint8)
    line[:, 2500:] = (200, 20, 20)
    result = propose(line, RegionsConfig(max_area=1))
    check(result.regions, line.shape)
    assert len(result.regions) + sum(result.dropped.values()) >= 1


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3))), st.booleans())
def test_any_small_picture(picture: NDArray[np.uint8], everything: bool) -> None:
    config = RegionsConfig(min_area=0, max_area=1, max_regions=500) if everything else CONFIG
    result = propose(picture, config)
    check(result.regions, picture.shape)
    assert all(number > 0 for number in result.dropped.values())
    assert result == propose(picture.copy(), config)


def test_a_large_picture_keeps_the_regions_of_the_small_one(astronaut: NDArray[np.uint8]) -> None:
    large = np.asarray(cv2.resize(astronaut, (2048, 2048), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    small = np.asarray(cv2.resize(large, (512, 512), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    one = [masks.decode(region.mask) for region in propose(small, CONFIG).regions]
    two = [masks.decode(region.mask)[2::4, 2::4] for region in propose(large, CONFIG).regions]
    covered = sum(max((a & b).sum() for b in two) for a in one)
    assert covered / small[..., 0].size > 0.9


def boxes(*corners: tuple[int, int, int, int]) -> list[NDArray[np.bool_]]:
    """Boolean 100 x 100 masks from (top, bottom, left, right)."""
    result = []
    for top, bottom, left, right in corners:
        mask = np.zeros((100, 100), dtype=bool)
        mask[top:bottom, left:right] = True
        result.append(mask)
    return result


BLANK = np.zeros((100, 100, 3), dtype=np.uint8)


def test_each_rule_drops_and_counts() -> None:
    big, box, same, tiny, sliver, crowd, box_only, nothing, nameless = boxes(
        (0, 100, 0, 90),
        (10, 50, 10, 50),
        (10, 50, 10, 48),
        (0, 5, 0, 5),
        (99, 100, 0, 100),
        (60, 90, 60, 90),
        (0, 0, 0, 0),
        (0, 0, 0, 0),
        (60, 90, 10, 40),
    )
    crumbs = np.zeros((100, 100), dtype=bool)
    crumbs[::33, ::33] = True
    crumbs[:4, :4] = crumbs[-4:, -4:] = crumbs[:4, -4:] = crumbs[-4:, :4] = crumbs[52:56, 52:56] = True
    given_masks = [
        candidate(big, 1, "sky"),
        candidate(box, 0.9, "dog"),
        candidate(same, 0.8, "dog"),
        candidate(tiny, 1, "flea"),
        candidate(sliver, 1, "rope"),
        candidate(crowd, 1, "people", facts={"crowd": 1.0}),
        candidate(box_only, 1, "cat", facts={"no_mask": 1.0}),
        candidate(nothing, 1, "cat"),
        candidate(nameless, 1, None),
        candidate(crumbs & ~box, 1, "snow"),
    ]
    config = COCO.model_copy(update={"min_area": 0.005})
    result = propose(BLANK, config, given_masks)
    assert [region.label for region in result.regions] == ["dog"]
    assert result.dropped == {
        "crowd": 1,
        "duplicate": 1,
        "empty": 1,
        "no-mask": 1,
        "scattered": 1,
        "too-large": 1,
        "too-small": 1,
        "too-thin": 1,
        "unnamed": 1,
    }
    assert propose(BLANK, config, given_masks[::-1]) == result


def test_surplus_keeps_the_best_scores() -> None:
    four = boxes((0, 20, 0, 20), (0, 20, 30, 50), (0, 20, 60, 80), (30, 50, 0, 20))
    scored = [
        candidate(mask, score, f"thing {score}")
        for mask, score in zip(four, (0.2, 0.9, 0.5, 0.7), strict=True)
    ]
    result = propose(BLANK, COCO.model_copy(update={"max_regions": 2}), scored)
    assert {region.label for region in result.regions} == {"thing 0.9", "thing 0.7"}
    assert result.dropped == {"surplus": 2}


def test_overlapping_masks_become_disjoint_and_a_covered_one_is_dropped() -> None:
    person, tie, a, b, behind = boxes(
        (0, 60, 0, 60), (20, 40, 20, 40), (70, 90, 0, 30), (70, 90, 28, 60), (70, 91, 2, 60)
    )
    result = propose(
        BLANK,
        COCO,
        [
            candidate(m, 1, n)
            for m, n in ((person, "person"), (tie, "tie"), (a, "a"), (b, "b"), (behind, "wall"))
        ],
    )
    check(result.regions, BLANK.shape)
    areas = {region.label: region.area for region in result.regions}
    assert areas["tie"] == 400
    assert areas["person"] == 3600 - 400
    assert "wall" not in areas
    assert sum(result.dropped.values()) == 1


def test_equal_names_are_told_apart_by_place_then_size() -> None:
    people = boxes((40, 60, 0, 20), (40, 60, 80, 100), (0, 20, 0, 30), (0, 30, 34, 38), (0, 20, 40, 60))
    result = propose(
        BLANK, COCO.model_copy(update={"min_area": 0.001}), [candidate(m, 1, "person") for m in people]
    )
    check(result.regions, BLANK.shape)
    assert {r.label for r in result.regions} == {
        "person on the left",
        "person on the right",
        "person at the top left",
        "larger person at the top",
        "smaller person at the top",
    }


def test_place_words_of_a_category_never_contradict_the_position() -> None:
    left, right = boxes((40, 60, 0, 20), (40, 60, 80, 100))
    shoes = [candidate(left, 1, "right shoe"), candidate(right, 1, "right shoe")]
    labels = [(region.label, region.position) for region in propose(BLANK, COCO, shoes).regions]
    assert sorted(labels) == [("right shoe", "right"), ("shoe", "left")]


def test_settings_that_cannot_work_together() -> None:
    with pytest.raises(InputError, match="given"):
        propose(BLANK, RegionsConfig(labeller="given"))
    with pytest.raises(ValueError, match="size"):
        propose(BLANK[:50], COCO, [candidate(boxes((0, 20, 0, 20))[0], 1, "dog")])


def test_no_mask_one_mask_500_masks() -> None:
    assert propose(BLANK, COCO, []).regions == []
    rng = np.random.default_rng(0)
    many = []
    for _ in range(500):
        top, left = rng.integers(0, 80, 2)
        many += boxes((int(top), int(top) + 20, int(left), int(left) + 20))
    result = propose(BLANK, COCO, [candidate(mask, 1, "leaf") for mask in many])
    check(result.regions, BLANK.shape)
    assert 1 <= len(result.regions) <= 10
    assert len(result.regions) + sum(result.dropped.values()) == 500


def test_the_packaged_proposers_and_labellers_are_the_files_of_their_folders() -> None:
    assert PROPOSERS.plug_ins.names() == ("graph", "sam")
    assert LABELLERS.plug_ins.names() == ("appearance", "clip", "given", "ssa", "vote")


def test_a_plug_in_is_made_once_for_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def make(config: RegionsConfig) -> int:
        made.append(1)
        return len(made)

    monkeypatch.setattr("annotation.regions.proposers.graph.make", make)
    registry: Registry[int] = Registry(PROPOSERS.plug_ins)
    assert registry.get("graph", CONFIG) == registry.get("graph", RegionsConfig()) == 1
    assert made == [1]
    assert registry.get("graph", RegionsConfig(max_regions=3)) == 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"proposer": "grahp"}, r"^unknown region proposer 'grahp'; did you mean 'graph'\?$"),
        ({"labeller": "apearance"}, r"^unknown region labeller 'apearance'; did you mean 'appearance'\?$"),
        ({"proposer": "coco", "labeller": "given"}, r"^unknown region proposer 'coco'"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(settings: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        propose(BLANK, RegionsConfig.model_validate(settings))
