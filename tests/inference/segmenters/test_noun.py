"""Text to mask by noun: label words, over a real segmenter's regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.grounded_answer import Region, Segmented
from inference.segmenters import make_segmenter
from inference.segmenters.noun import by_noun, words
from inference.settled_points import Parts
from tests.conftest import photograph

LABELS = [
    "textured dark brown area",
    "larger light grey patch on the left",
    "smaller light grey patch on the right",
    "red strip",
    None,
]


class Given:
    """An encoded picture whose regions are known."""

    def __init__(self, labels: Sequence[str | None]) -> None:
        self.size = (4, len(labels))
        self._regions = [
            Region(np.arange(4 * len(labels)).reshape(4, -1) % len(labels) == n, 1.0, label)
            for n, label in enumerate(labels)
        ]

    def segment(self, points: Sequence[NDArray[np.float64]]) -> list[Segmented]:
        raise AssertionError("a noun needs no points")

    def parts(self) -> Parts:
        raise AssertionError("a noun needs no parts")

    def regions(self) -> list[Region]:
        return self._regions


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("the red strip", 3),
        ("Red strips", 3),
        ("brown", 0),
        ("the light gray patch on the right", 2),
        ("grey patch", 1),
        ("the wooden table", None),
        ("on the", None),
        ("", None),
    ],
)
def test_the_label_with_most_words_in_common(noun: str, expected: int | None) -> None:
    encoded = Given(LABELS)
    found = by_noun(encoded, noun)
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert found.candidate == expected
    assert found.mask is encoded.regions()[expected].mask
    assert 0 < found.score <= 1


def test_the_same_phrase_scores_one_and_less_alike_less() -> None:
    scores = [by_noun(Given(LABELS), noun) for noun in ("the red strip", "red", "red table with a strip")]
    values = [item.score for item in scores if item is not None]
    assert values[0] == pytest.approx(1)
    assert max(values[1:]) < 0.9


def test_no_region_no_answer() -> None:
    assert by_noun(Given([]), "red strip") is None


@given(st.text(max_size=40), st.lists(st.none() | st.text(max_size=30), max_size=5))
def test_any_words(noun: str, labels: list[str | None]) -> None:
    found = by_noun(Given(labels), noun)
    shared = [n for n, label in enumerate(labels) if words(noun) & words(label or "")]
    assert (found is None) == (not shared)
    if found is not None:
        assert found.candidate in shared
        assert 0 < found.score <= 1


def test_every_label_of_a_photograph_finds_its_own_region() -> None:
    encoded = make_segmenter("graph").encode(photograph("coffee", 320))
    regions = encoded.regions()
    assert len(regions) >= 3
    for number, region in enumerate(regions):
        found = by_noun(encoded, f"the {region.label}")
        assert found is not None
        assert found.candidate == number
