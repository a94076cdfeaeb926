"""Tells equal labels of one picture apart: by place, then by size, in words that never contradict a region's
position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from annotation.place_words import load_place_words

PLACE_WORDS = load_place_words("labels").names
ORDINALS = ("", "second ", "third ", "fourth ", "fifth ", "sixth ", "seventh ", "eighth ", "ninth ", "tenth ")


@dataclass(frozen=True)
class Named:
    """A region to be told apart: its label, its position words ("top left"), its area in pixels."""

    label: str
    position: str
    area: int


def place_phrase(position: str) -> str:
    """The position as it follows a noun: "on the left", "in the center", "at the top right"."""
    return {"left": "on the left", "right": "on the right", "center": "in the center"}.get(
        position, f"at the {position}"
    )


def clean(label: str, position: str) -> str:
    """`label` as one line without place words that contradict `position`: "left shoe" on the right becomes
    "shoe".
    """
    allowed = set(position.split())
    words = [
        word for word in label.split() if word.casefold() not in PLACE_WORDS or word.casefold() in allowed
    ]
    return " ".join(words) or "object"


def unique(regions: Sequence[Named]) -> list[str]:
    """One label for each region, none twice, in the order given.

    A label that occurs once stays. Equal ones get their place where that differs, and among those at one
    place "larger"/"smaller" (two) or "largest", "second largest", ... (more), by area, ties by the order
    given.
    """
    base = [clean(region.label, region.position) for region in regions]
    labels = list(base)
    groups: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(base):
        groups[text.casefold()].append(index)
    for members in groups.values():
        if len(members) < 2:
            continue
        places: dict[str, list[int]] = defaultdict(list)
        for index in members:
            places[regions[index].position].append(index)
        for position, here in places.items():
            suffix = f" {place_phrase(position)}" if len(places) > 1 else ""
            here.sort(key=lambda index: (-regions[index].area, index))
            for rank, index in enumerate(here):
                labels[index] = f"{_size_word(rank, len(here))}{base[index]}{suffix}"
    return _last_resort(labels)


def _size_word(rank: int, count: int) -> str:
    if count == 1:
        return ""
    if count == 2:
        return ("larger ", "smaller ")[rank]
    if rank == count - 1:
        return "smallest "
    ordinal = ORDINALS[rank] if rank < len(ORDINALS) else f"{_numeral(rank + 1)} "
    return f"{ordinal}largest "


def _numeral(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _last_resort(labels: list[str]) -> list[str]:
    """Numbers labels that are still equal, which takes a vocabulary with names such as "larger dog"."""
    seen: dict[str, int] = defaultdict(int)
    taken = {label.casefold() for label in labels}
    result = []
    for label in labels:
        seen[label.casefold()] += 1
        text, number = label, seen[label.casefold()]
        while number > 1 and text.casefold() in taken:
            text = f"{label} number {number}"
            number += 1
        taken.add(text.casefold())
        result.append(text)
    return result
