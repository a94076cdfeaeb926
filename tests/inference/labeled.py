"""How well answers that were never seen are read: answers.yaml, its halves, and how a reading is judged.

`python -m tests.inference.labeled` prints the figures of docs/grounding.md; with `--wrong seen` or
`--wrong held` also what is read wrongly of a half.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from inference import text_to_point
from inference.grounded_answer import Axis, Grounding
from schemas.hashing import rng
from tests.inference.scripted import spoken, vocabulary

Half = Literal["seen", "held"]
Outcome = Literal["right", "missed", "invented", "wrong"]
Names = tuple[str | None, str | None]
OUTCOMES: tuple[Outcome, ...] = ("right", "missed", "invented", "wrong")
_TABLE = Path(__file__).with_name("answers.yaml")
_SIDES = {"left": 0, "right": 0, "top": 1, "bottom": 1}


@dataclass(frozen=True)
class Labeled:
    """An answer and what it means: (horizontal, vertical) classes and nouns of places, or the whole."""

    kind: str
    asked: str
    text: str
    places: tuple[tuple[Names, str | None], ...]
    whole: bool


@dataclass(frozen=True)
class Judged:
    """What was read of an answer, against its label.

    "missed": something meant wasn't read; "invented": something else was; "wrong": both. `nouns` tells of
    each place of an answer read right whether its noun is right too.
    """

    answer: Labeled
    outcome: Outcome
    nouns: tuple[bool, ...]
    read: tuple[tuple[Names, str | None], ...]
    whole: bool


@lru_cache(maxsize=1)
def labeled() -> tuple[Labeled, ...]:
    """Every labeled answer, in order of the file."""
    table = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    return tuple(
        Labeled(
            row["kind"],
            table["questions"][row["asked"]],
            row["says"],
            tuple(_place(place) for place in row.get("at", ())),
            row.get("whole", False),
        )
        for row in table["answers"]
    )


def half(name: Half) -> list[Labeled]:
    """The half that rules were made from ("seen") or the one they were only measured on ("held")."""
    answers = labeled()
    drawn = rng(0, "labelled answers").permutation(len(answers))
    middle = len(answers) // 2
    places = drawn[:middle] if name == "seen" else drawn[middle:]
    return [answers[at] for at in sorted(places)]


def judge(answer: Labeled) -> Judged:
    """Read one answer, its own words certain, and compare."""
    placed = text_to_point(spoken(answer.text), vocabulary(), "grid")
    read = tuple((_names(found), found.noun) for found in placed.groundings)
    wanted = Counter(names for names, _ in answer.places)
    got = Counter(names for names, _ in read)
    missed = bool(wanted - got) or (answer.whole and not placed.whole_image)
    invented = bool(got - wanted) or (placed.whole_image and not answer.whole)
    outcome: Outcome = "wrong" if missed and invented else "missed" if missed else "right"
    if invented and not missed:
        outcome = "invented"
    nouns: tuple[bool, ...] = ()
    if outcome == "right":
        left = list(read)
        for names, noun in answer.places:
            best = max((place for place in left if place[0] == names), key=lambda p: same_noun(noun, p[1]))
            left.remove(best)
            nouns += (same_noun(noun, best[1]),)
    return Judged(answer, outcome, nouns, read, placed.whole_image)


def shares(judged: Sequence[Judged]) -> dict[str, float]:
    """Share of each outcome among answers, and of right nouns among the places of answers read right."""
    counts = Counter(one.outcome for one in judged)
    nouns = [right for one in judged for right in one.nouns]
    found = {name: counts[name] / len(judged) for name in OUTCOMES}
    return {**found, "nouns": float(np.mean(nouns)) if nouns else float("nan")}


def same_noun(label: str | None, read: str | None) -> bool:
    """Whether a noun phrase names the labeled thing: its head last, and no words but its own before the
    whole of it.
    """
    if label is None or read is None:
        return label is None and read is None
    said = re.findall(r"\w+", read.casefold())
    for thing in label.split("|"):
        named = thing.split()
        inside = said[-1:] == named[-1:] and set(said) <= set(named)
        if inside or said[-len(named) :] == named:
            return True
    return False


def _place(text: str) -> tuple[Names, str | None]:
    where, _, noun = text.partition(":")
    words = where.split()
    if words == ["center"]:
        return ("center", "center"), noun.strip() or None
    horizontal: str | None = None
    vertical: str | None = None
    if words == ["center", "row"]:
        vertical = "center"
    elif words == ["center", "column"]:
        horizontal = "center"
    else:
        for word in words:
            if word != "center" and _SIDES[word] == 0:
                horizontal = word
            elif word != "center":
                vertical = word
        if "center" in words:
            horizontal, vertical = horizontal or "center", vertical or "center"
    return (horizontal, vertical), noun.strip() or None


def _names(found: Grounding) -> Names:
    return _likeliest(found.horizontal), _likeliest(found.vertical)


def _likeliest(axis: Axis | None) -> str | None:
    return axis.classes[int(np.argmax(axis.probabilities))] if axis else None


def _row(name: str, judged: Sequence[Judged]) -> str:
    told = shares(judged)
    cells = " | ".join(f"{told[key]:.3f}".lstrip("0") for key in (*OUTCOMES, "nouns"))
    return f"| {name} | {len(judged)} | {cells} |"


def main() -> None:
    """Print a table of both halves, by kind of answer, and the wrong ones of the half that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wrong", choices=["seen", "held"])
    parser.add_argument("--kinds", action="store_true")
    options = parser.parse_args()
    print("| half | answers | right | missed | invented | both | nouns |\n|---|---|---|---|---|---|---|")
    names: tuple[Half, ...] = ("seen", "held")
    for name in names:
        judged = [judge(answer) for answer in half(name)]
        print(_row(name, judged))
        if options.kinds:
            for kind in dict.fromkeys(one.answer.kind for one in judged):
                print(_row(f"{name}, {kind}", [one for one in judged if one.answer.kind == kind]))
        if options.wrong == name:
            for one in judged:
                if one.outcome != "right" or not all(one.nouns):
                    label = "whole" if one.answer.whole else one.answer.places
                    print(
                        f"{one.outcome}: {one.answer.text!r}\n   meant {label}\n   read  "
                        f"{'whole' if one.whole else one.read}"
                    )


if __name__ == "__main__":
    main()
