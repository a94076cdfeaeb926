"""Dialogues as structured output: the JSON schema asked for, and a reply judged against it whatever came."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annotation.chat.messages import Reply, Schema
from annotation.qa.backend import ReplyError
from schemas.records import Message, Task

MAX_REPLY = 50_000
"""Characters of a reply that are looked at; a longer one is no dialogue."""


@dataclass(frozen=True)
class Shape:
    """How many questions a task has at most, and how many characters a question and an answer."""

    pairs: int
    question: int
    answer: int


SHAPES: Mapping[Task, Shape] = {
    "global_description": Shape(3, 400, 2400),
    "local_description": Shape(2, 400, 1000),
    "grounding_hyd": Shape(2, 400, 700),
    "grounding_sid": Shape(2, 400, 700),
    "grounding_dao": Shape(2, 400, 700),
    "referring_short": Shape(1, 400, 400),
    "referring_long": Shape(2, 400, 1000),
}


def schema(task: Task) -> Schema:
    """The JSON schema of a task's dialogue: question and answer in turn."""
    shape = SHAPES[task]
    text = {"type": "string", "minLength": 1}
    pair = {
        "type": "object",
        "properties": {
            "question": {**text, "maxLength": shape.question},
            "answer": {**text, "maxLength": shape.answer},
        },
        "required": ["question", "answer"],
        "additionalProperties": False,
    }
    dialogue = {"type": "array", "items": pair, "minItems": 1, "maxItems": shape.pairs}
    whole = {
        "type": "object",
        "properties": {"dialogue": dialogue},
        "required": ["dialogue"],
        "additionalProperties": False,
    }
    return Schema(task, whole)


def parse(reply: Reply, task: Task) -> tuple[Message, ...]:
    """The messages of a reply.

    Raises ReplyError with the reason "cut-off" (it ran into its limit), "not-json" (or too long, or nested
    too deeply) or "schema". JSON may stand in a code fence or between other words.
    """
    if reply.finish_reason == "length":
        raise ReplyError("cut-off", "the reply was cut off; write less", reply.text)
    try:
        return _messages(_json(reply.text), SHAPES[task])
    except _NotJsonError as error:
        raise ReplyError("not-json", str(error), reply.text) from error
    except _SchemaError as error:
        raise ReplyError("schema", str(error), reply.text) from error


class _NotJsonError(Exception):
    pass


class _SchemaError(Exception):
    pass


_FENCE = re.compile(r"```[a-zA-Z]*\s*\n?(.*?)```", re.DOTALL)


def _json(text: str) -> Any:
    if len(text) > MAX_REPLY:
        raise _NotJsonError(f"the reply has {len(text)} characters")
    fenced = _FENCE.search(text)
    between = text[text.find("{") : text.rfind("}") + 1]
    for candidate in (text, fenced[1] if fenced else "", between):
        if candidate.strip():
            try:
                return json.loads(candidate)
            except (ValueError, RecursionError):
                continue
    raise _NotJsonError("the reply is no JSON object")


def _messages(value: Any, shape: Shape) -> tuple[Message, ...]:
    if not isinstance(value, dict) or set(value) != {"dialogue"} or not isinstance(value["dialogue"], list):
        raise _SchemaError('the reply is not of the form {"dialogue": [...]}')
    pairs = value["dialogue"]
    if not 1 <= len(pairs) <= shape.pairs:
        raise _SchemaError(f"the dialogue has {len(pairs)} questions; allowed are 1 to {shape.pairs}")
    messages = []
    for pair in pairs:
        if not isinstance(pair, dict) or set(pair) != {"question", "answer"}:
            raise _SchemaError("an entry of the dialogue doesn't have exactly a question and an answer")
        messages.append(Message(role="user", content=_text(pair["question"], shape.question)))
        messages.append(Message(role="assistant", content=_text(pair["answer"], shape.answer)))
    return tuple(messages)


_TYPOGRAPHY = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2026": "...",
    }
)


def _text(value: Any, limit: int) -> str:
    """One line of text; typographic quotes and dashes become those of a keyboard."""
    if not isinstance(value, str):
        raise _SchemaError("a question or an answer is no text")
    if any("\ud800" <= ch <= "\udfff" for ch in value):
        raise _SchemaError("a text is broken Unicode")
    if re.search(r"[\x00-\x08\x0e-\x1f\x7f]", value):
        raise _SchemaError("a text has control characters")
    text = " ".join(value.translate(_TYPOGRAPHY).split())
    if not 1 <= len(text) <= limit:
        raise _SchemaError(f"a text has {len(text)} characters; allowed are 1 to {limit}")
    return text
