"""annotation.regions.tree_cut: the merge tree, its cut, and its answer to a point."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from annotation.regions.regionmaps import upsample_labels, upsample_mask
from annotation.regions.tree import build_tree
from annotation.regions.tree_cut import BANDS, nested_masks, segment, solidity


def test_the_tree_is_a_hierarchy_of_connected_nodes_with_rising_heights(astronaut: NDArray[np.uint8]) -> None:
    tree = build_tree(astronaut)
    leaves = tree.leaf_count
    assert tree.leaves.shape == (320, 320)
    assert set(np.unique(tree.leaves)) == set(range(leaves))
    assert 300 <= leaves <= 500
    inner = tree.parent[:-1]
    assert (inner >= leaves).all()
    assert tree.parent[-1] == -1
    assert (tree.height[:-1] <= tree.height[inner]).all()
    assert tree.share[-1] == pytest.approx(1.0)
    assert np.allclose(tree.share[leaves:], tree.share[tree.children].sum(axis=1))
    assert np.bincount(inner, minlength=2 * leaves - 1)[leaves:].tolist() == [2] * (leaves - 1)


def test_segments_are_at_the_pictures_size_and_numbered_without_gaps(photograph: NDArray[np.uint8]) -> None:
    labels = segment(build_tree(photograph), 10)
    assert labels.shape == photograph.shape[:2]
    assert np.unique(labels).tolist() == list(range(int(labels.max()) + 1))
    assert 3 <= labels.max() + 1 <= 10


@pytest.mark.parametrize("most", [1, 2, 5, 40])
def test_at_most_as_many_regions_as_asked(astronaut: NDArray[np.uint8], most: int) -> None:
    assert segment(build_tree(astronaut), most).max() + 1 <= most


def test_a_painted_shape_is_found_whole() -> None:
    picture = np.full((240, 320, 3), (30, 150, 50), dtype=np.uint8)
    rows, columns = np.mgrid[:240, :320]
    disc = (rows - 120) ** 2 + (columns - 100) ** 2 < 50**2
    picture[disc] = (200, 20, 20)
    tree = build_tree(picture)
    found = nested_masks(tree, (100.0, 120.0))
    assert max((m.mask & disc).sum() / (m.mask | disc).sum() for m in found) > 0.9
    labels = segment(tree, 10)
    best = max(((labels == k) & disc).sum() / ((labels == k) | disc).sum() for k in range(labels.max() + 1))
    assert best > 0.9


def test_a_point_gets_nested_masks_that_hold_it(photograph: NDArray[np.uint8]) -> None:
    tree = build_tree(photograph)
    height, width = photograph.shape[:2]
    answered = 0
    for x, y in np.random.default_rng(1).random((20, 2)) * (width, height):
        found = nested_masks(tree, (float(x), float(y)))
        answered += bool(found)
        assert len(found) <= len(BANDS)
        assert [m.share for m in found] == sorted(m.share for m in found)
        for item in found:
            assert item.mask.shape == (height, width)
            assert item.mask[int(y), int(x)]
            assert 0 <= item.score <= 1
            assert 0.003 <= item.share < 0.6
        for inner, outer in pairwise(found):
            assert not (inner.mask & ~outer.mask).any()
    assert answered == 20


@pytest.mark.parametrize("point", [(-1.0, 0.0), (0.0, 512.0), (512.0, 0.0), (float("nan"), 1.0)])
def test_a_point_outside_is_refused(astronaut: NDArray[np.uint8], point: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="outside"):
        nested_masks(build_tree(astronaut), point)


def test_a_flat_picture_answers_no_point() -> None:
    assert nested_masks(build_tree(np.zeros((50, 70, 3), dtype=np.uint8)), (3.0, 4.0)) == []


@pytest.mark.parametrize(
    "wrong", [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3))]
)
def test_what_is_no_picture_is_refused(wrong: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        build_tree(wrong)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 40), st.just(3))), st.data())
def test_any_small_picture_any_point(picture: NDArray[np.uint8], data: st.DataObject) -> None:
    height, width = picture.shape[:2]
    x = data.draw(st.floats(0, width, exclude_max=True))
    y = data.draw(st.floats(0, height, exclude_max=True))
    for item in nested_masks(build_tree(picture), (x, y)):
        assert item.mask[int(y), int(x)]


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 4)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_resized_maps_stay_whole_and_nested(labels: NDArray[np.int32], size: tuple[int, int]) -> None:
    _, closed = np.unique(labels, return_inverse=True)
    large = upsample_labels(np.asarray(closed.reshape(labels.shape), dtype=np.int32), size)
    assert large.shape == size
    assert np.unique(large).tolist() == list(range(int(large.max()) + 1))
    inner, outer = upsample_mask(labels < 2, size), upsample_mask(labels < 4, size)
    assert not (inner & ~outer).any()


def test_solidity_of_known_shapes() -> None:
    square = np.zeros((40, 40), dtype=bool)
    assert solidity(square) == 0
    square[5:35, 5:35] = True
    assert solidity(square) == 1
    corner = square.copy()
    corner[5:25, 15:35] = False
    assert 0.6 < solidity(corner) < 0.85
