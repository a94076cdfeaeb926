"""The `graph` segmenter on real photographs and on hostile pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from inference.segmenters import graph, make_segmenter
from inference.segmenters.select import LARGEST, SMALLEST, to_pixels
from tests.conftest import photograph
from tests.inference.segmenters.pictures import HOSTILE, ONE, PHOTOGRAPHS, SETS, unit


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_mask_holds_its_points_and_has_a_size_that_fits(name: str) -> None:
    image = photograph(name, 480)
    encoded = make_segmenter("graph").encode(image)
    assert encoded.size == image.shape[:2]
    sets = [np.random.default_rng(n).random((1 + n % 3, 2)) for n in range(20)]
    found = encoded.segment(sets)
    assert len(found) == len(sets)
    for points, item in zip(sets, found, strict=True):
        assert item.mask.shape == image.shape[:2]
        assert item.mask.dtype == np.bool_
        assert item.fallback is None
        assert SMALLEST <= item.mask.mean() <= LARGEST
        assert all(item.mask[y, x] for x, y in to_pixels(points, encoded.size))
        assert 0.2 < item.score <= 1
    again = make_segmenter("graph").encode(image).segment(sets[::-1])[::-1]
    for item, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(item.mask, other.mask)
        assert item.score == other.score


def test_several_points_get_the_union_of_their_regions() -> None:
    encoded = make_segmenter("graph").encode(photograph("coffee", 480))
    points = np.array([[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]])
    *alone, together = encoded.segment([points[:1], points[1:2], points[2:], points])
    assert len({item.mask.tobytes() for item in alone}) > 1
    assert iou(together.mask, np.any([item.mask for item in alone], axis=0)) > 0.99


def test_a_painted_shape_is_found_whole_and_with_a_high_score() -> None:
    image = np.full((240, 320, 3), (30, 150, 50), np.uint8)
    rows, columns = np.mgrid[:240, :320]
    disc = (rows - 120) ** 2 + (columns - 100) ** 2 < 50**2
    image[disc] = (200, 20, 20)
    encoded = make_segmenter("graph").encode(image)
    inside, outside = encoded.segment([unit(np.array([[100, 120]]), (240, 320)), np.array([[0.9, 0.9]])])
    assert iou(inside.mask, disc) > 0.9
    assert (outside.mask & disc).sum() < 0.05 * disc.sum()
    assert inside.score > 0.95


def test_a_thing_too_small_for_the_cut_is_found_by_the_nested_masks() -> None:
    image = np.full((200, 300, 3), (120, 130, 140), np.uint8)
    thing = np.zeros((200, 300), bool)
    thing[90:120, 20:50] = True  # 1.5% of the picture
    image[thing] = (200, 20, 20)
    encoded = make_segmenter("graph").encode(image)
    found, beside = encoded.segment([unit(np.array([[35, 105]]), (200, 300)), np.array([[0.75, 0.5]])])
    assert found.candidate > 0
    assert found.fallback is None
    assert iou(found.mask, thing) > 0.8
    assert beside.candidate == 0
    assert not (beside.mask & thing).any()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures(name: str) -> None:
    image = HOSTILE[name]
    encoded = make_segmenter("graph").encode(image)
    for points, item in zip(SETS, encoded.segment(SETS), strict=True):
        assert item.mask.shape == image.shape[:2]
        assert all(item.mask[y, x] for x, y in to_pixels(points, encoded.size))
        assert 0 <= item.score <= 1
        assert (item.fallback == "size") == (not SMALLEST <= item.mask.mean() <= LARGEST)
    for region in encoded.regions():
        assert region.mask.shape == image.shape[:2]
    assert encoded.segment([]) == []


def test_a_flat_picture_is_one_region_and_says_so() -> None:
    (found,) = make_segmenter("graph").encode(HOSTILE["flat"]).segment([ONE])
    assert found.mask.all()
    assert found.fallback == "size"


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 30), st.just(3))),
    arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.just(2)), elements=st.floats(0, 1)),
)
def test_any_small_picture_any_points(image: NDArray[np.uint8], points: NDArray[np.float64]) -> None:
    (found,) = make_segmenter("graph").encode(image).segment([points])
    assert all(found.mask[y, x] for x, y in to_pixels(points, (image.shape[0], image.shape[1])))


def test_regions_are_the_builders() -> None:
    from annotation.regions import propose
    from schemas import masks
    from schemas.regions_config import RegionsConfig

    image = photograph("chelsea", 400)
    expected = propose(image, RegionsConfig()).regions
    encoded = make_segmenter("graph").encode(image)
    found = encoded.regions()
    assert found is encoded.regions()
    assert [region.label for region in found] == [region.label for region in expected]
    for region, twin in zip(found, expected, strict=True):
        np.testing.assert_array_equal(region.mask, masks.decode(twin.mask))


def test_a_picture_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, ...]] = []
    build = graph.build_tree

    def counted(image: NDArray[np.uint8]) -> object:
        made.append(image.shape)
        return build(image)

    monkeypatch.setattr(graph, "build_tree", counted)
    segmenter = make_segmenter("graph")
    images = [photograph(name, 64) for name in PHOTOGRAPHS[:5]]
    for _ in range(3):
        segmenter.encode(images[0].copy()).segment([ONE] * 5)
    assert len(made) == 1
    for image in images:
        segmenter.encode(image)
    assert len(made) == 5
    segmenter.encode(images[1])
    assert len(made) == 5
    segmenter.encode(images[0])  # the one that five others pushed out
    assert len(made) == 6


def test_a_picture_changed_in_place_is_another_picture() -> None:
    segmenter = make_segmenter("graph")
    image = photograph("coffee", 120)
    before = segmenter.encode(image)
    image[:] = 9
    assert segmenter.encode(image) is not before
    assert len(before.regions()) > 1


@pytest.mark.parametrize(
    "wrong", [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3))]
)
def test_what_is_no_picture_is_refused(wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        make_segmenter("graph").encode(wrong)
