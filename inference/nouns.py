"""The noun phrase that an answer places somewhere, and how well a region's label fits it."""

from __future__ import annotations

import re
from functools import lru_cache

from inference.words import words

_REACH = 120
"""Characters before and after a place where its noun is looked for."""
_LINK = re.compile(
    r"[\s,(]*(?:(?:that|which)\s+(?:is|are|lies|sits|stands)\s+)?(?:(?:placed|located|found|seen|visible|just)\s+)?"
    r"(?:(?:at|in|on|along|across|near|to|towards?|down|over|around)\s+)?(?:(?:the|its|this)\s+)?"
    r"(?:(?:very|far|extreme)\s+)?\Z",
    re.IGNORECASE,
)
_DETERMINER = re.compile(
    r"(?<![A-Za-z])(?:the|an?|this|that|these|those|its|their|both|some)\s+", re.IGNORECASE
)
_AFTER = re.compile(
    r"(?:\s+of\s+(?:the|this)\s+\w+)?\s*,\s*(?:(?:namely|on|in|where)\s+)?(?:the|an?)\s+(?P<noun>[^,.;:!?()\n]+)",
    re.IGNORECASE,
)
_MOST_WORDS = 8
_SHORTENED = re.compile(r"(?:n['’]t|['’]s|s['’])\Z")
_STOP = re.compile(r"[.;:!?()\n]")
_WORD = re.compile(r"[^\W_]+")


def placed_noun(text: str, start: int, end: int) -> str | None:
    """The noun phrase, in lower case and without article, that the place at characters `start` to `end` is
    said of: the one right before it, else the one after its comma. None for "the area" and the like.
    """
    before = text[max(0, start - _REACH) : start]
    link = _LINK.search(before)
    lead = before[: link.start()] if link else before
    determiners = list(_DETERMINER.finditer(lead))
    if determiners and not _STOP.search(lead, determiners[-1].end()):
        noun = _single(lead[determiners[-1].end() :])
        if noun is not None:
            return noun
    if text[start:end].casefold().endswith("most"):
        return _leading(re.split(r"[.,;:!?\n]", text[end : end + _REACH])[0])
    after = _AFTER.match(text, end, min(len(text), end + _REACH))
    if after is None:
        return None
    return _leading(after["noun"])


def _single(phrase: str) -> str | None:
    """The phrase when it holds nothing but adjectives and nouns, as far as closed word classes tell."""
    told = phrase.lower().split()
    return _thing(" ".join(told)) if 0 < len(told) <= _MOST_WORDS and not _bound(told) else None


def _leading(phrase: str) -> str | None:
    """The noun phrase that a text begins with."""
    told = phrase.lower().split()
    bound = _bound(told)
    return _single(" ".join(told[: bound[0]] if bound else told))


def _bound(told: list[str]) -> list[int]:
    """Where words stand that no noun phrase holds."""
    ends = words().lists["followers"] - words().lists["qualities"]
    bare = [word.strip("\"'*_,") for word in told]
    return [
        at
        for at, word in enumerate(bare)
        if word in ends or not word[:1].isalnum() or _SHORTENED.search(word)
    ]


def _thing(phrase: str) -> str | None:
    """The phrase, or None when all it says is "area"."""
    empty = words().lists["no_things"] | words().lists["superlatives"]
    rest = [word for word in _WORD.findall(phrase) if word not in empty]
    return phrase if rest else None


@lru_cache(maxsize=4096)
def likeness(noun: str, label: str) -> float:
    """How well a label fits a noun phrase, 0 to 1: the F1 of their words, plural "s" aside.

    Words that name no thing ("area", "patch of") don't count while others remain.
    """
    said, named = _content(noun), _content(label)
    shared = len(said & named)
    return 2.0 * shared / (len(said) + len(named)) if shared else 0.0


def _content(phrase: str) -> frozenset[str]:
    found = [word.casefold() for word in _WORD.findall(phrase)]
    kept = [word for word in found if word not in words().lists["no_things"] and len(word) > 1]
    return frozenset(word[:-1] if word.endswith("s") and len(word) > 3 else word for word in kept or found)
