"""Q-Instruct (q-future/Q-Instruct-DB): LLaVA rows about photographs, and the mix with Q-Align's ratings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flows.stages.row_fields import (
    Imported,
    Turn,
    Values,
    conversation,
    identifier,
    in_sentences,
    path,
    without_tokens,
)

LICENSE = "Apache-2.0 (dataset card); S-Lab License 1.0, non-commercial (repository)"
"""The publishers state two; a row keeps both."""
RANK = 2
"""What people wrote."""
BY_PEOPLE = True
ROWS, PICTURES = 200_000, 19_000
"""The number of rows stated by its publishers; 18,973 photographs."""
MIN_DESCRIPTION = 12
"""Words from which an answer to "describe the quality" is a description."""

_DESCRIBE = re.compile(
    r"\b(?:describe|evaluate|assess|comment|analy[sz]e)\b.*\bquality\b|think step by step", re.I | re.S
)
_RATING = re.compile(r"\s*the quality of (?:the|this) image is (excellent|good|fair|poor|bad)\.?\s*", re.I)
_OPTION = re.compile(r"(?:^|(?<=\s))\(?([A-H])[.):]\s+(.+?)(?=\s+\(?[A-H][.):]\s|\s*\n|\s*$)")
_LETTER = re.compile(r"\(?([A-H])(?:[.):]\s*(.*))?\)?", re.S)


def read(row: Values, facts: Mapping[str, Any]) -> Imported:
    """A row of either label file. Raises SampleError."""
    picture = path(row, "image")
    pictures = [] if picture is None else [picture]
    turns = without_tokens(conversation(row.get("conversations")), len(pictures))
    task, turns = _task(turns, bool(pictures))
    return Imported(
        task=task,
        messages=turns,
        pictures=[(name, "image") for name in pictures],
        given_id=identifier(row),
        origin=picture,
    )


def _task(turns: list[Turn], seen: bool) -> tuple[str, list[Turn]]:
    """The task by the first question and answer, and the turns in the one style of that task."""
    if not seen:
        return "external_general", turns
    question, answer = turns[0][1], turns[1][1]
    rated = _RATING.fullmatch(answer)
    if rated is not None and len(turns) == 2:
        said = f"The quality of the image is {rated[1].lower()}."
        return "external_rating", [turns[0], ("assistant", said)]
    chosen = _choice(question, answer)
    if chosen is not None and len(turns) == 2:
        return "external_choice", [turns[0], ("assistant", chosen)]
    if _DESCRIBE.search(question) and len(answer.split()) >= MIN_DESCRIPTION:
        return "global_description", in_sentences(turns)
    return "external_question", in_sentences(turns)


def _choice(question: str, answer: str) -> str | None:
    """The answer as "B. Blurry" when the question lists options A, B, ... and the answer is one of them."""
    options = {letter: words.strip() for letter, words in _OPTION.findall(question)}
    if len(options) < 2 or sorted(options) != [chr(65 + k) for k in range(len(options))]:
        return None
    plain = {letter: words.rstrip(".").casefold() for letter, words in options.items()}
    said = answer.rstrip(".").strip().casefold()
    found = _LETTER.fullmatch(answer.strip())
    if found is not None and found[1] in options:
        rest = (found[2] or "").rstrip(".").strip().casefold()
        if rest in ("", plain[found[1]]):
            return f"{found[1]}. {options[found[1]]}"
    letters = [letter for letter, words in plain.items() if words == said]
    return f"{letters[0]}. {options[letters[0]]}" if len(letters) == 1 else None
