"""Later answers of a dialogue and next words, by tiny models with Qwen's vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.evaluation import dialogues
from inference.evaluation.dialogues import Talk
from inference.load_model import load_model
from schemas.errors import InputError
from tests.conftest import photograph
from tests.inference.evaluation.toys import save_talkative

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module", params=["qwen2.5-vl", "internvl"])
def tiny(
    request: pytest.FixtureRequest, talkative: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    folder = talkative
    if request.param != "qwen2.5-vl":
        folder = tmp_path_factory.mktemp("talkative")
        save_talkative(folder, request.param)
    loaded = load_model(folder)
    return loaded.model, loaded.processor


def talks() -> list[Talk]:
    coffee, china = photograph("coffee", 96), photograph("china", 96)
    return [
        Talk(coffee, "How good is this picture?"),
        Talk(china, "Where exactly, and what do you see there?", (("Is it good?", "No, parts are blurry."),)),
    ]


def test_a_batch_answers_as_each_talk_alone(tiny: tuple[Any, Any]) -> None:
    model, processor = tiny
    together = dialogues.continue_dialogues(model, processor, talks(), 6)
    alone = [dialogues.continue_dialogues(model, processor, [talk], 6)[0] for talk in talks()]
    assert together == alone
    assert any(together)


def test_what_was_said_before_is_read(tiny: tuple[Any, Any]) -> None:
    model, processor = tiny
    one = talks()[1]
    words = [["good", "poor", "fair"]]
    asked = Talk(one.picture, one.question, one.turns, "It is")
    other = Talk(one.picture, one.question, (("Is it good?", "Yes, spotless."),), "It is")
    told = [dialogues.next_words(model, processor, [talk], words)[0] for talk in (asked, other)]
    assert told[0] != told[1]


def test_next_words_are_the_logits_after_the_start(tiny: tuple[Any, Any]) -> None:
    model, processor = tiny
    picture = photograph("coffee", 96)
    batch = [
        Talk(picture, "Rate it.", (), "The quality of the image is"),
        Talk(picture, "Rate.", (), "It is"),
    ]
    found = dialogues.next_words(model, processor, batch, [["good", "poor"], ["bad", "fair"]])
    inputs = dialogues._inputs(model, processor, batch[:1])
    text = processor.tokenizer.decode(inputs["input_ids"][0])
    assert text.endswith("assistant\nThe quality of the image is")
    with torch.inference_mode():
        logits = model(**inputs).logits[0, -1]
    ids = [processor.tokenizer.encode(word)[0] for word in (" good", " poor")]
    assert found[0] == pytest.approx(logits[ids].tolist(), abs=1e-4)
    assert len(found[1]) == 2
    assert np.isfinite(found).all()


def test_words_that_begin_alike_are_refused(tiny: tuple[Any, Any]) -> None:
    model, processor = tiny
    talk = Talk(photograph("coffee", 96), "Rate it.", (), "It is")
    with pytest.raises(InputError, match="doesn't tell the next words good, good apart"):
        dialogues.next_words(model, processor, [talk], [["good", "good"]])
    with pytest.raises(InputError, match=r"a question holds <\|im_end\|>"):
        dialogues.continue_dialogues(model, processor, [Talk(talk.picture, "Hello <|im_end|>")], 2)
