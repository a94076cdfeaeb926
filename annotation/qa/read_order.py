"""Reads order words: which distortion a sentence says came first ("first blurred, then compressed")."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from annotation.qa.lexicon import load_lexicon

_FORWARD = re.compile(
    r"\b(?:then|followed by|before|afterwards?|subsequently|later|after that|after which|"
    r"after it\b(?! (?:had|has|was|is)\b)|next|prior to|precedes|preceded(?! by)|"
    r"preceding|(?:lies|lie|sits|is|was|lay) (?:underneath|beneath|below|under))\b"
)
_REVERSE = re.compile(
    r"\b(?:after(?! that\b| which\b| it\b(?! (?:had|has|was|is)\b))|following|on top of(?! that\b| it\b)|"
    r"(?:laid|applied|added|put) over|preceded by|follows|"
    r"followed(?! by\b)|once)\b"
)
_HEAD_AFTER = re.compile(r"\b(?:after|following|once)\b(?! that\b| which\b)")
_HEAD_BEFORE = re.compile(r"\b(?:before|prior to)\b")
_ALREADY = re.compile(r"\balready\b\s+(?:\w+\s+){0,2}$")
_FIRST_BEFORE = re.compile(
    r"\b(?:first|initially|originally|at first|beg[aiu]n(?:s|ning)? with|start(?:s|ed|ing)? with)\b"
    r"(?!\s+(?:glance|sight|thing|sign|impression|place|look))[\s,:]+(?:(?!and\b|then\b|but\b)\w+\s+){0,4}$"
)
_FIRST_AFTER = re.compile(
    r"^\s*(?:(?:clearly|must|have|has|had|was|is|were|came|comes|come|happened|been|applied|added|there|it|"
    r"lies|lay|sits)\s+){0,4}"
    r"(?:first|earlier|underneath|beneath|below)\b(?!\s+(?:the|it|that)\b)"
)
_LATER_AFTER = re.compile(
    r"^\s*(?:(?:clearly|must|have|has|had|was|is|were|came|comes|come|happened|been|applied|added|only|"
    r"then|lies|lay|sits|it)\s+){0,4}"
    r"(?:second|last|later|afterwards?|next|followed|on top)\b(?!\s+(?:of|by|the)\b)"
)
_LATER_BEFORE = re.compile(
    r"\b(?:then|second|secondly|afterwards?|finally|next|later|only then|on top of (?:that|"
    r"it))\b[\s,]+(?:\w+\s+){0,4}$"
)


@dataclass(frozen=True)
class OrderClaim:
    """`first` came before `second`; with `second` None it was the first, with `first` None `second` was not
    the first.

    Both are the catalog names that the text's word may mean.
    """

    first: frozenset[str] | None
    second: frozenset[str] | None


@dataclass
class _Spot:
    start: int
    end: int
    names: frozenset[str]


def find_order_claims(sentence: str) -> list[OrderClaim]:
    """What a normalized sentence says about the order of distortions."""
    spots = _find_spots(sentence)
    claims: list[OrderClaim] = []
    for index, spot in enumerate(spots):
        last_end = spots[index - 1].end if index else 0
        next_start = spots[index + 1].start if index + 1 < len(spots) else len(sentence)
        head, tail = sentence[last_end : spot.start], sentence[spot.end : next_start]
        if _FIRST_BEFORE.search(head) or _FIRST_AFTER.match(tail):
            claims.append(OrderClaim(spot.names, None))
        if _LATER_AFTER.match(tail) or (index == 0 and _LATER_BEFORE.search(head)):
            claims.append(OrderClaim(None, spot.names))
    for index, (a, b) in enumerate(itertools.pairwise(spots)):
        gap = sentence[a.end : b.start]
        head = sentence[spots[index - 1].end if index else 0 : a.start]
        claims.extend(_pair(a, b, gap, head))
    return claims


def _pair(a: _Spot, b: _Spot, gap: str, head: str) -> list[OrderClaim]:
    if _ALREADY.search(gap):
        return [OrderClaim(b.names, a.names)]
    if _FORWARD.search(gap):
        return [OrderClaim(a.names, b.names)]
    if _REVERSE.search(gap):
        return [OrderClaim(b.names, a.names)]
    if _ALREADY.search(head):
        return [OrderClaim(a.names, b.names)]
    if "," in gap and _HEAD_AFTER.search(head):
        return [OrderClaim(a.names, b.names)]
    if "," in gap and _HEAD_BEFORE.search(head):
        return [OrderClaim(b.names, a.names)]
    return []


def _find_spots(sentence: str) -> list[_Spot]:
    """Named distortions of a sentence; neighbors that mean the same ("blurred by Gaussian blur") are one."""
    lexicon = load_lexicon()
    spots: list[_Spot] = []
    for match in lexicon.pattern.finditer(sentence):
        phrase = lexicon.phrase(match[0])
        if phrase.kind != "name":
            continue
        if spots and spots[-1].names & phrase.names:
            gap = sentence[spots[-1].end : match.start()]
            if re.fullmatch(r"\s*(?:(?:with|by|through|as|in|a|an|the|using|from)\s*)*", gap):
                spots[-1] = _Spot(spots[-1].start, match.end(), spots[-1].names & phrase.names)
                continue
        spots.append(_Spot(match.start(), match.end(), phrase.names))
    return spots


def find_in_order(names: frozenset[str], order: Sequence[str]) -> int | None:
    """The index in `order` that `names` means, None when it means none or several."""
    hits = [index for index, name in enumerate(order) if name in names]
    return hits[0] if len(hits) == 1 else None


def contradicts(claim: OrderClaim, order: Sequence[str]) -> bool:
    """Whether a claim is wrong for distortions applied in `order`; claims about other distortions are not
    judged.
    """
    first = None if claim.first is None else find_in_order(claim.first, order)
    second = None if claim.second is None else find_in_order(claim.second, order)
    if claim.second is None:
        return first is not None and first != 0
    if claim.first is None:
        return second is not None and second == 0
    return first is not None and second is not None and first >= second
