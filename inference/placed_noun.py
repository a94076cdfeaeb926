"""The noun phrase that an answer places somewhere, and how well a region's label fits it."""

from __future__ import annotations

import re
from functools import lru_cache

from inference.words import words

_REACH = 120
"""Characters before and after a place where its noun is looked for."""
_DETERMINER = re.compile(
    r"(?<![A-Za-z])(?:the|an?|this|that|these|those|its|their|both|some)\s+", re.IGNORECASE
)
_MOST_WORDS = 8
_MOST_OPENING = 4
"""Words of a noun phrase that opens a sentence without an article ("Red bricks at the top")."""
_SHORTENED = re.compile(r"(?:n['’]t|['’]s|s['’])\Z")
_STOP = re.compile(r"[.;:!?()\n]")
_OPENING = re.compile(r"(?:\A|[.!?:\n])[\s*#>\d.)-]*(?P<said>[^.;:!?()\n]*)\Z")
_WORD = re.compile(r"[^\W_]+")


def placed_noun(text: str, start: int, end: int) -> str | None:
    """The noun phrase, in lower case and without article, that the place at characters `start` to `end` is
    said of: the one right before it, else the one that what follows names ("Top left: the wall", "the left
    part, which shows a wall"). None for "the area" and the like, and for a distortion.
    """
    before = text[max(0, start - _REACH) : start]
    link = _patterns()["link"].search(before)
    noun = _before(before[: link.start()] if link else before, linked=bool(link and link[0].strip(" *_(")))
    if noun is not None:
        return noun
    if text[start:end].casefold().endswith("most"):
        beside = _leading(re.split(r"[.,;:!?\n]", text[end : end + _REACH])[0])
        if beside is not None:
            return beside
    after = _patterns()["after"].match(text, end, min(len(text), end + _REACH))
    if after is not None:
        return _leading(after["noun"])
    field = _patterns()["field"].match(text, end, min(len(text), end + _REACH))
    return _leading(field["noun"]) if field else None


def _before(lead: str, linked: bool) -> str | None:
    """The noun phrase that ends `lead`, and is in or with something there ("the man in the coat": "man")."""
    found: str | None = None
    edge = len(lead)
    determiners = list(_DETERMINER.finditer(lead))
    for determiner in reversed(determiners):
        piece = lead[determiner.end() : edge]
        if _STOP.search(piece):
            break
        if edge < len(lead):
            wears = _patterns()["wears"].search(piece)
            if wears is None:
                break
            piece = piece[: wears.start()]
        if _bound(_without_of(piece.lower().split())):
            break
        found = _single(piece) or found
        edge = determiner.start()
    if found is None and not determiners and linked and (opening := _OPENING.search(lead)):
        return _opening(opening["said"])
    return found


def _opening(phrase: str) -> str | None:
    """The phrase that opens a sentence without an article, where every word of it may belong to a thing."""
    told = _WORD.findall(phrase.lower())
    lists = words().lists
    other = lists["no_things"] | lists["no_heads"] | lists["harms"] | lists["openings"] | lists["qualities"]
    if not 0 < len(told) <= _MOST_OPENING or any(word in other or word.endswith("ly") for word in told):
        return None
    return _single(phrase.strip(" *_"))


def _single(phrase: str) -> str | None:
    """The phrase when it holds nothing but adjectives and nouns, as far as closed word classes tell."""
    told = _without_of(phrase.lower().split())
    return _thing(" ".join(told)) if 0 < len(told) <= _MOST_WORDS and not _bound(told) else None


def _leading(phrase: str) -> str | None:
    """The noun phrase that a text begins with."""
    told = phrase.lower().split()
    bound = [at for at in _bound(told) if told[at] != "of" or at < 1]
    told = _without_of(told[: bound[0]] if bound else told)
    if len(told) > 1 and told[-1] in words().lists["poses"]:
        told.pop()
    return _single(" ".join(told))


def _without_of(told: list[str]) -> list[str]:
    """The thing that a phrase with one "of" is about: "plate" of food, but group of "people"."""
    if told.count("of") != 1 or not 0 < (at := told.index("of")) < len(told) - 1:
        return told
    lists = words().lists
    empty = lists["groups"] | lists["no_things"] | lists["no_heads"] | lists["parts"]
    return told[at + 1 :] if told[at - 1] in empty else told[:at]


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
    """The phrase, or None when all it says is "area", "the top" or a distortion ("strong blur")."""
    table = words()
    lists = table.lists
    empty = lists["no_things"] | lists["superlatives"] | lists["parts"] | frozenset(table.names)
    told = _WORD.findall(phrase)
    if not any(word not in empty for word in told) or told[-1] in lists["no_heads"]:
        return None
    return phrase


@lru_cache(maxsize=1)
def _patterns() -> dict[str, re.Pattern[str]]:
    table = words()
    poses, verbs = table.any_of("poses"), table.any_of("standing_verbs")
    marks = r"[\s\"'*_`]"
    patterns = {
        "link": rf"[\s,(*_]*(?:(?:that|which|who)\s+)?(?:{verbs}\s+)?(?:{table.any_of('adverbs')}\s+)?"
        rf"(?:{poses}\s+)?(?:i\.e\.,?\s+)?(?:{table.any_of('adverbs')}\s+)?"
        rf"(?:{table.any_of('leading_to')}\s+)?(?:(?:the|its|this)\s+)?(?:{table.any_of('intense')}[\s-]+)?\Z",
        "wears": rf"\s+{table.any_of('wears')}\s+\Z",
        "after": r"(?:\s+(?:of|in)\s+(?:the|this)\s+\w+)?"
        rf"(?:{marks}*[,:(]{marks}*|\s+(?=(?:where|that|which)\s)|\s+(?={table.any_of('holding')}))"
        rf"(?:(?:{table.any_of('naming')}|{table.any_of('holding')}|i\.e\.,?|e\.g\.,?)\s+)?(?:there(?:\s+is|\s+are|['’]s)\s+)?"
        r"(?:the|an?|some|several|two|three|four|many)\s+(?P<noun>[^,.;:!?()\n]+)",
        "field": rf"[\s\"'*_`,;|-]{{1,12}}{table.any_of('fields')}{marks}{{0,6}}:{marks}{{0,6}}"
        r"(?:(?:the|an?)\s+)?(?P<noun>[^,.;:!?()\n\"'*_`}|]+)",
    }
    return {name: re.compile(pattern, re.IGNORECASE) for name, pattern in patterns.items()}


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
