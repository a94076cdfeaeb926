"""The table of place words: what each reader knows, and that checks and pointing read shared words alike."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from annotation import place_words
from annotation.place_words import READERS, any_of, load_place_words
from annotation.qa.read_places import find_places
from annotation.regions.names import PLACE_WORDS, clean
from inference.positions import find_positions
from inference.words import Position
from schemas.masks import position_words

CHECKS, POINTING = load_place_words("checks"), load_place_words("pointing")
CELL = {word: cell for cell, words in CHECKS.cells.items() for word in words}
ALONE = CHECKS.lists["alone"]
SINGLE = [word for word in CELL if word not in ALONE]
BARE = [word for word in SINGLE if word not in CHECKS.lists["never_bare"]]


def grid_words(position: Position) -> str:
    horizontal, vertical = (None if name == "center" else name for name in position.names)
    return " ".join(word for word in (vertical, horizontal) if word) or "center"


def pointed(text: str) -> list[str]:
    return [grid_words(position) for position in find_positions(text)]


def checked(text: str) -> list[str]:
    return [place.words for place in find_places(text.lower())]


def test_every_word_of_the_grid_is_in_the_table() -> None:
    words = {word for cell in position_words() for word in cell.split()}
    for reader in READERS:
        assert set(load_place_words(reader).cells) == words
        assert words <= load_place_words(reader).names


def test_pointing_knows_every_word_of_the_others() -> None:
    assert CHECKS.names <= POINTING.names
    assert load_place_words("labels").names <= POINTING.names
    for name in ("alone", "pictures", "parts", "intense", "followers", "whole", "everywhere", "spread"):
        assert set(CHECKS.lists[name]) <= set(POINTING.lists[name]), name


@pytest.mark.parametrize("word", SINGLE)
def test_both_read_a_word_with_a_part_alike(word: str) -> None:
    for part, picture in itertools.product(CHECKS.lists["parts"], CHECKS.lists["pictures"]):
        for end in (f"of the {picture} is soft.", "is soft."):
            text = f"The wall in the {word} {part} {end}"
            assert checked(text) == pointed(text) == [CELL[word]], text


@pytest.mark.parametrize("row", [word for word in SINGLE if CELL[word] in ("top", "bottom")])
@pytest.mark.parametrize("column", [word for word in SINGLE if CELL[word] in ("left", "right")])
@pytest.mark.parametrize("gap", [" ", "-"])
def test_both_read_two_words_alike(row: str, column: str, gap: str) -> None:
    for text in (
        f"The wall at the {row}{gap}{column} is soft.",
        f"The wall, {column}{gap}{row} corner.",
    ):
        assert checked(text) == pointed(text) == [f"{CELL[row]} {CELL[column]}"]


@pytest.mark.parametrize("word", BARE)
def test_both_go_on_after_a_bare_word_with_the_same_words(word: str) -> None:
    for intense, follower in itertools.product(("", *CHECKS.lists["intense"]), CHECKS.lists["followers"]):
        text = f"The wall on the {intense} {word} {follower} soft.".replace("  ", " ")
        if follower not in ("of", "not"):  # "of soft" is of a thing, "not soft" a matter of denials
            assert checked(text) == pointed(text) == [CELL[word]], text


@pytest.mark.parametrize("word", ALONE)
def test_both_read_a_word_that_stands_alone(word: str) -> None:
    assert checked(f"The {word} wall is soft.") == pointed(f"The {word} wall is soft.") == [CELL[word]]


def test_checks_leave_the_words_that_only_pointing_knows() -> None:
    only = [word for word in POINTING.names - CHECKS.names if word != "mid"]
    assert len(only) >= 5
    for word in only:
        text = f"The wall in the {word} part is soft."
        assert (len(pointed(text)), checked(text)) == (1, [])
    for part in set(POINTING.lists["parts"]) - set(CHECKS.lists["parts"]):
        text = f"The wall, left {part.replace('|', ' ')}."
        assert (len(pointed(text)), checked(text)) == (1, []), text


def test_labels_lose_place_words_of_another_place() -> None:
    assert clean("upper left shoe in the centre", "right") == "shoe in the"
    assert clean("central heating", "right") == "central heating"
    assert "middle" in PLACE_WORDS


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  left:\n    all: left leftmost", "  left:\n    all: left upper", "a word has two classes"),
        ("    all: left leftmost", "    all: left left", "cells.left: a word is listed twice"),
        ("never_bare: {all:", "never_bare: {judges:", "never_bare: unknown readers: judges"),
        ("never_bare: {all:", "never_bare: {checks:", "never_bare: the readers differ without a `why`"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(
    old: str, new: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = place_words.TABLE.read_text(encoding="utf-8")
    assert old in text
    broken = tmp_path / "place_words.yaml"
    broken.write_text(text.replace(old, new, 1), encoding="utf-8")
    monkeypatch.setattr(place_words, "TABLE", broken)
    with pytest.raises(ValueError, match=message):
        load_place_words.__wrapped__("checks")


def test_the_longest_phrase_wins() -> None:
    assert any_of(["all", "all over"]) == r"(?:all\ over|all)"
