"""What a clause denies, and whether an answer speaks of the whole picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from inference.words import Position, words

_REACH = 160
"""Characters before a place that are read for a denial."""
_CLAUSE_END = re.compile(
    r"[.,;:!?\n()]|(?<![A-Za-z])(?:but|whereas|while|yet|however|instead(?! of))(?![A-Za-z])", re.I
)
_NEGATED = re.compile(r"(?<![A-Za-z])(?:no|not|nothing|never|hardly)(?![A-Za-z])|n['’]t(?![A-Za-z])", re.I)
_ALSO_BUT = re.compile(r"but\s+(?:by|also|is|has|with|rather)(?![A-Za-z])", re.I)
_MOST_COMPARED = 6
"""Words between "than" and the place that something is compared to."""
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|\Z)|\n")


def denied(text: str, start: int) -> bool:
    """Whether the clause that leads to character `start` says that the place there is NOT meant.

    "not at the top", "unlike the left side", "no blur on the right"; "nothing looks worse than the top" and
    complaints ("not sharp at the top") deny nothing.
    """
    before = text[max(0, start - _REACH) : start]
    clause = before
    for end in _CLAUSE_END.finditer(before):
        clause = before[end.end() :]
    patterns = _patterns()
    clause = patterns["no_denials"].sub(" ", clause)
    match = patterns["denials"].search(clause)
    if match is None:
        return _compared(clause)
    if patterns["complaints"].search(clause) and not patterns["harms"].search(clause):
        return False
    rest = clause[match.end() :]
    return " " in match[0].strip() or not patterns["comparisons"].search(rest)


def cleared(text: str, end: int) -> bool:
    """Whether the clause goes on from a place that ends at `end` to say that nothing is wrong there.

    "the left side isn't the worst", "the upper part is free of noise"; not "the left isn't sharp".
    """
    patterns = _patterns()
    after = patterns["no_denials"].sub(" ", text[end : end + _REACH])
    stop = _CLAUSE_END.search(after)
    clause = after[: stop.start()] if stop else after
    match = patterns["denials"].search(clause)
    if match is None or (stop and _ALSO_BUT.match(after, stop.start())):
        return False
    fault = patterns["any_fault"].search(clause, match.end())
    if fault is None or patterns["denials"].search(clause, match.end(), fault.start()):
        return False
    if patterns["any_fault"].search(clause, 0, match.start()):
        return False
    return not patterns["complaints"].search(clause, match.end(), fault.start())


def _compared(clause: str) -> bool:
    """Whether a clause ends with what something is compared to ("blurrier than the wall on")."""
    patterns = _patterns()
    if patterns["compared"].search(clause):
        return True
    _, *rests = patterns["comparisons"].split(clause)
    if not rests:
        return False
    rest = rests[-1]
    if not patterns["comparand"].match(rest):
        return False
    return len(rest.split()) <= _MOST_COMPARED and not patterns["verbs"].search(rest)


def speaks_of_whole(text: str, places: Sequence[Position]) -> bool:
    """Whether `text` says that the whole picture is meant, given the positions found in it.

    The first sentence that names a place or the whole picture decides, and a claim about the whole outweighs
    the places it lists ("the whole photo, from the wall at the top to the floor"), unless the answer turns
    back to one ("but most at the top left"). Denied claims, superlatives ("the worst of the whole picture")
    and pristine pictures are no claims. Weak words ("overall") count where no place is named.
    """
    start = 0
    for sentence, start in _sentences(text):
        inside = [place for place in places if start <= place.start < start + len(sentence)]
        claim = _claim(sentence)
        if claim is None and inside:
            return False
        if claim is not None:
            back = [
                place
                for place in inside
                if _patterns()["contrasts"].search(sentence, claim, place.start - start)
            ]
            return not back
    return not places and any(_weak_claim(sentence) for sentence, _ in _sentences(text))


def _weak_claim(sentence: str) -> bool:
    match = _patterns()["weak"].search(sentence)
    return match is not None and not _clean(sentence) and not _NEGATED.search(sentence[: match.start()])


def _sentences(text: str) -> list[tuple[str, int]]:
    """The sentences of a text with their first characters."""
    edges = [0, *(end.end() for end in _SENTENCE_END.finditer(text)), len(text)]
    return [(text[a:b], a) for a, b in pairwise(edges) if text[a:b].strip()]


def _claim(sentence: str) -> int | None:
    """Where the first claim about the whole picture ends in a sentence."""
    for match in _patterns()["whole"].finditer(sentence):
        before = sentence[max(0, match.start() - _REACH) : match.start()]
        if denied(sentence, match.start()) and not re.match(r"no\s", match[0], re.I):
            continue
        among = re.search(r"(?<![A-Za-z])(?:of|in|from|across)\s+(?:the\s+|this\s+)?\Z", before, re.I)
        if among and _patterns()["superlatives"].search(sentence):
            continue
        if _clean(sentence):
            continue
        return match.end()
    return None


def _clean(sentence: str) -> bool:
    """Whether a sentence says that nothing is wrong."""
    patterns = _patterns()
    for match in patterns["pristine"].finditer(sentence):
        if not _NEGATED.search(sentence[: match.start()]):
            return True
    return bool(patterns["no_harm"].search(sentence))


@lru_cache(maxsize=1)
def _patterns() -> dict[str, re.Pattern[str]]:
    table = words()
    picture = table.any_of("pictures")
    the_picture = rf"(?:the|this|that)\s{{1,3}}(?:[A-Za-z]+\s{{1,3}})?{picture}"
    alone = r"(?!\s{1,3}(?:in|on|at|around|near|along|towards?|only)\s)"
    names = (
        "denials",
        "no_denials",
        "complaints",
        "harms",
        "comparisons",
        "superlatives",
        "contrasts",
        "pristine",
        "compared",
    )
    patterns = {name: table.any_of(name) for name in names}
    all_over = rf"(?!(?:\s{{1,3}}[A-Za-z]+)?\s{{1,3}}(?:on|over|in|at|around)\s{{1,3}}(?!{the_picture}))"
    adverbs = r"(?:(?!(?:not|no|never|less|hardly)\s)[A-Za-z]+\s{1,3}){0,2}?"
    harm, poor = table.any_of("harms"), table.any_of("poor")
    patterns["any_fault"] = rf"{harm}|{table.any_of('faults')}"
    patterns["comparand"] = rf"\s*(?:{table.any_of('comparands')}|\Z)"
    patterns["verbs"] = r"(?<![A-Za-z])(?:is|are|was|were|has|have|looks?|seems?|appears?)(?![A-Za-z])"
    patterns["weak"] = (
        rf"{table.any_of('weak')}|(?<![A-Za-z])throughout(?!\s{{1,3}}(?:the|its|this)\s|[A-Za-z])|"
        rf"(?:{harm}|(?<![A-Za-z])quality)\s{{1,3}}(?:[A-Za-z]+\s{{1,3}}){{0,3}}?{table.any_of('even')}{all_over}|"
        rf"(?<!of\s){the_picture}\s{{1,3}}(?:is|looks|appears|seems)\s{{1,3}}{adverbs}{poor}{alone}|"
        rf"(?:this|it)\s{{1,3}}is\s{{1,3}}an?\s{{1,3}}{adverbs}{poor}\s{{1,3}}{picture}"
    )
    patterns["no_harm"] = rf"(?<![A-Za-z])no\s{{1,3}}(?:[A-Za-z]+\s{{1,3}}){{0,2}}?{table.any_of('harms')}"
    patterns["whole"] = (
        rf"{table.any_of('whole')}\s{{1,3}}(?:[A-Za-z]+\s{{1,3}})?{picture}|"
        rf"{table.any_of('everywhere')}(?!\s{{1,3}}else)|"
        rf"{table.any_of('spread')}\s{{1,3}}(?:in\s{{1,3}})?{the_picture}|"
        rf"{picture}\s{{1,3}}as\s{{1,3}}a\s{{1,3}}whole|entirety\s{{1,3}}of\s{{1,3}}{the_picture}|"
        rf"every\s{{1,3}}part\s{{1,3}}of\s{{1,3}}it"
    )
    return {name: re.compile(pattern, re.IGNORECASE) for name, pattern in patterns.items()}
