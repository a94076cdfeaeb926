"""The visible effects in the wording: words for damage that claim nothing about severity, rank, or order."""

from __future__ import annotations

import re

import pytest

from annotation.qa.lexicon import load_lexicon, normalize
from annotation.qa.read_order import contradicts, find_order_claims
from annotation.qa.read_superlatives import find_asked_end
from annotation.qa.wording import load_wording

EFFECTS = [
    (group, clause)
    for group, clauses in load_wording().effects.items()
    for clause in (*clauses.any, *clauses.low, *clauses.high)
]
ORDER = ("compression_jpeg", "blur_gaussian")
FRAMES = (
    "Two things can be seen: {effect}, which is due to the JPEG compression that came first, and lines are "
    "wide, which is due to the Gaussian blur that followed.",
    "Two things can be seen: lines are wide, which is due to the JPEG compression that came first, and "
    "{effect}, which is due to the Gaussian blur that followed.",
    "The Gaussian blur acts on what the JPEG compression had left behind: {effect}, and lines are wide.",
)


@pytest.mark.parametrize(("group", "clause"), EFFECTS)
def test_an_effect_is_no_claim(group: str, clause: str) -> None:
    text = normalize(clause)
    # "light" is what falls on a scene here, not a severity.
    severity = [word for word in load_lexicon().severity if word != "light"]
    words = [word for word in severity if re.search(rf"\b{re.escape(word)}\b", text)]
    assert words == []
    assert find_asked_end(text) is None
    for frame in FRAMES:
        claims = find_order_claims(normalize(frame.format(effect=clause)))
        assert not any(contradicts(claim, ORDER) for claim in claims), frame
