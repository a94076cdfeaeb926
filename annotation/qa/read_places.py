"""Reads position words: "in the top left", "at the center of the image", but not "top of the car"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from annotation.place_words import any_of, load_place_words

_HAND = r"(?:[\s-]+hand)?"


@dataclass(frozen=True)
class PlacePhrase:
    """A position in a text: where it stands, and the words of the grid it means ("top left")."""

    start: int
    end: int
    words: str


@dataclass(frozen=True)
class _Form:
    """A way to write a position; `ends`: a follower, punctuation or the end has to come after it."""

    pattern: re.Pattern[str]
    ends: bool = False


@dataclass(frozen=True)
class _Grammar:
    """The forms in order of preference, what follows a place of something else than the picture, what may
    follow a place without a part, and the cell that each word means.
    """

    forms: tuple[_Form, ...]
    relative: re.Pattern[str]
    follower: re.Pattern[str]
    cells: dict[str, str]


def find_places(text: str) -> list[PlacePhrase]:
    """Every position in a normalized text, in order; places relative to something else than the picture are
    left out.
    """
    grammar = _grammar()
    found: list[PlacePhrase] = []
    for form in grammar.forms:
        for match in form.pattern.finditer(text):
            if any(match.start() < place.end and place.start < match.end() for place in found):
                continue
            if grammar.relative.match(text, match.end()):
                continue
            if form.ends and not grammar.follower.match(text, match.end()):
                continue
            words = _cell_of(match["a"], match.groupdict().get("b"))
            if words is not None:
                found.append(PlacePhrase(match.start(), match.end(), words))
    return sorted(found, key=lambda place: place.start)


def _cell_of(first: str, second: str | None) -> str | None:
    """The grid words for one or two place words; None for nonsense such as "left right"."""
    parts = [_grammar().cells[word] for word in (first, second) if word]
    rows = [part for part in parts if part in ("top", "bottom")]
    columns = [part for part in parts if part in ("left", "right")]
    if len(rows) > 1 or len(columns) > 1:
        return None
    return " ".join(rows + columns) or "center"


def picture_pattern() -> str:
    """A pattern for the words that name the picture as a whole."""
    return any_of(load_place_words("checks").lists["pictures"])


@lru_cache(maxsize=1)
def _grammar() -> _Grammar:
    table = load_place_words("checks")
    alone = table.lists["alone"]

    def some(*cells: str, without: Iterable[str] = ()) -> list[str]:
        listed = [word for cell in cells for word in table.cells[cell]]
        return [word for word in listed if word not in (*alone, *without)]

    rows, columns = some("top", "bottom"), some("left", "right")
    every = rows + columns + some("center")
    beside = columns + some("center", without=table.lists["never_paired"])
    bare = [word for word in every if word not in table.lists["never_bare"]]
    after_at = [word for word in bare if word not in table.lists["never_after_at"]]
    part, intense = any_of(table.lists["parts"]), any_of(table.lists["intense"])

    def form(pattern: str, ends: bool = False) -> _Form:
        return _Form(re.compile(pattern), ends)

    def first(words: Iterable[str]) -> str:
        return f"(?P<a>{any_of(words)})"

    def second(words: Iterable[str]) -> str:
        return f"(?P<b>{any_of(words)})"

    forms = (
        # "top left", "upper-left", "lower right-hand corner"
        form(rf"\b{first(rows)}[\s-]+{second(beside)}{_HAND}(?:[\s-]+{part})?\b"),
        # "left center", "middle left", "center bottom", "left-top"
        form(rf"\b{first(beside)}[\s-]+{second(rows + beside)}(?:[\s-]+{part})?\b"),
        # "left side", "right-hand edge", "lower part", "central area"
        form(rf"\b{first(every)}{_HAND}[\s-]+{part}\b"),
        # "the top", "the far left", "its center"
        form(rf"\b(?:the|its)\s+(?:{intense}\s+)?{first(bare)}\b", ends=True),
        # "at left", "in center"
        form(rf"\b(?:at|in)\s+{first(after_at)}\b", ends=True),
        form(rf"\b{first(alone)}\b"),
    )
    relative = (
        rf"\s+(?:of|in|on)\s+(?!(?:the|this|that)\s+(?:\w+\s+)?{picture_pattern()}\b)"
        r"(?:the|this|that|its|it|a|an|each|every|their)\b"
    )
    follower = rf"\s*(?:$|[,.;:!?)\"']|{any_of(table.lists['followers'])}\b)"
    cells = {word: cell for cell, words in table.cells.items() for word in words}
    return _Grammar(forms, re.compile(relative), re.compile(follower), cells)
