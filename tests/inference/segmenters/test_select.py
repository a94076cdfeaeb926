"""The selection rule: a table of cases, and what must hold of any candidates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from inference.segmenters.select import LARGEST, SMALLEST, choose, to_pixels

SIDE = 100
POINT = np.array([[50, 50]])


def square(side: int, at: int = 50) -> NDArray[np.bool_]:
    """A square of `side` pixels round (at, at) of a 100 x 100 picture; 0.01% each pixel."""
    mask = np.zeros((SIDE, SIDE), bool)
    low = max(0, at - side // 2)
    mask[low : low + side, low : low + side] = True
    return mask


FITS, TINY, HUGE, AWAY, TINY_AWAY, EMPTY = (
    square(30), square(4), square(100), square(20, 15), square(3, 10), square(0)
)  # fmt: skip
CASES: dict[str, tuple[list[NDArray[np.bool_]], list[float], int, str | None]] = {
    "the highest score that fits": ([square(20), FITS, square(40)], [0.5, 0.9, 0.7], 1, None),
    "the first of equal ones": ([square(20), FITS, square(40)], [0.5, 0.9, 0.9], 1, None),
    "a huge one is dropped": ([FITS, HUGE], [0.1, 0.9], 0, None),
    "a tiny one is dropped": ([TINY, FITS], [0.9, 0.1], 1, None),
    "one beside the point is dropped": ([FITS, AWAY], [0.1, 0.9], 0, None),
    "nothing of the right size": ([TINY, HUGE, AWAY], [0.2, 0.3, 0.9], 1, "size"),
    "nothing that holds the point": ([TINY_AWAY, AWAY, EMPTY], [0.9, 0.3, 0.95], 1, "point"),
    "neither": ([TINY_AWAY, EMPTY], [0.2, 0.9], 0, "neither"),
    "nothing at all": ([EMPTY, EMPTY], [0.2, 0.9], 1, "empty"),
    "90% is not too large": ([np.arange(10_000).reshape(100, 100) < 9000], [0.5], 0, None),
    "more than 90% is": ([np.arange(10_000).reshape(100, 100) < 9001], [0.5], 0, "size"),
    "0.2% is not too small": ([np.abs(np.arange(10_000) - 5050).reshape(100, 100) < 10.5], [0.5], 0, None),
    "less than 0.2% is": ([np.abs(np.arange(10_000) - 5050).reshape(100, 100) < 10], [0.5], 0, "size"),
    "a negative score": ([FITS], [-0.5], 0, None),
    "a score above 1": ([FITS, square(20)], [1.5, 1.2], 0, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_rule(case: str) -> None:
    masks, scores, expected, fallback = CASES[case]
    chosen = choose(np.stack(masks), np.array(scores), POINT)
    assert (chosen.candidate, chosen.fallback) == (expected, fallback)
    np.testing.assert_array_equal(chosen.mask, masks[expected])
    assert chosen.score == min(1, max(0, scores[expected]))


def test_all_points_must_be_held() -> None:
    both = np.array([[50, 50], [15, 15]])
    assert choose(np.stack([FITS, square(80)]), np.array([0.9, 0.1]), both).candidate == 1
    assert choose(FITS[None], np.array([0.9]), both).fallback == "point"


@pytest.mark.parametrize("scores", [[], [0.5, 0.5], [float("nan")]])
def test_candidates_without_a_score_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="candidates"):
        choose(FITS[None], np.array(scores), POINT)


@settings(max_examples=150, deadline=None)
@given(
    arrays.arrays(
        np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40)), fill=st.booleans()
    ),
    st.data(),
)
def test_any_candidates(masks: NDArray[np.bool_], data: st.DataObject) -> None:
    count, height, width = masks.shape
    scores = np.array(data.draw(st.lists(st.floats(-1, 2), min_size=count, max_size=count)), np.float32)
    unit = data.draw(arrays.arrays(np.float64, (data.draw(st.integers(1, 3)), 2), elements=st.floats(0, 1)))
    pixels = to_pixels(unit, (height, width))
    chosen = choose(masks, scores, pixels)
    np.testing.assert_array_equal(chosen.mask, masks[chosen.candidate])
    assert 0 <= chosen.score <= 1

    def fits(mask: NDArray[np.bool_]) -> bool:
        return SMALLEST <= mask.mean() <= LARGEST and all(mask[y, x] for x, y in pixels)

    good = [index for index in range(count) if fits(masks[index])]
    assert (chosen.fallback is None) == bool(good)
    if good:
        assert chosen.candidate in good
        assert scores[chosen.candidate] == max(scores[index] for index in good)
    if chosen.fallback == "empty":
        assert not masks.any()
    elif masks.any():
        assert chosen.mask.any()


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (480, 640)])
def test_the_middle_of_a_pixel_is_that_pixel(size: tuple[int, int]) -> None:
    y, x = (part.ravel() for part in np.mgrid[: size[0], : size[1]])
    unit = np.stack([(x + 0.5) / size[1], (y + 0.5) / size[0]], axis=1)
    np.testing.assert_array_equal(to_pixels(unit, size), np.stack([x, y], axis=1))


def test_the_border_belongs_to_the_picture() -> None:
    corners = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [np.nextafter(1, 0), 0.5]])
    assert to_pixels(corners, (30, 40)).tolist() == [[0, 0], [39, 29], [39, 0], [39, 15]]


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((0, 2)), np.zeros(2), np.zeros((1, 3)), np.array([[0.5, 1.01]]), np.array([[-0.01, 0.5]]),
     np.array([[np.nan, 0.5]]), np.array([[np.inf, 0.5]])],
)  # fmt: skip
def test_what_is_no_point_is_refused(wrong: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="point"):
        to_pixels(wrong, (30, 40))
