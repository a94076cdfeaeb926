"""Questions about a picture or a region, in the words of the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from flows.grounding.region_input import RgbImage
from schemas import masks
from schemas.masks import BoolMask
from schemas.regions_config import RegionsConfig

Kind = Literal["whole", "region", "short", "long"]

_QUESTIONS: Mapping[Kind, tuple[str, int]] = {
    "whole": ("global_ask_full", 0),
    "region": ("local_ask", 2),
    "short": ("short_ask", 0),
    "long": ("long_ask", 0),
}
"""Which question of the training rows each command asks: the entry of `phrases` in the wording file, and the
option's number there.
"""


def look_of(picture: RgbImage, mask: BoolMask) -> str:
    """What the training rows of the embedded proposer call a region: its color, texture and form."""
    from annotation.regions.interface import Context, candidate
    from annotation.regions.labellers.appearance import label

    named = label(picture, [candidate(mask)], Context(RegionsConfig()))[0]
    return named.label or "area"


def question_about(kind: Kind, picture: RgbImage, asked: BoolMask | None, name: str | None) -> str:
    """The question of a command; the region goes by `name`, or by its look where none is given."""
    if asked is None:
        return question_text(kind)
    return question_text(kind, name or look_of(picture, asked), masks.position(asked))


def question_text(kind: Kind, name: str = "", position: str = "") -> str:
    """A question as the training rows put it, the region by its name and place: "the smooth dark blue area in
    the top left".
    """
    from annotation.qa.composer import names_place, place_key
    from annotation.qa.nouns import spoken_label
    from annotation.qa.wording import load_wording

    wording = load_wording()
    key, number = _QUESTIONS[kind]
    question = wording.phrases[key][number]
    if kind == "whole":
        return question.format(pic=wording.pictures[0])
    spoken = spoken_label(name)
    place_of = "labelled" if names_place(spoken, position) else place_key(position)
    place = wording.places[place_of][0].format(pos=position)
    return question.format(np=f"the {spoken} {place}".rstrip())
