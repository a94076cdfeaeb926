"""Reads superlatives: which end of the scale a question asks for, and whether an answer says the same."""

from __future__ import annotations

import re
from typing import Literal

Polarity = Literal["most", "least"]

_DAMAGE = (
    r"(?:degrad|damag|distort|affect|impair|blur|nois|compress|bright|dark|saturat|desaturat|sharpen|"
    r"oversharpen|pixelat|quanti|poster|"
    r"visible|obvious|pronounced|intense|severe|noticeable|serious|strongly|heavily|severely|badly|visibly|"
    r"clearly|contrast|"
    r"exaggerat|overexpos|underexpos|reduced|jpeg|grain|block|trouble|harm|hurt|suffer)"
)
_MOST_FIXED = (
    r"\b(?:worst|poorest|strongest|heaviest|severest|harshest|hardest|lowest (?:\w+ )?quality|"
    r"lowest in quality|quality (?:is )?(?:the )?lowest|"
    r"quality (?:is )?(?:the )?poorest|(?:suffers?|suffered|damaged|degraded|affected|distorted|"
    r"hit) (?:the )?most|"
    r"(?:highest|greatest|largest|biggest) (?:amount|degree|damage|degradation|distortion|loss|dose|"
    r"quality loss)|least (?:clean|intact|preserved|well))\b"
)
_LEAST_FIXED = (
    r"\b(?:best|mildest|faintest|weakest|lightest|slightest|subtlest|gentlest|cleanest|"
    r"highest (?:\w+ )?quality|highest in quality|"
    r"quality (?:is )?(?:the )?highest|most (?:intact|subtle|faint|preserved|well preserved|clean)|"
    r"(?:suffers?|suffered|damaged|degraded|affected|distorted|hit) (?:the )?least|"
    r"(?:lowest|smallest|least) (?:amount|degree|damage|degradation|distortion|loss|dose|quality loss))\b"
)
_MOST = re.compile(rf"{_MOST_FIXED}|\bmost (?:\w+ly )?{_DAMAGE}")
_LEAST = re.compile(rf"{_LEAST_FIXED}|\bleast (?:\w+ly )?{_DAMAGE}")
_MOST_LOOSE = re.compile(rf"{_MOST_FIXED}|\bmost\b(?! of\b| (?:intact|subtle|faint|preserved|well|clean))")
_LEAST_LOOSE = re.compile(rf"{_LEAST_FIXED}|\bleast\b(?! (?:clean|intact|preserved|well))")


def find_asked_end(question: str) -> Polarity | None:
    """Which end of the scale a normalized question asks for; None when it says neither or both."""
    most, least = (
        bool(_MOST_LOOSE.search(question)),
        bool(_LEAST_LOOSE.search(re.sub(r"\bat least\b", "", question))),
    )
    if most == least:
        return None
    return "most" if most else "least"


def says_end(answer: str, end: Polarity) -> bool:
    """Whether a normalized answer calls its region the one at `end` of the scale."""
    return bool(
        (_MOST if end == "most" else _LEAST).search(re.sub(r"\bat (?:best|least|most|worst)\b", "", answer))
    )
