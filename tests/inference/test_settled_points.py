"""Parts of a picture and the points that a place settles at, in photographs and in any label map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from inference.likelihood import CELLS, along
from inference.points import ANCHORS
from inference.segmenters.graph import GraphSegmenter
from inference.segmenters.tree_parts import parts_of
from inference.settled_points import DEEP, LINE, Parts, settle
from schemas.masks import position
from tests.conftest import photograph

LEFT, MIDDLE, RIGHT = np.eye(3)


def label_at(parts: Parts, point: NDArray[np.float64]) -> int:
    height, width = parts.labels.shape
    return int(parts.labels[int(point[1] * height), int(point[0] * width)])


def columns(*widths: int, height: int = 90) -> Parts:
    """Parts side by side."""
    row = np.repeat(np.arange(len(widths)), widths)
    return Parts.of(np.tile(row, (height, 1)).astype(np.int32))


def test_centroids_and_depth() -> None:
    labels = np.zeros((20, 50), np.int32)
    labels[5:15, 30:40] = 1
    parts = Parts.of(labels)
    assert parts.centroids[1] == pytest.approx([0.7, 0.5])
    assert parts.centroids[0, 0] < 0.5
    outside = np.argwhere(labels != 1)
    for row, column in ((5, 30), (9, 34), (14, 39)):
        wanted = np.sqrt(((outside - [row, column]) ** 2).sum(axis=1).min())
        assert parts.depth[row, column] * np.sqrt(labels.size) == pytest.approx(wanted, abs=1e-4)
    assert parts.depth[0, 10] * np.sqrt(labels.size) == pytest.approx(1)


@pytest.mark.parametrize(
    "labels", [np.zeros((0, 4)), np.zeros(4), np.array([[0, 2]]), np.array([[-1, 0]]), np.array([[1, 1]])]
)
def test_what_is_no_label_map(labels: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="label"):
        Parts.of(labels.astype(np.int32))


def test_an_axis_that_is_named_pulls_harder_than_one_that_is_not() -> None:
    at = np.linspace(0, 1, 101)
    assert at[along(at, LEFT).argmax()] == pytest.approx(CELLS[0], abs=0.01)
    assert at[along(at, LEFT, ANCHORS).argmax()] == pytest.approx(ANCHORS[0], abs=0.01)
    assert at[along(at, None).argmax()] == 0.5
    assert (along(at, MIDDLE) <= along(at, None) + 1e-12).all()
    mixed = 0.5 * LEFT + 0.5 * RIGHT
    assert along(at, mixed) == pytest.approx((along(at, LEFT) + along(at, RIGHT)) / 2)


def test_a_point_settles_in_the_part_that_lies_there() -> None:
    """The anchor lies in a sliver at the border; the part whose centroid is on the left is beside it."""
    parts = columns(4, 40, 76)
    assert label_at(parts, np.array([0.02, 0.5])) == 0
    for down in (None, LEFT, MIDDLE, RIGHT):
        points = settle(parts, LEFT, down, ANCHORS)
        assert [label_at(parts, point) for point in points] == [1] * len(points)
        assert points[0, 1] == pytest.approx(0.5 if down is None else ANCHORS[int(down.argmax())], abs=0.12)


def test_points_stand_in_line_along_the_axis_without_a_word() -> None:
    parts = columns(60, 60)
    points = settle(parts, RIGHT, None, ANCHORS)
    assert len(points) == 3
    assert len(set(points[:, 0])) == 1
    assert sorted(points[:, 1] - points[0, 1]) == pytest.approx([-LINE, 0, LINE], abs=0.01)
    assert len(settle(parts, RIGHT, LEFT, ANCHORS)) == 1
    rows = Parts.of(np.ascontiguousarray(parts.labels.T))
    assert settle(rows, None, RIGHT, ANCHORS) == pytest.approx(points[:, ::-1], abs=0.01)


def test_a_line_ends_where_its_part_does() -> None:
    labels = np.zeros((100, 120), np.int32)
    labels[47:53, 80:] = 1
    points = settle(Parts.of(labels), RIGHT, None, ANCHORS)
    assert points.shape == (1, 2)
    assert points[0, 1] == pytest.approx(0.5, abs=0.03)


def test_one_part_alone_leaves_points_near_their_anchors() -> None:
    parts = Parts.of(np.zeros((60, 80), np.int32))
    for column, across in enumerate((LEFT, MIDDLE, RIGHT)):
        for row, down in enumerate((LEFT, MIDDLE, RIGHT)):
            (point,) = settle(parts, across, down, ANCHORS)
            assert point == pytest.approx([ANCHORS[column], ANCHORS[row]], abs=DEEP)


def test_a_mirrored_picture_has_mirrored_points() -> None:
    parts = parts_of(photograph("coffee", 256))
    mirrored = Parts.of(np.ascontiguousarray(parts.labels[:, ::-1]))
    for across, down in ((LEFT, None), (LEFT, RIGHT), (None, LEFT), (RIGHT, MIDDLE)):
        first = settle(parts, across, down, ANCHORS)[0]
        second = settle(mirrored, None if across is None else across[::-1], down, ANCHORS)[0]
        assert [1 - second[0], second[1]] == pytest.approx(first, abs=1 / 100)


def test_segmenters_have_the_same_parts() -> None:
    picture = photograph("rocket", 256)
    own = GraphSegmenter().encode(picture).parts()
    np.testing.assert_array_equal(own.labels, parts_of(picture).labels)
    for label, (x, y) in enumerate(own.centroids):
        words = position(own.labels == label).split()
        assert ("left" in words, "right" in words) == (x < 1 / 3, x >= 2 / 3)
        assert ("top" in words, "bottom" in words) == (y < 1 / 3, y >= 2 / 3)


@given(
    arrays.arrays(
        np.int32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 5)
    ),
    st.sampled_from([None, LEFT, MIDDLE, RIGHT]),
    st.sampled_from([None, LEFT, MIDDLE, RIGHT]),
)
def test_all_points_of_a_place_are_inside_one_part(
    labels: NDArray[np.int32], across: NDArray[np.float64] | None, down: NDArray[np.float64] | None
) -> None:
    parts = Parts.of(np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32))
    points = settle(parts, across, down, ANCHORS)
    assert 1 <= len(points) <= 5
    assert ((points > 0) & (points < 1)).all()
    assert len({label_at(parts, point) for point in points}) == 1
    np.testing.assert_array_equal(points, settle(parts, across, down, ANCHORS))
