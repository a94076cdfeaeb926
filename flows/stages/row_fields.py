"""What the importers share: checked values of a row, a row as they hand it on, and dialogues made uniform."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.errors import SampleError

MAX_TURNS = 64
MAX_LETTERS = 20_000
MAX_PATH = 1_000
Part = Literal["image", "reference", "A", "B"]
Turn = tuple[str, str]
"""(role, text), the role "user" or "assistant"."""
Values = Mapping[str, Any]

_ROLES = {"human": "user", "gpt": "assistant"}
_TOKEN = re.compile(r"\s*(?:<image>|<\|image\|>)\s*")
_PLAIN_PATH = re.compile(r"[\w-][\w./-]*", re.ASCII)
_ABSOLUTE = re.compile(r"[\\/]|[A-Za-z]:[\\/]")
_SEPARATOR = re.compile(r"[\\/]")
_BROKEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass
class Imported:
    """A row of another dataset, read.

    `pictures` are (path, part) in the order the dialogue speaks of them; `origin` the path of the photograph
    they were made from, if the row names it; `groups` names that rows of one photograph share.
    `published_test` says that its publishers test with it. `distortions` and `better` are as
    `schemas.records.External` has them. `messages` empty: a question without an answer.
    """

    task: str
    messages: list[Turn]
    pictures: list[tuple[str, Part]]
    given_id: str | None
    task_type: str | None = None
    origin: str | None = None
    groups: list[str] = field(default_factory=list)
    published_test: bool = False
    distortions: list[dict[str, Any]] | None = None
    better: int | None = None


def identifier(row: Values) -> str | None:
    """The row's own id, which may be missing. Raises SampleError "id-type"."""
    value = row.get("id")
    if value is None or (isinstance(value, str) and len(value) <= MAX_PATH and not _BROKEN.search(value)):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)[:MAX_PATH]
    raise SampleError("id-type", "its id is neither text nor a whole number")


def path(row: Values, key: str) -> str | None:
    """A picture's path below the dataset's root, None for null or nothing.

    Raises SampleError "picture-type", "bad-path", "absolute-path" or "path-outside".
    """
    value = row.get(key)
    if value is None:
        return None
    if type(value) is str and _PLAIN_PATH.fullmatch(value) and ".." not in value and len(value) <= MAX_PATH:
        return value
    if not isinstance(value, str):
        raise SampleError("picture-type", f"{key} is {type(value).__name__}, not a path")
    if not value or len(value) > MAX_PATH or _BROKEN.search(value):
        raise SampleError("bad-path", f"{key} is empty, too long or holds characters no path has")
    if _ABSOLUTE.match(value):
        raise SampleError("absolute-path", f"{key} is an absolute path")
    if ".." in _SEPARATOR.split(value):
        raise SampleError("path-outside", f"{key} leads out of the dataset's folder")
    return value


def text(value: object, what: str) -> str:
    """A text that may be shown. Raises "text-type", "empty-text", "text-too-long" or "broken-text"."""
    if not isinstance(value, str):
        raise SampleError("text-type", f"{what} is {type(value).__name__}, not text")
    if len(value) > MAX_LETTERS:
        raise SampleError("text-too-long", f"{what} has {len(value)} letters; the limit is {MAX_LETTERS}")
    if _BROKEN.search(value):
        raise SampleError("broken-text", f"{what} holds control characters or half a character")
    cleaned = value.strip()
    if not cleaned:
        raise SampleError("empty-text", f"{what} is empty")
    return cleaned


def conversation(value: object) -> list[Turn]:
    """LLaVA's `conversations` as turns, people first and in turn, the model last.

    Raises SampleError "no-conversations", "conversations-type", "no-turns", "too-many-turns", "turn-type",
    "unknown-speaker", "turn-order", "no-answer-turn", or as `text`.
    """
    if value is None:
        raise SampleError("no-conversations", "the row has no conversations")
    if not isinstance(value, list):
        raise SampleError("conversations-type", f"conversations are {type(value).__name__}, not a list")
    if not value:
        raise SampleError("no-turns", "conversations are empty")
    if len(value) > MAX_TURNS:
        raise SampleError("too-many-turns", f"{len(value)} turns; the limit is {MAX_TURNS}")
    turns: list[Turn] = []
    for number, turn in enumerate(value):
        if not isinstance(turn, dict):
            raise SampleError("turn-type", f"turn {number} is {type(turn).__name__}, not an object")
        speaker = turn.get("from")
        role = _ROLES.get(speaker) if isinstance(speaker, str) else None
        if role is None:
            raise SampleError("unknown-speaker", f"turn {number} is from {str(speaker)[:40]!a}")
        if role != ("user", "assistant")[number % 2]:
            raise SampleError("turn-order", f"turn {number} is the {role}'s; people and model take turns")
        turns.append((role, text(turn.get("value"), f"turn {number}")))
    if len(turns) % 2:
        raise SampleError("no-answer-turn", "the last turn is a question")
    return turns


def without_tokens(turns: Sequence[Turn], pictures: int) -> list[Turn]:
    """Turns without image tokens: the pictures belong to the first question.

    Raises SampleError "image-token-without-image", "image-token-count" (more tokens than pictures),
    "image-token-place" (in another turn), "empty-text".
    """
    cleaned: list[Turn] = []
    for number, (role, content) in enumerate(turns):
        bare, count = _TOKEN.subn(" ", content) if "<" in content else (content, 0)
        if count and not pictures:
            raise SampleError("image-token-without-image", "the text has an image token, the row no picture")
        if count and number:
            raise SampleError("image-token-place", f"turn {number} has an image token; only the first may")
        if count > pictures:
            raise SampleError("image-token-count", f"{count} image tokens for {pictures} pictures")
        if count and not bare.strip():
            raise SampleError("empty-text", "the first turn is an image token and nothing else")
        cleaned.append((role, bare.strip() if count else content))
    return cleaned


def sentence(answer: str) -> str:
    """An answer that starts with a capital and ends with a mark: "yes" becomes "Yes."."""
    capital = answer[:1].upper() + answer[1:]
    return capital + "." if capital[-1:].isalnum() or capital[-1:] in ")%\"'" else capital


def in_sentences(turns: Sequence[Turn]) -> list[Turn]:
    """Turns whose answers are sentences."""
    return [(role, sentence(content) if role == "assistant" else content) for role, content in turns]
