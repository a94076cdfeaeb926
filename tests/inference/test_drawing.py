"""Drawn results: whatever the picture's size and the answer's letters, they have their place and colors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.drawing import HEIGHT, LEAST, WIDTH, draw_result, fitted, marked
from inference.panels import MARKS, Panel, _marked_lines, _words
from schemas.drawing.lettering import typeface
from schemas.drawing.text_column import PAPER
from tests.conftest import photograph
from tests.inference.results import TEXT, answer, nowhere, two_places, whole


def near(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Where an image has a color, (H, W) bool."""
    return np.abs(image.astype(int) - color).max(axis=-1) < 12


@pytest.mark.parametrize("size", [24, 90, 512, 2000])
def test_a_picture_of_any_size_fits_and_shows_its_masks(size: int) -> None:
    picture = np.ascontiguousarray(photograph("coffee", size))
    before = picture.copy()
    result = two_places(picture.shape)
    alone = marked(picture, result)
    height, width = alone.shape[:2]
    assert width <= WIDTH
    assert height <= HEIGHT
    assert max(height, width) >= min(LEAST, WIDTH)
    assert width / height == pytest.approx(picture.shape[1] / picture.shape[0], rel=0.1)
    for k, mask in enumerate(result.masks):
        scaled = cv2.resize(mask.mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        band = cv2.dilate(scaled, np.ones((25, 25))) > cv2.erode(scaled, np.ones((25, 25)))
        line = near(alone, MARKS[k])
        assert np.count_nonzero(line & band) > np.count_nonzero(line & ~band)
    drawn = draw_result(picture, result)
    assert drawn.dtype == np.uint8
    assert drawn.shape[0] > height
    assert drawn.shape[1] > width
    np.testing.assert_array_equal(picture, before)


def test_points_are_where_they_say() -> None:
    picture = np.full((300, 450, 3), 128, np.uint8)
    result = two_places(picture.shape)
    out, (height, width) = marked(picture, result), marked(picture, result).shape[:2]
    for k, grounding in enumerate(result.placed.groundings):
        for x, y in grounding.points:
            assert near(out, MARKS[k])[int(y * height), int(x * width)]


def test_a_whole_picture_has_a_frame_and_no_outline() -> None:
    picture = np.full((200, 500, 3), 128, np.uint8)
    out = marked(picture, whole(picture.shape))
    assert near(out[3], MARKS[0]).all()
    np.testing.assert_array_equal(out[20:-20, 20:-20], fitted(picture)[0][20:-20, 20:-20])


def test_an_asked_region_is_outlined_without_a_mask() -> None:
    picture = np.full((400, 500, 3), 128, np.uint8)
    asked = np.zeros((400, 500), bool)
    asked[100:300, 100:300] = True
    out = marked(picture, nowhere(), asked)
    changed = (out != 128).any(axis=-1)
    assert changed[95:305, 95:305].any()
    assert not changed[120:280, 120:280].any()
    assert not changed[:90].any()


def test_a_mask_of_another_size_is_refused() -> None:
    picture = np.zeros((40, 50, 3), np.uint8)
    with pytest.raises(ValueError, match="does not fit"):
        draw_result(picture, two_places((50, 40)))
    with pytest.raises(ValueError, match="does not fit"):
        draw_result(picture, nowhere(), np.zeros((2, 2), bool))


def test_an_empty_mask_has_no_outline() -> None:
    picture = np.full((60, 80, 3), 90, np.uint8)
    result = two_places(picture.shape)
    empty = tuple(replace(mask, mask=np.zeros_like(mask.mask)) for mask in result.masks)
    assert draw_result(picture, replace(result, masks=empty)).any()


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=[]), max_size=400), st.data())
def test_any_answer_is_written_inside_its_column(text: str, data: st.DataObject) -> None:
    place = st.integers(0, len(text))
    spans = [tuple(sorted((data.draw(place), data.draw(place)))) for _ in range(2)]
    letters = typeface(16)
    lines = _marked_lines(text, [(a, b) for a, b in spans], letters, 300)
    for line in lines:
        assert sum(letters.getlength(part) for part, _ in line) <= 300 + 24
    said = sorted({mark for _, mark in _words(text, [(a, b) for a, b in spans]) if mark is not None})
    assert said == [k for k in (0, 1) if _owns(spans, k)]
    panel = Panel(360)
    panel.answered(text, [(a, b) for a, b in spans])
    out = panel.to_array()
    assert out.shape[1] == 360
    assert (out[:, -1] == PAPER).all()


def _owns(spans: list[tuple[int, ...]], k: int) -> bool:
    """Whether the span has a character that no earlier one has."""
    own = set(range(*spans[k]))
    return bool(own - set().union(*(range(*span) for span in spans[:k])))


def test_a_long_answer_makes_the_picture_longer() -> None:
    picture = np.full((100, 200, 3), 90, np.uint8)
    short = draw_result(picture, nowhere())
    long = draw_result(picture, replace(nowhere(), answer=answer(TEXT * 20)))
    assert long.shape[0] > short.shape[0] + 300


def test_the_style_of_the_page_is_packaged() -> None:
    assert (Path(__file__).parents[2] / "inference" / "page.css").is_file()
