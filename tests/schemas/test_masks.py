"""Masks: the same encoding as pycocotools, hostile strings rejected, places on both grids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from schemas import masks
from schemas.masks import BoolMask
from schemas.records import Mask
from tests.conftest import photograph

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)
any_mask = arrays(np.bool_, SHAPES)


@given(any_mask)
def test_round_trip_and_agreement_with_pycocotools(mask: BoolMask) -> None:
    encoded = masks.encode(mask)
    assert encoded.size == list(mask.shape)
    decoded = masks.decode(encoded)
    assert decoded.dtype == np.bool_
    assert np.array_equal(decoded, mask)
    rle = {"size": encoded.size, "counts": encoded.counts.encode()}
    assert np.array_equal(coco_mask.decode(rle), mask)
    assert masks.area(encoded) == int(coco_mask.area(rle)) == int(mask.sum())
    box = masks.bounding_box(mask)
    assert box == (coco_mask.toBbox(rle).astype(int).tolist() if mask.any() else [0, 0, 0, 0])


def test_long_runs_of_a_photograph() -> None:
    mask = photograph("astronaut", 512)[..., 0] > 128
    assert np.array_equal(masks.decode(masks.encode(mask)), mask)
    large = np.zeros((3000, 4000), np.bool_)
    large[-1, -1] = True
    encoded = masks.encode(large)
    assert masks.area(encoded) == 1
    assert masks.bounding_box(masks.decode(encoded)) == [3999, 2999, 1, 1]


GOOD = masks.encode(np.eye(9, 7, dtype=np.bool_)).counts
hostile_counts = st.one_of(
    st.text(max_size=60),
    st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=60),
    st.builds(lambda at, letter: GOOD[:at] + letter + GOOD[at + 1 :], st.integers(0, 20), st.characters()),
    st.builds(lambda at: GOOD[:at], st.integers(0, len(GOOD))),
)
hostile_size = st.lists(st.integers(-(2**70), 2**70) | st.integers(-1, 20), min_size=2, max_size=2)


@given(hostile_size, hostile_counts)
@example([9, 7], "oooooooo0")
@example([9, 7], "o" * 100_000)
@example([9, 7], "`" * 7 + "0")
@example([9, 7], "O0")
@example([9, 7], "0\x00")
@example([9, 7], "o\ud800")
@example([2**40, 2**40], "0")
@example([0, 0], "0")
@example([16384, 16385], GOOD)
def test_hostile_masks_are_rejected_or_decoded_correctly(size: list[int], counts: str) -> None:
    try:
        mask = Mask(size=size, counts=counts)
    except ValueError:
        return
    try:
        decoded = masks.decode(mask)
    except ValueError:
        with pytest.raises(ValueError, match="mask "):
            masks.area(mask)
        return
    assert list(decoded.shape) == size
    assert masks.area(mask) == int(decoded.sum())
    again = coco_mask.decode({"size": size, "counts": counts.encode()})
    assert np.array_equal(again, decoded)


@pytest.mark.parametrize(
    ("counts", "problem"),
    [
        ("", "empty or hold an invalid character"),
        ("é", "not ASCII"),
        ("o", "end inside a run"),
        ("````````0", "run that is too long"),
        ("O0", "negative run"),
        (GOOD + "1", "do not add up to 9 x 7"),
        ("o2", "do not add up to 9 x 7"),
    ],
)
def test_the_problem_of_a_malformed_mask_is_stated(counts: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        masks.decode(Mask(size=[9, 7], counts=counts))


THIRDS = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")
QUADRANTS = ("top left", "top right", "bottom left", "bottom right")


def dot(shape: tuple[int, int], y: int, x: int) -> BoolMask:
    mask = np.zeros(shape, np.bool_)
    mask[y, x] = True
    return mask


@pytest.mark.parametrize("height", [3, 9, 300])
def test_each_cell_of_the_thirds(height: int) -> None:
    shape = (height, 2 * height)
    found = [
        masks.position(dot(shape, (2 * row + 1) * shape[0] // 6, (2 * column + 1) * shape[1] // 6))
        for row in range(3)
        for column in range(3)
    ]
    assert tuple(found) == THIRDS == masks.position_words("thirds")


def test_each_cell_of_the_quadrants() -> None:
    found = [masks.position(dot((10, 20), y, x), "quadrants") for y in (4, 5) for x in (9, 10)]
    assert tuple(found) == QUADRANTS == masks.position_words("quadrants")


def test_a_centroid_on_a_border_belongs_to_the_cell_after_it() -> None:
    everywhere = np.ones((6, 6), np.bool_)
    assert masks.position(everywhere, "quadrants") == "bottom right"
    assert masks.position(everywhere, "thirds") == "center"
    ring = everywhere.copy()
    ring[1:-1, 1:-1] = False
    assert masks.position(ring) == "center"


@given(any_mask)
def test_position_is_a_word_of_its_grid_and_mirrors(mask: BoolMask) -> None:
    if not mask.any():
        with pytest.raises(ValueError, match="empty mask"):
            masks.position(mask)
        return
    for grid in ("thirds", "quadrants"):
        assert masks.position(mask, grid) in masks.position_words(grid)
    y, x = (np.array(np.nonzero(mask)).mean(axis=1) + 0.5) / mask.shape
    if all(min(abs(v - edge) for edge in (1 / 3, 2 / 3)) > 1e-6 for v in (y, x)):
        turned = masks.position(mask[::-1, ::-1])
        swapped = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}
        expected = " ".join(swapped.get(word, word) for word in masks.position(mask).split())
        assert turned == expected
