"""Answers in models' own ways: how many are read as they are meant, and that a judge of readings can fail."""

from __future__ import annotations

from functools import lru_cache

import pytest

from tests.inference.labeled import Half, Judged, Labeled, half, judge, labeled, same_noun, shares

UNREADABLE = ("contrast", "border")
"""Kinds that need the question, or a place that no class of an axis names."""


@lru_cache(maxsize=2)
def judged(name: Half) -> tuple[Judged, ...]:
    return tuple(judge(answer) for answer in half(name))


def test_the_set_and_its_halves() -> None:
    answers = labeled()
    none = [answer for answer in answers if not answer.places and not answer.whole]
    assert len(answers) > 280
    assert len(none) > 80
    assert len([answer for answer in answers if answer.whole]) >= 30
    assert len({answer.text for answer in half("seen")} | {answer.text for answer in half("held")}) == len(
        {answer.text for answer in answers}
    )
    assert len(half("seen")) + len(half("held")) == len(answers)


@pytest.mark.parametrize(("name", "right", "nouns"), [("seen", 0.91, 0.92), ("held", 0.85, 0.97)])
def test_how_well_answers_are_read(name: Half, right: float, nouns: float) -> None:
    """A little under what docs/grounding.md says."""
    told = shares(judged(name))
    assert told["right"] >= right
    assert told["nouns"] >= nouns
    assert told["invented"] + told["wrong"] <= 0.11


@pytest.mark.parametrize(("name", "right"), [("seen", 0.97), ("held", 0.93)])
def test_how_well_answers_are_read_that_can_be(name: Half, right: float) -> None:
    told = shares([one for one in judged(name) if one.answer.kind not in UNREADABLE])
    assert told["right"] >= right
    assert told["invented"] <= 0.02


def outcome(text: str, *places: tuple[str | None, str | None], whole: bool = False) -> str:
    return judge(Labeled("plain", "", text, tuple((names, None) for names in places), whole)).outcome


def test_a_judge_can_say_no() -> None:
    said = "The wall at the top left is blurred."
    assert outcome(said, ("left", "top")) == "right"
    assert outcome(said, ("left", "top"), ("right", None)) == "missed"
    assert outcome(said) == "invented"
    assert outcome(said, ("left", None)) == "wrong"
    assert outcome(said, whole=True) == "wrong"
    assert outcome("The whole image.", whole=True) == "right"
    assert outcome("The whole image.") == "invented"
    assert outcome("The dog.", whole=True) == "missed"
    assert same_noun("wooden table", "table")
    assert same_noun("dog|cat", "large cat")
    assert not same_noun("wooden table", "wooden")
    assert not same_noun(None, "table")
