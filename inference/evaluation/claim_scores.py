"""Scores an answer's claims about distortions against a row's truth, without a judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from annotation.qa.lexicon import load_lexicon
from annotation.qa.read_claims import Claim, Claims
from inference.evaluation.benchmark_interface import Values
from schemas.records import Distortion, Row

CLAIM_COLUMNS = (
    "told", "truths", "right", "claimed", "f1",
    "class_told", "class_truths", "class_right", "class_claimed", "class_f1",
    "placed_told", "placed_truths",
    "level_near", "level_truths", "false_claims",
)  # fmt: skip
"""told of truths: true distortions that are named; right of claimed: named kinds that are true, each once
however often and in however many words it is named.
"""


def find_subjects(row: Row) -> list[int]:
    """Indexes of the regions whose distortions a row's answer has to tell."""
    if row.task == "global_description":
        return [i for i, region in enumerate(row.regions) if region.distortions]
    return [i for i, region in enumerate(row.regions) if region.region_id in row.target_region_ids]


def score_claims(row: Row, claims: Claims) -> Values:
    """The values of `CLAIM_COLUMNS` for an answer to a description or referring row.

    Distortions are compared by kind, the same for catalog names that no words tell apart: a word that may
    mean several ("compression") is right when one of them is there, and tells one at most. Claims about other
    regions than the row is about count as false claims where they are wrong, and not otherwise. An untouched
    subject is right (f1 1) when the answer says that it is undamaged and claims nothing of it; levels count
    only in tasks that ask for them.
    """
    subjects = find_subjects(row)
    whole = bool(row.whole_image)
    placed_truths = [(i, d) for i in subjects for d in row.regions[i].distortions]
    there = [d for _, d in placed_truths]
    named = [c for c in claims.distortions if not c.denied and not c.hint]
    own = [c for c in named if whole or not c.regions or c.regions & set(subjects) or not subjects]
    true = _group_kinds(there)
    said = list(dict.fromkeys(c.names for c in own))
    told, wrong = _count_matches(true, said)
    classes = list(dict.fromkeys(c.categories for c in own))
    true_classes = [{name} for name in dict.fromkeys(d.category for d in there)]
    class_told, class_wrong = _count_matches(true_classes, classes)
    calls_clean = any(not c or not subjects or c & set(subjects) for c in claims.clean)
    says_clean = calls_clean and not own and not claims.damage
    values: dict[str, float | None] = {
        "told": told, "truths": len(true), "right": told, "claimed": told + wrong,
        "f1": _f1(told, len(true), wrong, says_clean),
        "class_told": class_told, "class_truths": len(true_classes), "class_right": class_told,
        "class_claimed": class_told + class_wrong,
        "class_f1": _f1(class_told, len(true_classes), class_wrong, says_clean),
        "placed_told": None, "placed_truths": None, "level_near": None, "level_truths": None,
        "false_claims": _count_false_claims(row, claims, subjects),
    }  # fmt: skip
    if row.task == "global_description" and not whole:
        placed = [(i, _group_kinds(row.regions[i].distortions)) for i in subjects]
        values["placed_told"] = sum(
            _count_matches(found, list(dict.fromkeys(c.names for c in named if i in c.regions)))[0]
            for i, found in placed
        )
        values["placed_truths"] = sum(len(found) for _, found in placed)
    if row.task in ("global_description", "referring_long"):
        values["level_near"] = sum(_is_level_near(own, names, placed_truths) for names in true)
        values["level_truths"] = len(true)
    return values


def score_missing(row: Row) -> Values:
    """The values of a missing answer: nothing told, and not even a rightly empty one."""
    return {**score_claims(row, Claims()), "f1": 0.0, "class_f1": 0.0}


def _group_kinds(found: Sequence[Distortion]) -> list[set[str]]:
    """The distortions by kind: the names that each may be told by."""
    kinds: dict[str, set[str]] = {}
    for distortion in found:
        kinds.setdefault(load_lexicon().kind(distortion.name), set()).add(distortion.name)
    return list(kinds.values())


def _count_matches(true: Sequence[set[str]], claimed: Sequence[frozenset[str]]) -> tuple[int, int]:
    """How many of the true kinds are told, one claim telling one at most, and how many claims are false. A
    claim that repeats a told kind in other words is neither.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    fits = np.array([[bool(kinds & kind) for kinds in claimed] for kind in true], dtype=np.int8)
    if not fits.size:
        return 0, len(claimed)
    pairs = maximum_bipartite_matching(csr_matrix(fits), perm_type="column")
    return int((pairs >= 0).sum()), int((~fits.any(axis=0)).sum())


def _f1(told: int, truths: int, wrong: int, says_clean: bool) -> float:
    """The harmonic mean of precision and recall; for nothing true, 1 where the answer says just that."""
    if truths == 0:
        return float(says_clean)
    if told == 0:
        return 0.0
    precision, recall = told / (told + wrong), told / truths
    return 2 * precision * recall / (precision + recall)


def _is_level_near(own: Iterable[Claim], names: set[str], found: Sequence[tuple[int, Distortion]]) -> bool:
    """Whether the severity of a true kind is told at most one level off: by one claim at least, and by none
    that fits nothing there, so that saying several levels is no way to be right.

    A claim about regions that have what it names is held against these, any other against all.
    """
    near = False
    for claim in own:
        if claim.levels is None or not claim.names & names:
            continue
        meant = [(i, d) for i, d in found if d.name in claim.names]
        meant = [(i, d) for i, d in meant if i in claim.regions] or meant
        fits = {d.name for _, d in meant if any(abs(level - d.level) <= 1 for level in claim.levels)}
        if not fits:
            return False
        near = near or bool(fits & names)
    return near


def _count_false_claims(row: Row, claims: Claims, subjects: Sequence[int]) -> int:
    """Kinds (or effects) named where they aren't, true ones denied, damaged regions called clean, orders
    turned around.
    """
    false: set[tuple[str, frozenset[str]]] = set()
    everywhere = [i for i, region in enumerate(row.regions) if region.distortions]
    for claim in claims.distortions:
        where = claim.regions or frozenset(subjects or everywhere)
        if row.whole_image:
            where = frozenset(everywhere)
        there = {d.name for i in where for d in row.regions[i].distortions}
        if claim.denied and not claim.hint and claim.names & there:
            false.add(("denied", claim.names))
        if not claim.denied and not claim.names & there:
            false.add(("invented", claim.names))
    calls_damaged_clean = any(
        row.regions[i].distortions for regions in claims.clean for i in (regions or subjects)
    )
    nothing_there = not any(row.regions[i].distortions for i in subjects) and not everywhere
    return len(false) + calls_damaged_clean + (claims.damage and nothing_there) + claims.disorders
