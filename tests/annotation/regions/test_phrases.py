"""Class names and captions as noun phrases, and the crops around masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.regions.crops import MAX_RATIO, bounded, coverage, cut, scaled_box
from annotation.regions.names import PLACE_WORDS
from annotation.regions.phrases import class_phrase, noun_phrases

BLACK_AND_WHITE = "a black - and - white photo of a horse drawn carriage"


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("person", "person"),
        ("person, individual, someone, somebody", "person"),
        ("bathtub;bathing tub", "bathtub"),
        ("wall-other-merged", "wall"),
        ("tree-merged", "tree"),
        ("door-stuff", "door"),
        ("sky-other", "sky"),
        ("wall-brick", "brick wall"),
        ("floor-wood", "wood floor"),
        ("window-blind", "window blind"),
        ("playingfield", "playing field"),
        ("arctic_(type_of_shoe)", "arctic"),
        ("CRT screen", "crt screen"),
        ("T-shirt", "t-shirt"),
        ("traffic light", "traffic light"),
        ("The Sky", "sky"),
        ("background", None),
        ("other", None),
        ("Void", None),
        ("N/A", None),
        ("---", None),
        ("", None),
    ],
)
def test_a_class_is_a_noun_phrase(name: str, phrase: str | None) -> None:
    assert class_phrase(name) == phrase


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        (
            "arafed image of a man in a black suit standing next to a red car",
            ["man", "black suit", "red car"],
        ),
        ("there is a cat that is sleeping on a couch", ["cat", "couch"]),
        ("two men holding umbrellas and walking down the street", ["men", "umbrellas", "street"]),
        ("a close up of a traffic light", ["traffic light"]),
        ("a man wearing a striped t - shirt", ["man", "striped t-shirt"]),
        ("a bed covered with white sheets", ["bed", "white sheets"]),
        ("a blurry picture of a building with a clock on the side", ["building", "clock"]),
        ("a bunch of bananas hanging from a tree", ["bananas", "tree"]),
        ("a smiling woman dressed in blue", ["woman"]),
        ("a view of the sky from the top of a hill", ["sky", "hill"]),
        ("a dining room table with a wooden chair", ["dining room table", "wooden chair"]),
        ("a man riding a wave on top of a surfboard", ["man", "wave", "surfboard"]),
        ("a stop sign on the left side of the road", ["stop sign", "road"]),
        ("young boy flying a kite in a field", ["young boy", "kite", "field"]),
        ("an old swimming pool, a shed and a flowerbed", ["old swimming pool", "shed", "flowerbed"]),
        (BLACK_AND_WHITE, ["horse drawn carriage"]),
        ("the right hand of a girl", ["hand", "girl"]),
        ("a cat and a cat and another cat", ["cat"]),
        ("cat cat cat cat cat cat", ["cat"]),
        ("it is very dark and blurry", []),
        ("12 34", []),
        ("", []),
        ("?!...", []),
    ],
)
def test_a_caption_has_its_nouns(caption: str, phrases: list[str]) -> None:
    assert noun_phrases(caption) == phrases


@given(st.text(max_size=80))
def test_any_caption_gives_clean_phrases(caption: str) -> None:
    for phrase in noun_phrases(caption):
        assert phrase == " ".join(phrase.split())
        assert phrase
        assert not set(phrase.split()) & PLACE_WORDS


SIDES = st.integers(1, 40)


@given(st.data(), SIDES, SIDES, st.sampled_from([1.0, 1.2, 1.6, 4.0]))
def test_a_box_holds_the_mask_and_stays_inside(
    data: st.DataObject, height: int, width: int, scale: float
) -> None:
    x = data.draw(st.integers(0, width - 1))
    y = data.draw(st.integers(0, height - 1))
    w = data.draw(st.integers(1, width - x))
    h = data.draw(st.integers(1, height - y))
    x0, y0, x1, y1 = scaled_box((x, y, w, h), scale, (height, width))
    assert 0 <= x0 <= x < x + w <= x1 <= width
    assert 0 <= y0 <= y < y + h <= y1 <= height
    if scale == 1.0:
        assert (x0, y0, x1, y1) == (x, y, x + w, y + h)
    assert x1 - x0 <= w * scale + 2


def test_a_box_grows_about_its_center() -> None:
    assert scaled_box((40, 20, 20, 10), 1.6, (100, 100)) == (34, 17, 66, 33)
    assert scaled_box((0, 0, 20, 10), 1.6, (100, 100)) == (0, 0, 26, 13)
    assert scaled_box((0, 0, 0, 0), 1.2, (5, 5)) == (0, 0, 1, 1)


def test_a_crop_is_the_part_of_the_picture() -> None:
    image = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    assert np.array_equal(cut(image, (2, 3, 7, 9)), image[3:9, 2:7])


@given(st.integers(1, 200), st.integers(1, 200))
def test_no_strip_reaches_a_model(height: int, width: int) -> None:
    picture = bounded(np.full((height, width, 3), 77, dtype=np.uint8))
    assert max(picture.shape[:2]) == max(height, width)
    assert max(picture.shape[:2]) <= MAX_RATIO * min(picture.shape[:2])
    assert (picture == 77).all()
    if max(height, width) <= MAX_RATIO * min(height, width):
        assert picture.shape == (height, width, 3)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 30), st.integers(1, 30), st.integers(0, 9))
def test_coverage_keeps_the_share_of_a_mask(
    height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.3
    cells = coverage(mask, (rows, columns))
    assert cells.shape == (rows, columns)
    assert cells.min() >= 0
    assert cells.max() <= 1 + 1e-5
    if height % rows == 0 and width % columns == 0:
        np.testing.assert_allclose(cells.mean(), mask.mean(), atol=1e-5)
