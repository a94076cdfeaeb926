"""Place words and the words around them, as sets and as patterns, and what they say in a text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

from annotation.place_words import load_place_words

AxisName = Literal["horizontal", "vertical"]

CLASSES: dict[AxisName, tuple[str, str, str]] = {
    "horizontal": ("left", "center", "right"),
    "vertical": ("top", "center", "bottom"),
}
"""The classes of each axis in its order."""
_AROUND = Path(__file__).with_name("answer_words.yaml")


@dataclass(frozen=True)
class Word:
    """A place word: its characters in the text and its class ("left")."""

    start: int
    end: int
    name: str


@dataclass(frozen=True)
class Position:
    """A position phrase: its characters, the word that says each axis (the same one for a bare "center"), and
    the noun phrase it places ("wooden table"), None where there is none.
    """

    start: int
    end: int
    horizontal: Word | None
    vertical: Word | None
    noun: str | None = None

    def word(self, axis: AxisName) -> Word | None:
        """The word of one axis."""
        return self.horizontal if axis == "horizontal" else self.vertical

    @property
    def names(self) -> tuple[str | None, str | None]:
        """Classes of the horizontal and the vertical axis."""
        horizontal, vertical = self.horizontal, self.vertical
        return (horizontal.name if horizontal else None, vertical.name if vertical else None)


@dataclass(frozen=True)
class Words:
    """The place words that pointing knows (annotation/place_words.yaml): `classes` maps "left", "top",
    "center", ... to their words, `rivals` to words that only a vocabulary has, `compass` to words that only a
    text has. Every other list, of that table and of answer_words.yaml, is a frozenset of words or of phrases
    with single spaces.
    """

    classes: Mapping[str, tuple[str, ...]]
    rivals: Mapping[str, tuple[str, ...]]
    compass: Mapping[str, tuple[str, ...]]
    lists: Mapping[str, frozenset[str]]

    def class_of(self, word: str) -> str:
        """The class of a word of the table. Raises KeyError for any other."""
        return _by_word()[word.casefold()]

    @property
    def names(self) -> frozenset[str]:
        """Every word that has a class."""
        return frozenset(_by_word())

    def any_of(self, name: str) -> str:
        """A pattern for any phrase of a list, the longest first, between no letters."""
        return either(self.lists[name])


def either(phrases: Iterable[str]) -> str:
    """A pattern for any of some phrases, the longest first; a space matches one to three spaces."""
    ordered = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    inside = "|".join(re.escape(phrase).replace(r"\ ", r"\s{1,3}") for phrase in ordered)
    return rf"(?<![A-Za-z])(?:{inside})(?![A-Za-z])"


@lru_cache(maxsize=1)
def words() -> Words:
    """The words, read once. Raises ValueError when the two files name one list both."""
    places = load_place_words("pointing")
    around: dict[str, Any] = yaml.safe_load(_AROUND.read_text(encoding="utf-8"))
    if twice := sorted(set(places.lists) & set(around)):
        raise ValueError(f"{_AROUND.name}: {', '.join(twice)}: the table of place words has this list")
    lists = {name: frozenset(listed) for name, listed in places.lists.items()}
    lists |= {name: _phrases(listed) for name, listed in around.items()}
    return Words(places.cells, places.rivals, places.compass, lists)


def _phrases(found: str | list[str]) -> frozenset[str]:
    listed = found.split() if isinstance(found, str) else found
    return frozenset(phrase.replace("|", " ") for phrase in listed)


@lru_cache(maxsize=1)
def _by_word() -> dict[str, str]:
    table = words()
    every = (table.compass, table.rivals, table.classes)
    return {word: name for kind in every for name, listed in kind.items() for word in listed}
