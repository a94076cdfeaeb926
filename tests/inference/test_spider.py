"""Spider: from questions to masks, in batches, with one look of the segmenter at each picture."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import Spider
from inference.generate import Sampling
from inference.grounded_answer import Encoded, Picture, Region, Segmented
from inference.points import text_to_point
from inference.segmenters import make_segmenter
from inference.settled_points import Parts
from schemas.errors import InputError
from tests.inference.scripted import Scripted
from tests.inference.small import FAMILIES, folder_of, pictures

TOP_LEFT = "The dark patch at the top left of the picture looks worst."
RIGHT = "The quality is poorest on the wall on the right."
WHOLE = "The whole picture suffers from noise."
NOWHERE = "It has a lower quality than I would like."
TWO = "The red cup in the center and the dark table at the bottom right show blur."


class Counted:
    """A segmenter that keeps count; its masks are squares round the first point."""

    name = "counted"

    def __init__(self) -> None:
        self.encoded = 0
        self.parts = 0
        self.regions = 0

    def encode(self, image: Picture) -> Encoded:
        self.encoded += 1
        return _Squares(self, image.shape[0], image.shape[1])


class _Squares:
    def __init__(self, owner: Counted, height: int, width: int) -> None:
        self.owner = owner
        self.size = (height, width)

    def segment(self, points: Sequence[NDArray[np.float64]]) -> list[Segmented]:
        return [Segmented(self._square(*each[0]), 0.75, 1) for each in points]

    def parts(self) -> Parts:
        """Nine cells."""
        self.owner.parts += 1
        rows, columns = (np.arange(length) * 3 // length for length in self.size)
        return Parts.of((3 * rows[:, None] + columns[None]).astype(np.int32))

    def regions(self) -> list[Region]:
        self.owner.regions += 1
        corners = ((1 / 6, 1 / 6), (5 / 6, 1 / 2), (1 / 2, 1 / 2), (5 / 6, 5 / 6))
        return [Region(self._square(x, y), 0.9) for x, y in corners]

    def _square(self, x: float, y: float) -> NDArray[np.bool_]:
        mask = np.zeros(self.size, bool)
        row, column = int(y * self.size[0]), int(x * self.size[1])
        mask[max(0, row - 5) : row + 5, max(0, column - 5) : column + 5] = True
        return mask


def place(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The center of a mask, x and y in unit coordinates."""
    rows, columns = np.nonzero(mask)
    return float(columns.mean() / mask.shape[1]), float(rows.mean() / mask.shape[0])


def test_an_answer_becomes_a_point_and_a_mask_there() -> None:
    picture = pictures(1)[0]
    spider = Spider(Scripted(TOP_LEFT), Counted())
    result = spider.ask(picture, "Where?")
    assert result.question == "Where?"
    assert result.answer.text == TOP_LEFT
    (grounding,) = result.placed.groundings
    assert result.answer.text[slice(*grounding.span)].startswith("top left")
    assert np.unravel_index(int(grounding.map.argmax()), (3, 3)) == (0, 0)
    assert not grounding.uncertain
    (mask,) = result.masks
    assert mask.mask.shape == picture.shape[:2]
    assert place(mask.mask)[0] < 1 / 3
    assert place(mask.mask)[1] < 1 / 3
    assert set(result.seconds) == {"answer", "points", "encode", "segment"}
    assert all(value >= 0 for value in result.seconds.values())


def test_every_place_has_its_mask() -> None:
    result = Spider(Scripted(TWO), Counted()).ask(pictures(1)[0], "Where?")
    assert len(result.placed.groundings) == len(result.masks) == 2
    assert place(result.masks[0].mask)[0] == pytest.approx(0.5, abs=0.1)
    assert place(result.masks[1].mask)[0] > 2 / 3


@pytest.mark.parametrize(("text", "masks"), [(WHOLE, 1), (NOWHERE, 0)])
def test_the_segmenter_is_left_alone_where_no_place_is_named(text: str, masks: int) -> None:
    segmenter = Counted()
    picture = pictures(1)[0]
    for strategy in ("grid", "proposal"):
        result = Spider(Scripted(text), segmenter, strategy).ask(picture, "Where?")  # type: ignore[arg-type]
        assert result.placed.whole_image == (text == WHOLE)
        assert len(result.masks) == masks
        assert all(mask.mask.all() and mask.mask.shape == picture.shape[:2] for mask in result.masks)
        assert set(result.seconds) == {"answer", "points"}
    assert segmenter.encoded == segmenter.parts == segmenter.regions == 0


def test_one_look_at_each_picture_for_all_of_its_questions() -> None:
    first, second = pictures(2)
    segmenter = Counted()
    source = Scripted(TOP_LEFT, RIGHT, WHOLE, TWO, NOWHERE)
    asks = [(first, "a"), (second, "b"), (first.copy(), "c"), (first, "d"), (second, "e"), (first, "f")]
    results = Spider(source, segmenter, batch=4).ask_many(asks)
    assert segmenter.encoded == 2
    assert source.batches == [["a", "b", "c", "d"], ["e", "f"]]
    assert [result.question for result in results] == list("abcdef")
    assert [result.answer.text for result in results] == [TOP_LEFT, RIGHT, WHOLE, TWO, NOWHERE, TOP_LEFT]
    for (picture, _), result in zip(asks, results, strict=True):
        assert all(mask.mask.shape == picture.shape[:2] for mask in result.masks)
    assert Spider(source, segmenter).ask_many([]) == []


def test_points_of_the_grid_settle_in_parts_and_the_papers_do_not() -> None:
    """A picture of two parts: the thin one on the left border, whose centroid is farther left than "left"."""

    class Thin(_Squares):
        def parts(self) -> Parts:
            self.owner.parts += 1
            thin = np.arange(self.size[1]) >= round(0.12 * self.size[1])
            return Parts.of(np.broadcast_to(thin, self.size).astype(np.int32))

    class Thinly(Counted):
        def encode(self, image: Picture) -> Encoded:
            return Thin(self, image.shape[0], image.shape[1])

    picture = pictures(1)[0]
    segmenter = Thinly()
    for strategy, looked in (("paper", 0), ("proposal", 0), ("grid", 1)):
        spider = Spider(Scripted(TOP_LEFT), segmenter, strategy)  # type: ignore[arg-type]
        result = spider.ask(picture, "Where?")
        assert segmenter.parts == looked
    (grounding,) = result.placed.groundings
    blind = text_to_point(
        result.answer, spider.source.ask_all([picture], ["Where?"])[0][1], "grid"
    ).groundings[0]
    assert grounding.map == pytest.approx(blind.map)
    assert grounding.points.tolist() != blind.points.tolist()


def test_a_proposal_is_the_mask() -> None:
    segmenter = Counted()
    result = Spider(Scripted(TOP_LEFT), segmenter, "proposal").ask(pictures(1)[0], "Where?")
    assert segmenter.regions == 1
    assert result.masks[0].score == 0.9
    region = result.placed.groundings[0].region
    assert region is not None
    np.testing.assert_array_equal(result.masks[0].mask, region.mask)


def test_the_paper_strategy_reads_four_words() -> None:
    result = Spider(Scripted(TOP_LEFT), Counted(), "paper").ask(pictures(1)[0], "Where?")
    axis = result.placed.groundings[0].horizontal
    assert axis is not None
    assert axis.classes == ("left", "right")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_answers_in_batches(family: str) -> None:
    shown = pictures(3)
    spider = Spider(folder_of(family), Counted(), batch=2, sampling=Sampling(6))
    results = spider.ask_many([(picture, "Where is it worst?") for picture in shown])
    alone = [Spider(spider.source, Counted()).ask(picture, "Where is it worst?") for picture in shown]
    for result, single in zip(results, alone, strict=True):
        np.testing.assert_array_equal(result.answer.ids, single.answer.ids)
        np.testing.assert_allclose(result.answer.logits, single.answer.logits, rtol=0, atol=1e-5)
    assert family in spider.about
    assert "counted" in spider.about


def test_the_default_segmenter_gives_real_masks() -> None:
    picture = pictures(1)[0]
    result = Spider(Scripted(TWO), make_segmenter("graph")).ask(picture, "Where?")
    for mask, grounding in zip(result.masks, result.placed.groundings, strict=True):
        assert mask.mask.shape == picture.shape[:2]
        x, y = grounding.points[0] * picture.shape[1::-1]
        assert mask.mask[int(y), int(x)]


def test_wrong_use_is_reported() -> None:
    with pytest.raises(InputError, match="strategy"):
        Spider(Scripted(""), Counted(), "best")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="batch"):
        Spider(Scripted(""), Counted(), batch=0)
    with pytest.raises(ValueError, match="uint8"):
        Spider(Scripted(""), Counted()).ask(np.zeros((4, 4), np.uint8), "Where?")


def test_importing_inference_loads_nothing() -> None:
    code = (
        "import sys, inference; "
        "assert not {'torch', 'numpy', 'cv2', 'transformers'} & set(sys.modules); "
        "from inference import Spider, text_to_point; "
        "assert not {'torch', 'transformers', 'gradio'} & set(sys.modules)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
