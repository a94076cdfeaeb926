"""A row as a picture: outlines where the masks are, the text in full, and nothing cut off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.dataset.row_picture import MARGIN, PANEL_WIDTH, TARGET, draw_row
from schemas import masks
from schemas.drawing.lettering import typeface, wrap
from schemas.drawing.text_column import PAPER
from schemas.records import Message
from tests.flows.synthetic_rows import ellipse, photographs, region, synthetic

ROW, PICTURE = next((row, picture) for row, picture in synthetic(20, seed=3) if not row.whole_image)

BARE = {"regions": [], "target_region_ids": [], "whole_image": False}


def yellow(drawn: np.ndarray, without: np.ndarray) -> np.ndarray:
    """Where the target's color is, left of the panel, and is not without the outline."""
    height = min(drawn.shape[0], without.shape[0])
    marked = [
        np.abs(picture[:height, : -PANEL_WIDTH - MARGIN].astype(int) - np.array(TARGET)).sum(axis=2) < 30
        for picture in (drawn, without)
    ]
    return marked[0] & ~marked[1]


def test_the_target_is_outlined_where_its_mask_is() -> None:
    photograph = photographs()[3]
    mask = ellipse(photograph.shape[:2], 0.6, 0.3, 0.15, 0.2)
    row = ROW.model_copy(
        update={"regions": [region("a", mask)], "target_region_ids": ["a"], "whole_image": False}
    )
    drawn = draw_row(row, [photograph])
    scale = (drawn.shape[1] - PANEL_WIDTH - 3 * MARGIN) / photograph.shape[1]
    x, y, width, height = (scale * v for v in row.regions[0].bbox)
    rows, columns = np.nonzero(yellow(drawn, draw_row(row.model_copy(update=BARE), [photograph])))
    assert columns.min() - MARGIN == pytest.approx(x, abs=5)
    assert columns.max() - MARGIN == pytest.approx(x + width, abs=5)
    assert rows.min() - MARGIN == pytest.approx(y, abs=5)
    assert rows.max() - MARGIN == pytest.approx(y + height, abs=5)


def test_the_whole_picture_is_framed() -> None:
    row = ROW.model_copy(update={"target_region_ids": [], "whole_image": True})
    marked = yellow(draw_row(row, [PICTURE]), draw_row(row.model_copy(update=BARE), [PICTURE]))
    assert marked[:, MARGIN + 2].sum() > 100
    assert marked[MARGIN + 2].sum() > 100


def test_the_picture_itself_is_untouched_away_from_lines_and_the_same_each_time() -> None:
    row = ROW.model_copy(update={"regions": [], "target_region_ids": []})
    big = np.ascontiguousarray(photographs()[0])
    before = big.copy()
    drawn = draw_row(row, [big])
    assert np.array_equal(big, before)
    assert np.array_equal(drawn, draw_row(row, [big]))
    assert drawn.dtype == np.uint8
    middle = drawn[MARGIN + 100 : MARGIN + 300, MARGIN + 100 : MARGIN + 300].astype(float).mean(axis=(0, 1))
    scale = (drawn.shape[1] - PANEL_WIDTH - 3 * MARGIN) / big.shape[1]
    low, high = round(100 / scale), round(300 / scale)
    assert middle == pytest.approx(big[low:high, low:high].astype(float).mean(axis=(0, 1)), abs=2)


def test_a_long_dialogue_makes_the_picture_taller_and_stays_inside() -> None:
    short = draw_row(ROW, [PICTURE])
    text = "The sky carries strong noise. " * 80 + "W" * 400
    long = ROW.model_copy(
        update={"messages": [Message(role="user", content="?"), Message(role="assistant", content=text)]}
    )
    drawn = draw_row(long, [PICTURE])
    assert drawn.shape[0] > short.shape[0]
    for edge in (drawn[:, -MARGIN + 2 :], drawn[-MARGIN + 2 :]):
        assert (edge == np.array(PAPER)).all()


def test_several_pictures_of_odd_shapes_stand_below_each_other() -> None:
    row = ROW.model_copy(update={"regions": [], "target_region_ids": []})
    line = np.full((1, 400, 3), 90, np.uint8)
    drawn = draw_row(row, [PICTURE, photographs()[-1], line])
    assert drawn.shape[0] > draw_row(row, [photographs()[-1]]).shape[0]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no picture"):
        draw_row(ROW, [])
    with pytest.raises(ValueError, match="mask of"):
        draw_row(ROW, [PICTURE[:-1]])


def test_hostile_text_is_drawn() -> None:
    text = "<b>\x00\u202e\ud800 日本語 🕷\n\n\t" + "x" * 5000
    changed = [r.model_copy(update={"label": text}) for r in ROW.regions]
    row = ROW.model_copy(
        update={"regions": changed, "messages": [Message(role="user", content=text)], "id": text}
    )
    assert draw_row(row, [PICTURE]).shape[2] == 3


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.integers(30, 400))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    font = typeface(16)
    lines = wrap(text, font, width)
    assert lines
    assert all(font.getlength(line) <= width or len(line) == 1 for line in lines)
    plain = "".join(c for c in text if c.isascii() and c.isalnum())
    assert plain in "".join(c for c in "".join(lines) if c.isascii() and c.isalnum()) or "\\" in "".join(
        lines
    )


def test_many_regions_are_counted_not_lost() -> None:
    shape = PICTURE.shape[:2]
    many = [
        region(
            f"r{k}", ellipse(shape, 0.1 + 0.04 * k, 0.5, 0.05, 0.05), distortions=ROW.regions[0].distortions
        )
        for k in range(20)
    ]
    row = ROW.model_copy(update={"regions": many, "target_region_ids": ["r3"], "whole_image": False})
    assert draw_row(row, [PICTURE]).shape[0] > 600
    assert masks.decode(many[0].mask).any()
