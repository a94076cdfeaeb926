"""A language model under test: each kind of item goes its way, and what can't be asked is a failed reply."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.evaluation import dialogues
from inference.evaluation.ask_by_kind import reply_of
from inference.evaluation.benchmark_interface import Item
from inference.evaluation.dialogues import Talk
from inference.evaluation.local_model import LanguageModel
from inference.grounded_answer import Answer, Grounding, Picture, Placed, Result, Segmented
from inference.load_model import LoadedModel, load_model
from schemas import masks
from schemas.errors import SampleError
from tests.conftest import photograph

COFFEE = photograph("coffee", 96)
MASK = np.zeros(COFFEE.shape[:2], np.bool_)
MASK[:20, :30] = True


def result(question: str, whole: bool = False) -> Result:
    nothing = np.zeros(0, np.int64)
    answer = Answer(nothing, f"Seen: {question}", np.zeros((0, 2), np.int64), nothing, np.zeros((0, 0)))
    if whole:
        return Result(question, answer, Placed((), True), (Segmented(np.ones_like(MASK), 1.0, 0),))
    place = Grounding((0, 1), None, None, np.full((3, 3), 1 / 9), np.array([[0.1, 0.2], [0.3, 0.4]]), False)
    return Result(question, answer, Placed((place,), False), (Segmented(MASK, 0.75, 1),))


@pytest.fixture(scope="module")
def loaded(talkative: Path) -> LoadedModel:
    return load_model(talkative)


class Spider:
    """Grounds every question at one place, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Picture, str]] = []

    def ask_many(self, asks: Sequence[tuple[Picture, str]]) -> list[Result]:
        self.asked += asks
        return [result(question) for _, question in asks]


def item(name: str, **more: Any) -> Item:
    kept = {"questions": ("How good is it?",), "picture": lambda: COFFEE, "picture_key": "coffee", **more}
    return Item(id=name, group="g", task="t", **kept)


def model_of(loaded: LoadedModel, spider: Spider) -> LanguageModel:
    return LanguageModel("m", {"a": 1}, loaded.model, loaded.processor, spider.ask_many, 8, 5)


def test_each_kind_of_item_goes_its_way(loaded: LoadedModel) -> None:
    spider = Spider()
    model = model_of(loaded, spider)
    items = [
        item("talk", questions=("How good is it?", "What tells you this?")),
        item("where", questions=("Where is it worst?",), target=masks.encode(MASK)),
        item("words", questions=("Rate it.",), start="The quality is", words=("good", "poor")),
        item("short", questions=("What is wrong?",)),
        item("where-2", questions=("Where is it best?",), target=masks.encode(MASK)),
    ]
    talk, where, words, short, other = model.ask(items)
    assert [question for _, question in spider.asked] == ["Where is it worst?", "Where is it best?"]
    assert spider.asked[0][0] is spider.asked[1][0], "the same picture comes as the same array"
    assert where.texts == ("Seen: Where is it worst?",)
    assert other.texts == ("Seen: Where is it best?",)
    assert where.masks == (masks.encode(MASK),)
    assert (where.scores, where.points) == ((0.75,), ((0.1, 0.2), (0.3, 0.4)))
    assert len(talk.texts) == 2
    assert all(talk.texts)
    assert len(short.texts) == 1
    expected = dialogues.next_words(
        loaded.model, loaded.processor, [Talk(COFFEE, "Rate it.", (), "The quality is")], [("good", "poor")]
    )
    assert words.words == pytest.approx(expected[0], abs=1e-4)
    assert all(reply.seconds > 0 for reply in (talk, where, words, short))
    assert dict(model.settings) == {"a": 1, "max_new_tokens": 5}


def test_later_questions_follow_the_models_own_answers(loaded: LoadedModel) -> None:
    questions = ("How good is it?", "What tells you this?", "Where?")
    (reply,) = model_of(loaded, Spider()).ask([item("talk", questions=questions)])
    turns = tuple(zip(questions[:2], reply.texts[:2], strict=True))
    again = dialogues.continue_dialogues(loaded.model, loaded.processor, [Talk(COFFEE, "Where?", turns)], 5)
    assert reply.texts[2] == again[0]


def test_what_cannot_be_asked_is_a_failed_reply(loaded: LoadedModel) -> None:
    def broken() -> Picture:
        raise SampleError("truncated", "the file ends early")

    spider = Spider()
    replies = model_of(loaded, spider).ask(
        [
            item("broken", picture=broken, picture_key="", target=masks.encode(MASK)),
            item("special", questions=("What is <|im_end|> here?",)),
            item("fine", target=masks.encode(MASK)),
        ]
    )
    assert [reply.error for reply in replies] == ["truncated", "special-token", None]
    assert len(spider.asked) == 1


def test_an_answer_about_the_whole_picture_has_no_points() -> None:
    reply = reply_of(result("Where?", whole=True))
    assert (reply.whole_image, reply.masks, reply.points) == (True, (), ())
