"""Contradictory labels of one picture: whose word counts, and what goes.

The rule: what was injected and measured here counts more than what another dataset's generator says it
did, and that more than what people wrote. Of rows that contradict one that counts more, none stays. Where
rows of one rank contradict each other there is no telling which is right, and all of them go.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from annotation.qa.lexicon import load_lexicon, normalize
from flows.stages.merging.candidates import Candidate, Truth

DENIED_LEVEL = 3
"""People may overlook a distortion below this level; denying one from it on contradicts the truth."""
_NO = re.compile(r"no\b", re.I)


def without_conflicts(
    rows: Sequence[Candidate], looks: Mapping[str, str], counts: Counter[str]
) -> list[Candidate]:
    """Rows that contradict none that counts as much or more. `looks` says which pictures are one."""
    truths = _truths(rows, looks)
    answers = _answers(rows, looks)
    kept = []
    for row in rows:
        reason = _conflict(row, truths, answers, looks)
        if reason is None:
            kept.append(row)
        else:
            counts[f"conflicts: {reason}: {row.source}"] += 1
    return kept


def _look(name: str, looks: Mapping[str, str]) -> str:
    return looks.get(name, name)


def _truths(rows: Sequence[Candidate], looks: Mapping[str, str]) -> dict[str, tuple[int, set[Truth]]]:
    """For each picture the rank that counts most and what rows of it state."""
    stated: dict[str, tuple[int, set[Truth]]] = {}
    for row in rows:
        for name, truth in zip(row.pictures, row.truths, strict=True):
            if truth is None:
                continue
            rank, known = stated.get(_look(name, looks), (row.rank, set()))
            if row.rank < rank:
                stated[_look(name, looks)] = (row.rank, {truth})
            elif row.rank == rank:
                stated[_look(name, looks)] = (rank, known | {truth})
    return stated


Question = tuple[tuple[str, ...], bytes]


def _question(row: Candidate, looks: Mapping[str, str]) -> Question:
    return tuple(_look(name, looks) for name in row.pictures), row.asked


def _answers(rows: Sequence[Candidate], looks: Mapping[str, str]) -> dict[Question, tuple[int, set[str]]]:
    """For each question about a picture the rank that counts most and its short answers."""
    given: dict[Question, tuple[int, set[str]]] = {}
    for row in rows:
        if row.short is None or not row.pictures:
            continue
        key = _question(row, looks)
        rank, known = given.get(key, (row.rank, set()))
        if row.rank < rank:
            given[key] = (row.rank, {row.short})
        elif row.rank == rank:
            given[key] = (rank, known | {row.short})
    return given


def _conflict(
    row: Candidate,
    truths: Mapping[str, tuple[int, set[Truth]]],
    answers: Mapping[Question, tuple[int, set[str]]],
    looks: Mapping[str, str],
) -> str | None:
    """Why a row can't stay, or None."""
    for name, truth in zip(row.pictures, row.truths, strict=True):
        rank, stated = truths.get(_look(name, looks), (row.rank, set()))
        if truth is not None and rank == row.rank and len(stated) > 1:
            return "distortions of one picture, equal rank"
        if truth is not None and rank < row.rank and _names(stated) != {name for name, _ in truth}:
            return "distortions of one picture"
        if rank < row.rank and row.question is not None and row.short is not None and _denies(row, stated):
            return "text denies a distortion"
    if row.short is not None and row.pictures:
        rank, said = answers[_question(row, looks)]
        if rank == row.rank and len(said) > 1:
            return "answers to one question, equal rank"
        if rank < row.rank and said != {row.short}:
            return "answers to one question"
    return None


def _names(truths: set[Truth]) -> set[str]:
    return {name for truth in truths for name, _ in truth}


def _denies(row: Candidate, stated: set[Truth]) -> bool:
    """Whether the row answers no when asked for a distortion that the picture plainly has."""
    if row.question is None or row.short is None or not _NO.match(row.short):
        return False
    plain = {name for truth in stated for name, level in truth if level >= DENIED_LEVEL}
    lexicon = load_lexicon()
    asked = [lexicon.phrase(found[0]) for found in lexicon.pattern.finditer(normalize(row.question))]
    return any(phrase.kind in ("name", "hint") and phrase.names & plain for phrase in asked)
