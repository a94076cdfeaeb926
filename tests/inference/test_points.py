"""Text to point: the paper's formula to the digit, the grid's reading of each axis, chosen regions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inference
from benchmarks.strategies import oracle_answer
from inference.grounded_answer import Answer, Region
from inference.place_tokens import Vocabulary
from inference.points import ANCHORS, SIDE_POINTS, Temperatures, text_to_point
from inference.proposals import centroid
from inference.settled_points import Parts
from schemas.hashing import rng
from schemas.masks import BoolMask, position
from tests.inference import tokenizers


@pytest.fixture(scope="module")
def qwen() -> Any:
    return tokenizers.qwen()


@pytest.fixture(scope="module")
def vocabulary(qwen: Any) -> Vocabulary:
    return Vocabulary.of(qwen)


def spoken(qwen: Any, vocabulary: Vocabulary, text: str, logits: Any = None) -> Answer:
    """An answer with the logits of token texts ({" left": 2.0}) at all of its steps, the others at -30."""
    encoded = qwen(text, add_special_tokens=False, return_offsets_mapping=True)
    ids = np.array(encoded["input_ids"], np.int64)
    offsets = np.array(encoded["offset_mapping"], np.int64).reshape(-1, 2)
    values = np.full((ids.size, vocabulary.columns.size), -30.0, np.float32)
    for token, value in (logits or {}).items():
        (number,) = qwen.encode(token, add_special_tokens=False)
        values[:, vocabulary.place(number)] = value
    return Answer(ids, text, offsets, vocabulary.columns, values)


def test_the_papers_formula_on_a_thousand_pairs(qwen: Any, vocabulary: Vocabulary) -> None:
    """x = p(right) W and y = p(bottom) H with a softmax at a temperature over two words, in plain floats."""
    draw = rng(0, "pairs")
    texts = {"The wall at the top left.": (" top", " bottom", " left", " right"),
             "The wall in the bottom-right corner.": (" top", " bottom", "-left", "-right")}  # fmt: skip
    for k in range(1000):
        text = list(texts)[k % 2]
        top, bottom, left, right = texts[text]
        a, b, c, d = (float(np.float32(value)) for value in draw.normal(0, 8, 4))
        across, down = (float(value) for value in draw.uniform(0.3, 4, 2))
        answer = spoken(qwen, vocabulary, text, {top: a, bottom: b, left: c, right: d, " center": 50.0})
        (found,) = text_to_point(answer, vocabulary, "paper", Temperatures(across, down)).groundings
        x = 1 / (1 + math.exp(min(700.0, (c - d) / across)))
        y = 1 / (1 + math.exp(min(700.0, (a - b) / down)))
        assert found.points.shape == (1, 2)
        assert abs(found.points[0, 0] - x) < 1e-6
        assert abs(found.points[0, 1] - y) < 1e-6
        assert abs(found.map.sum() - 1) < 1e-9


def test_paper_leaves_an_unnamed_axis_in_the_middle(qwen: Any, vocabulary: Vocabulary) -> None:
    answer = spoken(qwen, vocabulary, "The wall on the left.", {" left": 3.0, " right": 1.0})
    (found,) = text_to_point(answer, vocabulary, "paper").groundings
    assert found.vertical is None
    assert found.points.tolist() == [[pytest.approx(1 / (1 + math.exp(2))), 0.5]]
    assert found.noun == "wall"


def test_each_axis_is_read_at_its_own_step(qwen: Any, vocabulary: Vocabulary) -> None:
    text = "It is the wall at the top-left of the image."
    answer = oracle_answer(qwen, vocabulary, text, 0.8)
    (found,) = text_to_point(answer, vocabulary).groundings
    assert found.vertical is not None
    assert found.horizontal is not None
    pieces = qwen.convert_ids_to_tokens(answer.ids.tolist())
    assert (pieces[found.vertical.step], pieces[found.horizontal.step]) == ("Ġtop", "-left")
    assert found.vertical.probabilities.tolist() == pytest.approx([0.8, 0.1, 0.1], abs=1e-5)
    assert found.horizontal.probabilities.tolist() == pytest.approx([0.8, 0.1, 0.1], abs=1e-5)
    assert found.map == pytest.approx(np.outer([0.8, 0.1, 0.1], [0.8, 0.1, 0.1]), abs=1e-5)
    assert found.points.tolist() == [[ANCHORS[0], ANCHORS[0]]]
    assert not found.uncertain
    assert text[found.span[0] : found.span[1]] == "top-left"


def test_spellings_and_synonyms_count_together(qwen: Any, vocabulary: Vocabulary) -> None:
    """Three tokens of one class beat one of another that is likelier than each of them."""
    logits = {" top": 1.0, " upper": 1.0, " Top": 1.0, " bottom": 1.5}
    answer = spoken(qwen, vocabulary, "The wall at the top.", logits)
    (found,) = text_to_point(answer, vocabulary).groundings
    assert found.vertical is not None
    wanted = 3 * math.e / (3 * math.e + math.exp(1.5))
    assert found.vertical.probabilities[0] == pytest.approx(wanted, abs=1e-6)
    assert found.points[0, 1] == ANCHORS[0]


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_works_before_the_sum(qwen: Any, vocabulary: Vocabulary, temperature: float) -> None:
    answer = spoken(qwen, vocabulary, "The wall at the top.", {" top": 2.0, " upper": 1.0, " bottom": 1.0})
    (found,) = text_to_point(answer, vocabulary, "grid", Temperatures(9.0, temperature)).groundings
    assert found.vertical is not None
    top = math.exp(2 / temperature) + math.exp(1 / temperature)
    assert found.vertical.probabilities[0] == pytest.approx(top / (top + math.exp(1 / temperature)), abs=1e-4)


def test_a_side_gets_points_in_line_and_no_invented_axis(qwen: Any, vocabulary: Vocabulary) -> None:
    (found,) = text_to_point(oracle_answer(qwen, vocabulary, "On the left side.", 0.9), vocabulary).groundings
    assert found.vertical is None
    assert found.points.tolist() == [[ANCHORS[0], y] for y in SIDE_POINTS]
    assert found.map.sum(axis=1) == pytest.approx([1 / 3] * 3)


def test_center_alone_is_both_axes(qwen: Any, vocabulary: Vocabulary) -> None:
    (found,) = text_to_point(oracle_answer(qwen, vocabulary, "In the center.", 0.9), vocabulary).groundings
    assert found.points.tolist() == [[0.5, 0.5]]
    assert found.map[1, 1] == pytest.approx((0.9 / (0.9 + 2 * 0.05)) ** 2, abs=1e-4)


def test_two_peaks_give_two_points(qwen: Any, vocabulary: Vocabulary) -> None:
    logits = {" left": 2.0, " right": 1.9, " center": -3.0}
    answer = spoken(qwen, vocabulary, "The wall on the left.", logits)
    (found,) = text_to_point(answer, vocabulary).groundings
    assert {x for x, _ in found.points.tolist()} == {ANCHORS[0], ANCHORS[2]}


def test_with_parts_each_peak_settles_in_its_own(qwen: Any, vocabulary: Vocabulary) -> None:
    parts = Parts.of(np.repeat([[0, 1, 2]], 40, axis=1).repeat(90, axis=0).astype(np.int32))
    logits = {" left": 2.0, " right": 1.9, " center": -3.0}
    answer = spoken(qwen, vocabulary, "The wall on the left.", logits)
    (found,) = text_to_point(answer, vocabulary, parts=parts).groundings
    assert {int(3 * x) for x in found.points[:, 0]} == {0, 2}
    certain = spoken(qwen, vocabulary, "The wall on the left.", {" left": 2.0})
    (found,) = text_to_point(certain, vocabulary, parts=parts).groundings
    assert {int(3 * x) for x in found.points[:, 0]} == {0}
    assert found.points.shape == (3, 2)


def test_a_flat_map_says_so_and_follows_the_words(qwen: Any, vocabulary: Vocabulary) -> None:
    logits = {" left": 0.0, " right": 0.05, " center": 0.0}
    answer = spoken(qwen, vocabulary, "The wall on the left.", logits)
    (found,) = text_to_point(answer, vocabulary).groundings
    assert found.uncertain
    assert {x for x, _ in found.points.tolist()} == {ANCHORS[0]}


@pytest.mark.parametrize(
    ("confidence", "uncertain"), [(0.5, True), (0.55, True), (0.6, False), (0.95, False)]
)
def test_where_doubt_begins(qwen: Any, vocabulary: Vocabulary, confidence: float, uncertain: bool) -> None:
    answer = oracle_answer(qwen, vocabulary, "At the top left.", confidence)
    assert text_to_point(answer, vocabulary).groundings[0].uncertain == uncertain


def test_a_word_that_no_column_begins_is_taken_at_its_word(qwen: Any, vocabulary: Vocabulary) -> None:
    answer = spoken(qwen, vocabulary, "The wall on the left.", {" right": 9.0})
    step = next(k for k, (a, b) in enumerate(answer.offsets) if answer.text[a:b] == " left")
    answer.ids[step] = qwen.encode(" dog", add_special_tokens=False)[0]
    (found,) = text_to_point(answer, vocabulary).groundings
    assert found.horizontal is not None
    assert found.horizontal.probabilities.tolist() == pytest.approx([0.9, 0.05, 0.05])


def test_several_regions_and_repetitions(qwen: Any, vocabulary: Vocabulary) -> None:
    text = (
        "The sky at the top and the lamp at the bottom right are noisy. The sky at the top is worst. "
        "The lower quality there is plain."
    )
    placed = text_to_point(oracle_answer(qwen, vocabulary, text, 0.8), vocabulary)
    assert [grounding.noun for grounding in placed.groundings] == ["sky", "lamp"]


def test_answers_about_the_whole_picture_have_no_points(qwen: Any, vocabulary: Vocabulary) -> None:
    text = "The whole photo, from the wall at the top to the floor, shows blur."
    placed = text_to_point(oracle_answer(qwen, vocabulary, text, 0.8), vocabulary)
    assert placed.whole_image
    assert placed.groundings == ()
    nowhere = text_to_point(oracle_answer(qwen, vocabulary, "It is sharp.", 0.8), vocabulary)
    assert (nowhere.whole_image, nowhere.groundings) == (False, ())


def block(top: int, left: int, height: int = 20, width: int = 20) -> BoolMask:
    mask = np.zeros((90, 120), bool)
    mask[top : top + height, left : left + width] = True
    return mask


REGIONS = [
    Region(block(0, 0), 1.0, "dark wall"), Region(block(5, 5, 80, 110), 1.0, "grass"),
    Region(block(60, 90), 1.0, "red lamp"), Region(block(2, 25), 0.9, "grey sky"),
]  # fmt: skip


def test_a_proposal_is_chosen_by_place_and_noun(qwen: Any, vocabulary: Vocabulary) -> None:
    def chosen(text: str, regions: list[Region] = REGIONS) -> Any:
        answer = oracle_answer(qwen, vocabulary, text, 0.8)
        (found,) = text_to_point(answer, vocabulary, "proposal", regions=regions).groundings
        return found

    for text, place in (
        ("The dark wall at the top left is worst.", 0), ("At the bottom right.", 2),
        ("The grass in the center.", 1), ("The grey sky at the top left is worst.", 3),
    ):  # fmt: skip
        found = chosen(text)
        assert found.region is REGIONS[place], text
        x, y = found.points[0]
        assert REGIONS[place].mask[int(y * 90), int(x * 120)]
    assert chosen("At the top left.", []).region is None
    empty = Region(np.zeros((90, 120), bool), 1.0)
    assert chosen("At the top left.", [empty]).region is None
    assert chosen("At the top left.", [empty]).points.tolist() == [[ANCHORS[0], ANCHORS[0]]]


def test_wrong_use(qwen: Any, vocabulary: Vocabulary) -> None:
    answer = oracle_answer(qwen, vocabulary, "At the top left.", 0.8)
    with pytest.raises(ValueError, match="needs regions"):
        text_to_point(answer, vocabulary, "proposal")
    other = Answer(answer.ids, answer.text, answer.offsets, answer.columns[1:], answer.logits[:, 1:])
    with pytest.raises(ValueError, match="columns"):
        text_to_point(other, vocabulary)
    with pytest.raises(ValueError, match="above 0"):
        Temperatures(0.0, 1.0)
    with pytest.raises(ValueError, match="differ in size"):
        text_to_point(
            answer, vocabulary, "proposal", regions=[REGIONS[0], Region(np.ones((2, 2), bool), 1.0)]
        )


def test_centroids_of_masks() -> None:
    draw = rng(0, "blocks")
    for _ in range(50):
        mask = block(*(int(n) for n in draw.integers(0, 60, 2)), *(int(n) for n in draw.integers(1, 60, 2)))
        x, y = centroid(mask)
        names = position(mask).split()
        assert (y < 1 / 3, y >= 2 / 3) == ("top" in names, "bottom" in names)
        assert (x < 1 / 3, x >= 2 / 3) == ("left" in names, "right" in names)


def test_the_package_gives_it() -> None:
    assert inference.text_to_point is text_to_point
    with pytest.raises(AttributeError):
        inference.nothing  # noqa: B018


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["the top ", "left", "-right", " of the image", ". ", "center", "é"]), max_size=20
    ),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["paper", "grid", "proposal"]),
)
def test_hostile_answers(parts: list[str], seed: int, strategy: Any) -> None:
    qwen = tokenizers.qwen()
    vocabulary = Vocabulary.of(qwen)
    answer = spoken(qwen, vocabulary, "".join(parts))
    noise = np.random.default_rng(seed)
    answer.logits[:] = noise.normal(0, 50, answer.logits.shape)
    answer.logits[noise.random(answer.logits.shape) < 0.1] = -np.inf
    answer.logits[noise.random(answer.logits.shape) < 0.002] = np.nan
    for found in text_to_point(answer, vocabulary, strategy, regions=REGIONS).groundings:
        assert found.map.shape == (3, 3)
        assert found.map.sum() == pytest.approx(1)
        assert (found.map >= 0).all()
        assert ((found.points >= 0) & (found.points <= 1)).all()
        assert found.horizontal is not None or found.vertical is not None
