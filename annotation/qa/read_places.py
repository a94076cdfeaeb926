"""Reads position words: "in the top left", "at the center of the image", but not "top of the car"."""

from __future__ import annotations

import re
from dataclasses import dataclass

PICTURE = r"(?:image|picture|photo|photograph|frame|scene|shot|view|composition|snapshot)"
"""Words for the picture as a whole."""

_SIDE = (
    r"(?:side|part|half|third|edge|portion|section|area|region|corner|margin|border|quarter|quadrant|"
    r"end|zone)"
)
_HAND = r"(?:[\s-]+hand)?"
_OF_PICTURE = rf"(?:\s+of\s+(?:the|this|that)\s+(?:\w+\s+)?{PICTURE}\b)"
_RELATIVE = re.compile(
    rf"\s+(?:of|in|on)\s+(?!(?:the|this|that)\s+(?:\w+\s+)?{PICTURE}\b)(?:the|this|that|its|it|a|an|each|"
    rf"every|their)\b"
)
_NEXT = re.compile(
    r"\s*(?:$|[,.;:!?)\"']|(?:of|and|or|where|which|that|is|are|was|with|shows?|has|have|in|on|but|as|"
    r"rather|instead|looks?|suffers?|"
    r"appears?|seems?|carr(?:y|ies)|while|because|since|so|just|than|not|it|there|from|to|by|under|because|"
    r"remains?|"
    r"keeps?|holds?|gets?|bears?|displays?|exhibits?|contains?|comes?|stands?|lies|sits)\b)"
)
_ROW = {"top": "top", "upper": "top", "bottom": "bottom", "lower": "bottom"}
_MIDDLE = {"center", "middle", "central"}

_PATTERNS = (
    # "top left", "upper-left", "lower right-hand corner"
    re.compile(
        rf"\b(?P<a>top|upper|bottom|lower)[\s-]+(?P<b>left|right|center|middle){_HAND}(?:[\s-]+{_SIDE})?\b"
    ),
    # "left center", "middle left", "center bottom", "left-top"
    re.compile(
        rf"\b(?P<a>left|right|center|middle)[\s-]+(?P<b>left|right|top|bottom|upper|lower|center|"
        rf"middle)(?:[\s-]+{_SIDE})?\b"
    ),
    # "left side", "right-hand edge", "lower part", "central area"
    re.compile(rf"\b(?P<a>top|upper|bottom|lower|left|right|center|middle|central){_HAND}[\s-]+{_SIDE}\b"),
    # "the top", "the far left", "its center"
    re.compile(
        r"\b(?:the|its)\s+(?:very\s+|far\s+|extreme\s+|exact\s+)?(?P<a>top|bottom|left|right|center|middle)\b"
    ),
    # "at left", "in center"
    re.compile(r"\b(?:at|in)\s+(?P<a>top|bottom|left|right|center)\b"),
    re.compile(r"\b(?P<a>leftmost|rightmost|centrally)\b"),
)
_NEEDS_END = {3, 4}


@dataclass(frozen=True)
class PlacePhrase:
    """A position in a text: where it stands, and the words of the grid it means ("top left")."""

    start: int
    end: int
    words: str


def find_places(text: str) -> list[PlacePhrase]:
    """Every position in a normalised text, in order; places relative to something else than the picture are
    left out.
    """
    found: list[PlacePhrase] = []
    for index, pattern in enumerate(_PATTERNS):
        for match in pattern.finditer(text):
            if any(match.start() < place.end and place.start < match.end() for place in found):
                continue
            rest = text[match.end() :]
            if _RELATIVE.match(rest) or (index in _NEEDS_END and not _NEXT.match(rest)):
                continue
            words = _cell_of(match["a"], match.groupdict().get("b"))
            if words is not None:
                found.append(PlacePhrase(match.start(), match.end(), words))
    return sorted(found, key=lambda place: place.start)


def _cell_of(first: str, second: str | None) -> str | None:
    """The grid words for one or two place words; None for nonsense such as "left right"."""
    fixed = {"leftmost": "left", "rightmost": "right", "centrally": "center"}
    parts = [fixed.get(word, word) for word in (first, second) if word]
    rows = [_ROW[word] for word in parts if word in _ROW]
    columns = [word for word in parts if word in ("left", "right")]
    if len(rows) > 1 or len(columns) > 1:
        return None
    if not rows and not columns:
        return "center"
    return " ".join(rows + columns)
