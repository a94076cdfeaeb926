"""The truth in words for a prompt: regions, places, damage and the words that fit its strength, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from annotation.qa import truth
from annotation.qa.lexicon import load_lexicon
from annotation.qa.nouns import spoken_label
from schemas.errors import SampleError
from schemas.records import Distortion, Region, Sample


def shown_regions(sample: Sample) -> list[Region]:
    """The regions that the overview outlines: the damaged ones, or all where none is."""
    return truth.distorted(sample.regions) or list(sample.regions)


def overview_facts(sample: Sample) -> str:
    """All of the truth: the outlined regions by number, and the names and places of the others."""
    shown = shown_regions(sample)
    facts: dict[str, Any] = {"whole_picture": sample.whole_image}
    if sample.whole_image:
        facts["damage"] = [damage(d) for d in truth_of(shown[0])]
    facts["regions"] = [
        {"number": i, **told(region, sample.whole_image)} for i, region in enumerate(shown, 1)
    ]
    others = [region for region in sample.regions if region not in shown]
    facts["undamaged"] = [{"name": spoken_label(r.label), "place": place(r.position)} for r in others]
    return _json(facts)


def region_facts(region: Region) -> str:
    """The truth about one region."""
    return _json({"whole_picture": False, "regions": [told(region, False)]})


def told(region: Region, whole: bool) -> dict[str, Any]:
    """Name and place of a region, and its damage where the whole picture doesn't have it."""
    facts: dict[str, Any] = {"name": spoken_label(region.label), "place": place(region.position)}
    if not whole:
        facts["damage"] = [damage(d) for d in truth_of(region)]
    return facts


def truth_of(region: Region) -> Sequence[Distortion]:
    """A region's distortions in order of application."""
    return sorted(region.distortions, key=lambda d: d.order)


def damage(distortion: Distortion) -> dict[str, Any]:
    """A distortion's name in words, and the adjectives that the checks accept for its level."""
    words = load_lexicon().severity
    fitting = [word for word, levels in words.items() if distortion.level in levels and _is_adjective(word)]
    fitting.sort(key=lambda word: len(words[word]))
    return {"name": damage_name(distortion.name), "strength": fitting[:5]}


def _is_adjective(word: str) -> bool:
    return " " not in word and not word.endswith("ly")


def damage_name(name: str) -> str:
    """How texts call a catalog's distortion ("Gaussian blur"). Raises SampleError without words for it."""
    lexicon = load_lexicon()
    if name not in lexicon.names:
        raise SampleError("no-words", f"the lexicon doesn't know {name}")
    return lexicon.group(name).bare()[0]


def place(position: str) -> str:
    """Position words as a phrase: "in the top left", "on the left", "at the top", "in the center"."""
    return {
        "left": "on the left",
        "right": "on the right",
        "top": "at the top",
        "bottom": "at the bottom",
    }.get(position, f"in the {position}")


def named(region: Region, regions: Sequence[Region]) -> str:
    """ "the dog", with its place where another region has the name."""
    words = f"the {spoken_label(region.label)}"
    return f"{words} {place(region.position)}" if truth.shares_label(region, regions) else words


def _json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, ensure_ascii=False, indent=1)
