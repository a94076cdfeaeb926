"""Text to mask without a point: the region whose name fits a noun phrase best."""

from __future__ import annotations

import math
import re
from collections import Counter

from inference.grounded_answer import Encoded, Segmented

SILENT = frozenset({"a", "an", "and", "at", "in", "of", "on", "the", "this", "that", "with"})
SPELLED = {"gray": "grey", "centre": "center", "middle": "center"}


def by_noun(encoded: Encoded, noun: str) -> Segmented | None:
    """The region whose label shares most with `noun`; None when no label has a word in common with it.

    The score is the weight of common words over that of all words of both, where a word counts less the more
    of the picture's labels have it: 1 for the same phrase. Ties go to the first region. `candidate` is the
    region's number in `encoded.regions()`.
    """
    regions = encoded.regions()
    labels = [words(region.label or "") for region in regions]
    frequency = Counter(word for label in labels for word in label)
    wanted = words(noun)

    def weight(some: frozenset[str]) -> float:
        return math.fsum(math.log(1 + len(labels) / frequency.get(word, 1)) for word in some)

    scores = [weight(wanted & label) / weight(wanted | label) if wanted & label else 0.0 for label in labels]
    best = max(range(len(scores)), key=scores.__getitem__, default=None)
    if best is None or scores[best] == 0:
        return None
    return Segmented(regions[best].mask, min(1.0, scores[best]), best)


def words(phrase: str) -> frozenset[str]:
    """The words of a phrase that say something: lower case, singular, one spelling."""
    found = (SPELLED.get(word, word) for word in re.findall(r"[^\W\d_]+", phrase.casefold()))
    return frozenset(_singular(word) for word in found if word not in SILENT)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
