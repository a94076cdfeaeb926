"""The table of place words (place_words.yaml) as its three readers see it: labels, checks and pointing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

Reader = Literal["labels", "checks", "pointing"]

TABLE = Path(__file__).with_name("place_words.yaml")
READERS: tuple[Reader, ...] = get_args(Reader)
_BY_CLASS = ("cells", "rivals", "compass")


@dataclass(frozen=True)
class PlaceWords:
    """The words of one reader, in lower case; a phrase has single spaces.

    `cells` maps "top", "bottom", "left", "right" and "center" to the words that mean them, `rivals` and
    `compass` likewise to words that only a model's vocabulary or only a text has. `lists` holds all other
    words by the name of their entry: what may stand around a place, and words for the whole picture.
    """

    cells: Mapping[str, tuple[str, ...]]
    rivals: Mapping[str, tuple[str, ...]]
    compass: Mapping[str, tuple[str, ...]]
    lists: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> frozenset[str]:
        """Every word that means a cell."""
        return frozenset(word for listed in self.cells.values() for word in listed)


def any_of(phrases: Iterable[str]) -> str:
    """A pattern for any of some phrases as they are written, the longest first."""
    ordered = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    inside = "|".join(re.escape(phrase) for phrase in ordered)
    return f"(?:{inside})"


@lru_cache(maxsize=len(READERS))
def load_place_words(reader: Reader) -> PlaceWords:
    """The words that a reader knows. Raises ValueError when the table contradicts itself."""
    table: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    cells, rivals, compass = (
        {name: _select(entry, reader, f"{kind}.{name}") for name, entry in table.pop(kind).items()}
        for kind in _BY_CLASS
    )
    every = [word for kind in (cells, rivals, compass) for words in kind.values() for word in words]
    if len(every) != len(set(every)):
        raise ValueError(f"{TABLE.name}: a word has two classes")
    table |= table.pop("forms")
    return PlaceWords(
        cells, rivals, compass, {name: _select(entry, reader, name) for name, entry in table.items()}
    )


def _select(entry: Mapping[str, str], reader: Reader, name: str) -> tuple[str, ...]:
    """The words of an entry that a reader knows. Raises ValueError for an entry that no reader could read."""
    words: list[str] = []
    for readers, listed in entry.items():
        if readers == "why":
            continue
        unknown = set(readers.split()) - {"all", *READERS}
        if unknown:
            raise ValueError(f"{TABLE.name}: {name}: unknown readers: {', '.join(sorted(unknown))}")
        if readers != "all" and "why" not in entry:
            raise ValueError(f"{TABLE.name}: {name}: the readers differ without a `why`")
        if readers == "all" or reader in readers.split():
            words += [phrase.replace("|", " ") for phrase in listed.split()]
    if len(words) != len(set(words)):
        raise ValueError(f"{TABLE.name}: {name}: a word is listed twice")
    return tuple(words)
