"""Checks of form that need no truth: turns, length, language, repetition, and talk about how the data was
made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from annotation.qa.scene import Failure
from schemas.records import Message, Task

MAX_QUESTION = 60
MAX_ANSWER: dict[Task, int] = {
    "global_description": 360,
    "local_description": 140,
    "grounding_hyd": 90,
    "grounding_sid": 90,
    "grounding_dao": 90,
    "referring_short": 40,
    "referring_long": 140,
}
"""Words an answer may have; a region's label counts as one."""
MAX_TURNS = 8

_WORD = re.compile(r"[\ue000-\uf8ff]|[a-z0-9]+(?:['-][a-z0-9]+)*")
_ENGLISH = frozenset(
    re.findall(
        r"\w+",
        """
        the a an of in on at is are was it its and or with no not to by this that which from as has
        have shows show there where what how only for but be so do does you can i would say than more
        both their they them if up out into also just while because look looks see any other one
        """,
    )
)
_FOREIGN = frozenset(
    re.findall(
        r"\w+",
        """
        le la les des du et est dans avec une der das und ist nicht mit den dem el los las una que en con se
        por il di che della uno e o os um uma com para het een van niet och det som
        """,
    )
)
"""Frequent words of neighboring languages that English texts hardly have."""
_MARKUP = re.compile(r"\*\*|__|^\s*#|`|</?[a-z]+>|\]\(")
_META = re.compile(
    r"\b(?:masks?|masked|masking|metadata|inject(?:ed|ion|ions|ing)?|synthetic(?:ally)?|simulated|"
    r"simulation|artificially|ground truth|"
    r"annotat(?:ed|ion|ions|or|ors)|bounding box(?:es)?|bbox|segmentation|segmented|json|rle|dataset|"
    r"prompts?|as an ai|language model|"
    r"(?:severity|distortion|degradation|strength|intensity) (?:levels?|scores?)|levels? (?:\d|one\b|two\b|"
    r"three\b|four\b|five\b|of (?:severity|distortion|degradation))|"
    r"(?:first|second|third|fourth|fifth)[\s-]level|level[:=]|\d\s*/\s*5|out of (?:5|five)|sigma|"
    r"(?:outlined|numbered|marked|highlighted|encircled) (?:regions?|areas?|parts?|zones?)|"
    r"(?:yellow|drawn|marked) (?:outlines?|lines?|contours?)|regions? (?:numbers? )?\d+|"
    r"cropped|(?:the|this) (?:crop|cut-?out|close-?up)\b|(?:the|these|given|listed) facts|according to the "
    r"(?:lists?|information|data|description)|"
    r"(?:i'm|i am) sorry|i (?:cannot|can't) (?:view|assess|analy[sz]e|assist|help)|"
    r"parameters?|provided (?:information|data|truth)|"
    r"given (?:information|data|truth|labels?)|region[\s_-]?ids?|r\d+\b(?=\s+(?:is|shows|has)))"
    r"|[a-z]+_[a-z_]+|<[a-z_/|]+>|\{\w*\}"
)


def split_words(masked: str) -> list[str]:
    """The words of a masked text; a label is one word."""
    return _WORD.findall(masked)


def check_turns(messages: Sequence[Message]) -> list[Failure]:
    """Turns alternate, the user first and the assistant last; none is empty."""
    if not messages:
        return [Failure("turns", "the dialogue is empty")]
    expected = ["user", "assistant"] * ((len(messages) + 1) // 2)
    roles = [message.role for message in messages]
    if roles != expected[: len(roles)] or roles[-1] != "assistant":
        return [Failure("turns", f"roles must alternate from user to assistant, found {', '.join(roles)}")]
    if any(not message.content.strip() for message in messages):
        return [Failure("turns", "a message is empty")]
    if len(messages) > 2 * MAX_TURNS:
        return [Failure("turns", f"more than {MAX_TURNS} turns")]
    return []


def check_length(task: Task, messages: Sequence[Message], masked: Sequence[str]) -> list[Failure]:
    """Questions and answers stay within their limits."""
    failures = []
    for message, text in zip(messages, masked, strict=True):
        limit = MAX_QUESTION if message.role == "user" else MAX_ANSWER[task]
        count = len(split_words(text))
        least = 1 if message.role == "user" else 2
        if not least <= count <= limit:
            failures.append(
                Failure("length", f"{message.role} message of {count} words; allowed are {least} to {limit}")
            )
    return failures


def check_language(masked: Sequence[str]) -> list[Failure]:
    """Plain English in ASCII without markup; labels are not judged."""
    failures = []
    for text in masked:
        foreign = sorted({ch for ch in text if not ch.isascii() and not "\ue000" <= ch <= "\uf8ff"})
        if foreign:
            failures.append(
                Failure("language", f"characters outside ASCII: {' '.join(ascii(ch) for ch in foreign)}")
            )
        markup = _MARKUP.search(text)
        if markup:
            failures.append(Failure("language", f"markup in the text: '{markup[0]}'"))
        found = split_words(text)
        strange = sorted(_FOREIGN.intersection(found))
        if len(strange) >= 3:
            failures.append(Failure("language", f"words of another language: {', '.join(strange)}"))
        if len(found) >= 6 and not _ENGLISH.intersection(found):
            failures.append(Failure("language", "the text doesn't read as English"))
    return failures


def check_repetition(messages: Sequence[Message], masked: Sequence[str]) -> list[Failure]:
    """No doubled word, no sentence said twice by the assistant, no run of ten words twice in one message."""
    failures = []
    seen: set[str] = set()
    for message, text in zip(messages, masked, strict=True):
        doubled = re.search(r"\b(?!that\b|had\b)([a-z]+)\s+\1\b(?!-)", text)
        if doubled:
            failures.append(Failure("repetition", f"the word '{doubled[1]}' is doubled"))
        found = split_words(text)
        runs = [tuple(found[i : i + 10]) for i in range(len(found) - 9)]
        if len(set(runs)) < len(runs):
            failures.append(Failure("repetition", "the same ten words occur twice in one message"))
        if message.role != "assistant":
            continue
        for sentence in re.split(r"[.!?;]+(?:\s|$)", text):
            key = " ".join(split_words(sentence))
            if key.count(" ") >= 2 and key in seen:
                failures.append(Failure("repetition", "the same sentence is said twice"))
            seen.add(key)
    return failures


def check_meta(masked: Sequence[str]) -> list[Failure]:
    """No talk of masks, metadata, levels, or how the damage came about in the data."""
    return [
        Failure("meta_talk", f"the text talks about how the data was made: '{match[0]}'")
        for text in masked
        if (match := _META.search(text))
    ]
