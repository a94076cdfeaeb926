"""A model's reply becomes a dialogue or names what is wrong with it, whatever a server let through."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.chat.messages import Reply
from annotation.qa import ReplyError
from annotation.qa.vlm.structured import MAX_REPLY, SHAPES, parse, schema
from schemas.records import TASKS, Task

PAIR = {"question": "What is wrong?", "answer": "A blur."}


def reply(text: str, finish_reason: str = "stop") -> Reply:
    return Reply(text, finish_reason, 0, 0)


def reason(text: str, finish_reason: str = "stop", task: Task = "referring_long") -> str:
    with pytest.raises(ReplyError) as caught:
        parse(reply(text, finish_reason), task)
    assert caught.value.reply == text
    return caught.value.reason


def dialogue(*pairs: Any) -> str:
    return json.dumps({"dialogue": list(pairs)})


@pytest.mark.parametrize("task", TASKS)
def test_the_schema_asked_for_has_the_bounds_that_are_checked(task: Task) -> None:
    asked = schema(task)
    assert asked.name == task
    pairs = asked.schema["properties"]["dialogue"]
    assert (pairs["minItems"], pairs["maxItems"]) == (1, SHAPES[task].pairs)
    text = pairs["items"]["properties"]["answer"]
    longest = {**PAIR, "answer": "x" * text["maxLength"]}
    assert len(parse(reply(dialogue(*[longest] * SHAPES[task].pairs)), task)) == 2 * SHAPES[task].pairs
    assert reason(dialogue({**PAIR, "answer": "x" * (text["maxLength"] + 1)}), task=task) == "schema"
    assert reason(dialogue(*[PAIR] * (SHAPES[task].pairs + 1)), task=task) == "schema"
    assert asked.schema["additionalProperties"] is pairs["items"]["additionalProperties"] is False


def test_every_task_has_a_shape() -> None:
    assert set(SHAPES) == set(get_args(Task))


@pytest.mark.parametrize(
    "text",
    [
        dialogue(PAIR),
        f"```json\n{dialogue(PAIR)}\n```",
        f"```\n{dialogue(PAIR)}```",
        f"Here is the dialogue:\n{dialogue(PAIR)}\nI hope it helps.",
        json.dumps({"dialogue": [{"answer": " A  blur.\n", "question": "What is\twrong?"}]}, indent=3),
    ],
)
def test_json_is_found_alone_in_a_fence_and_between_words(text: str) -> None:
    messages = parse(reply(text), "referring_short")
    assert [(m.role, m.content) for m in messages] == [("user", "What is wrong?"), ("assistant", "A blur.")]


def test_typographic_signs_become_those_of_a_keyboard() -> None:
    typed = {
        "question": "What\u2019s wrong \u2014 if anything\u2026",
        "answer": "\u201cA blur\u201d \u2013 mild.",
    }
    question, answer = parse(reply(dialogue(typed)), "referring_short")
    assert question.content == "What's wrong - if anything..."
    assert answer.content == '"A blur" - mild.'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not-json"),
        ("The dog is blurred.", "not-json"),
        (dialogue(PAIR)[:-10], "not-json"),
        ("{" * 3000, "not-json"),
        ("[" * 200_000, "not-json"),
        ('{"dialogue": ' + "[" * 20_000 + "]" * 20_000 + "}", "not-json"),
        (dialogue(PAIR) + " " * MAX_REPLY, "not-json"),
        ("[]", "schema"),
        ("null", "schema"),
        ('"text"', "schema"),
        (json.dumps({"dialog": [PAIR]}), "schema"),
        (json.dumps({"dialogue": [PAIR], "note": ""}), "schema"),
        (json.dumps({"dialogue": PAIR}), "schema"),
        (dialogue(), "schema"),
        (dialogue("What is wrong?"), "schema"),
        (dialogue({"question": "What?"}), "schema"),
        (dialogue({**PAIR, "why": ""}), "schema"),
        (dialogue({**PAIR, "answer": None}), "schema"),
        (dialogue({**PAIR, "answer": ["A blur."]}), "schema"),
        (dialogue({**PAIR, "answer": " \n"}), "schema"),
        (dialogue({**PAIR, "answer": "A \x00 blur."}), "schema"),
        ('{"dialogue": [{"question": "What?", "answer": "\\ud800"}]}', "schema"),
    ],
)
def test_anything_else_says_what_it_is(text: str, expected: str) -> None:
    assert reason(text) == expected


def test_a_reply_that_ran_into_its_limit_is_cut_off_even_if_it_parses() -> None:
    assert reason(dialogue(PAIR), "length") == "cut-off"


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dialogue", "question", "answer", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.one_of(st.text(max_size=200), json_values.map(json.dumps)))
def test_no_reply_does_anything_else_than_parse_or_be_refused(text: str) -> None:
    try:
        messages = parse(reply(text), "global_description")
    except ReplyError as error:
        if error.reason not in ("not-json", "schema"):
            raise
        return
    assert [m.role for m in messages] == ["user", "assistant"] * (len(messages) // 2)
    for message in messages:
        assert message.content == " ".join(message.content.split()) != ""
        message.content.encode()
