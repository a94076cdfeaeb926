"""Positions in an answer's text: which words place something in the picture, and what they place there.

"the wooden table at the top left" is a position; "top of the table", "lower quality", "right exposure" and
"turned to the left" are none. The words are those of annotation/place_words.yaml, those around them are in
answer_words.yaml; English only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from inference.clauses import cleared, denied
from inference.placed_noun import placed_noun
from inference.words import Position, Word, either, words

_CENTER = "center"
_GAP = r"(?:\s?[-\u2010-\u2013/_]\s?|\s{1,3})"
_LEADS = ("the", "its", "this", "one", "that", "in", "on", "at", "along", "across", "down", "over")
_HAND = rf"(?:{_GAP}hand)?"


@dataclass(frozen=True)
class _Form:
    """A way to write a position: its pattern, and what has to hold around it.

    `ends`: a word of the list "followers", punctuation or the end has to follow. `direction`: the words
    before may make it one ("from the left").
    """

    pattern: re.Pattern[str]
    ends: bool = False
    direction: bool = False


def find_positions(text: str) -> list[Position]:
    """Every position in `text`, in order, none overlapping another.

    Denied ones ("not at the top left") and those relative to something else than the picture are left out.
    """
    found: list[Position] = []
    refused: list[re.Match[str]] = []
    for form in _forms():
        for match in form.pattern.finditer(text):
            if any(
                match.start() < end and start < match.end()
                for start, end in [*((p.start, p.end) for p in found), *(m.span() for m in refused)]
            ):
                continue
            position = _position(match)
            if position is None:
                continue
            stands = _stands(text, match, form)
            if stands:
                found.append(position)
            elif stands is None:
                refused.append(match)
    found += [also for place in found for also in _before_and(text, place, found)]
    found = _shared(text, found)
    found.sort(key=lambda place: place.start)
    kept = [place for place in found if not (denied(text, place.start) or cleared(text, place.end))]
    return [
        Position(
            place.start,
            place.end,
            place.horizontal,
            place.vertical,
            placed_noun(text, place.start, place.end),
        )
        for place in kept
    ]


def _position(match: re.Match[str]) -> Position | None:
    """What the words of a match say of each axis; None for nonsense such as "left right"."""
    parts = [name for name in ("a", "b") if match.groupdict().get(name)]
    found = [Word(match.start(p), match.end(p), words().class_of(match[p])) for p in parts]
    rows = [word for word in found if word.name in ("top", "bottom")]
    columns = [word for word in found if word.name in ("left", "right")]
    middles = [word for word in found if word.name == _CENTER]
    if len(rows) > 1 or len(columns) > 1 or len(found) < 1:
        return None
    row = rows[0] if rows else None
    column = columns[0] if columns else None
    if middles:
        row, column = row or middles[0], column or middles[-1]
    return Position(match.start(), match.end(), column, row)


def _stands(text: str, match: re.Match[str], form: _Form) -> bool | None:
    """Whether what surrounds a match leaves it a position in the picture; None where no part of it is one."""
    before = text[max(0, match.start() - 80) : match.start()]
    after = text[match.end() : match.end() + 80]
    around = _around()
    if around["of_picture"].match(after):
        return True
    if any(around[name].match(after) for name in ("of", "spoilt", "numbers")):
        return None
    owner = around["owner"].search(before)
    if owner and not around["picture"].search(before):
        return None
    if around["idioms"].fullmatch(match[0]):
        return None
    if form.direction and around["direction"].search(before):
        return False
    return not form.ends or bool(around["next"].match(after))


def _before_and(text: str, place: Position, found: list[Position]) -> Iterator[Position]:
    """The first place of "the left and right sides", where the second is `place`."""
    start = max(0, place.start - 40)
    match = _around()["and"].search(text[start : place.start])
    if match is None:
        return
    word = Word(start + match.start("a"), start + match.end("a"), words().class_of(match["a"]))
    if any(word.start < other.end and other.start < word.end for other in found):
        return
    if word.name in ("top", "bottom"):
        yield Position(word.start, word.end, None, word)
    elif word.name != _CENTER:
        yield Position(word.start, word.end, word, None)


def _shared(text: str, found: list[Position]) -> list[Position]:
    """`found` with the second place of "the upper left and right corners", which shares its row."""
    shared: list[Position] = []
    for place in found:
        row, column = place.vertical, place.horizontal
        if row is None or column is None or not row.start < column.start or column.end != place.end:
            continue
        match = _around()["and_also"].match(text, place.end)
        if match is None:
            continue
        after = text[match.end() : match.end() + 80]
        if _around()["of_picture"].match(after) or _around()["next"].match(after):
            word = Word(match.start("b"), match.end("b"), words().class_of(match["b"]))
            shared.append(Position(word.start, match.end(), word, row))
    alone = [p for p in found if not any(p.start < s.end and s.start < p.end for s in shared)]
    return alone + shared


@lru_cache(maxsize=1)
def _forms() -> tuple[_Form, ...]:
    table = words()
    rows = table.classes["top"] + table.classes["bottom"]
    columns = table.classes["left"] + table.classes["right"]
    only_first = table.lists["only_first"]
    middles = tuple(word for word in table.classes[_CENTER] if word not in only_first)
    alone = table.lists["alone"]
    single = [word for word in rows + columns + middles if word not in alone]
    bare = [word for word in single if word not in table.lists["never_bare"]]
    part = f"(?:{either(table.lists['parts'] | table.lists['depths'])})"
    picture = table.any_of("pictures")
    intense = rf"(?:{table.any_of('intense')}[\s-]{{1,3}})?"

    def group(name: str, listed: object) -> str:
        assert isinstance(listed, list | tuple | frozenset)
        return f"(?P<{name}>{either(listed)})"

    def form(pattern: str, ends: bool = False, direction: bool = False) -> _Form:
        return _Form(re.compile(pattern, re.IGNORECASE), ends, direction)

    tail = rf"{_HAND}(?:{_GAP}{part})?"
    north = [word for name in ("top", "bottom") for word in table.compass[name]]
    west = [word for name in ("left", "right") for word in table.compass[name]]
    beside = [*columns, *table.rivals["top"], *table.rivals["bottom"]]
    most = group("a", [word for word in alone if word in rows + columns])
    return (
        form(group("a", rows) + _GAP + r"(?:most\s)?" + group("b", columns + middles) + tail),
        form(
            group("a", (*columns, *middles, *only_first)) + _GAP + group("b", rows + columns + middles) + tail
        ),
        form(r"(?<![A-Za-z])(?P<a>top|bottom)(?P<b>left|right)" + tail),
        form(rf"(?<![A-Za-z])(?P<a>north|south)[ -]?(?P<b>west|east)(?:ern)?(?:{_GAP}{part})?", ends=True),
        form(rf"{group('a', north + west)}{_GAP}{part}", ends=True),
        form(
            rf"{group('a', beside)}\s{{1,3}}(?:(?:of|from)\s{{1,3}})?(?:the\s{{1,3}})?"
            rf"(?:{picture}(?:['’]s)?\s{{1,3}})?{group('b', ['center', 'centre', 'middle'])}",
            ends=True,
        ),
        form(rf"{either(_LEADS)}\s{{1,3}}{intense}{group('a', single)}{_HAND}{_GAP}{part}"),
        form(rf"{group('a', single)}{_HAND}{_GAP}{part}", ends=True),
        form(rf"{group('a', rows)}{_GAP}{group('b', only_first)}{_GAP}{part}"),
        form(rf"{group('a', single)}-most(?![A-Za-z])(?:{_GAP}{part})?"),
        form(rf"{group('a', ['central', 'middle'])}{_GAP}{table.any_of('central_parts')}"),
        form(rf"{picture}['’]s\s{{1,3}}{intense}{group('a', bare)}", ends=True),
        form(rf"{either(['the', 'its'])}\s{{1,3}}{intense}{group('a', bare)}", ends=True, direction=True),
        form(
            rf"{either(['at', 'in', 'across', 'on', 'along'])}\s{{1,3}}{intense}{group('a', bare)}", ends=True
        ),
        form(rf"{group('a', bare)}(?=\s{{1,3}}of\s{{1,3}}(?:the|this|that)\s{{1,3}}{picture})"),
        form(rf"{most}(?:{_GAP}{part})?"),
        form(
            rf"(?:\A|\n)[ \t]{{0,8}}(?:[-*•]|\d{{1,2}}\.)?[\s*_]{{0,4}}{group('a', bare)}(?=[*_]{{0,3}}\s?:)"
        ),
        form(r"(?P<a>(?<![A-Za-z])centrally(?![A-Za-z]))"),
        form(rf"[(\[|]\s?{group('a', bare)}\s?[)\]|]"),
        form(rf"[\"“'`*_]{{1,3}}{group('a', bare)}[\"”'`*_]{{1,3}}", ends=True),
        form(rf"\A[\W_]{{0,8}}{intense}{group('a', bare)}[\W_]{{0,8}}\Z"),
        form(
            rf"{either(['location', 'position', 'place', 'where'])}\s?:\W{{0,4}}{group('a', bare)}", ends=True
        ),
    )


@lru_cache(maxsize=1)
def _around() -> dict[str, re.Pattern[str]]:
    table = words()
    picture = table.any_of("pictures")
    the_picture = rf"(?:(?:the|this|that|our|an?)\s{{1,3}})?(?:[A-Za-z-]+\s{{1,3}}){{0,2}}?{picture}(?!['’]s)"
    bare = [
        w
        for n in ("top", "bottom", "left", "right")
        for w in table.classes[n]
        if w not in table.lists["alone"]
    ]
    patterns = {
        "of_picture": rf"\s{{1,3}}(?:of|in|within)\s{{1,3}}{the_picture}",
        "of": r"\s{1,3}of(?![A-Za-z])",
        "spoilt": rf"(?:\s{{1,3}}|-){table.any_of('not_before')}",
        "next": rf"\s{{0,3}}(?:\Z|[^\w\s'’-]|\s-|--|{table.any_of('followers')})|"
        r"[ \t]{0,3}\n\s{0,8}(?:\d|(?-i:[A-Z]))",
        "owner": r"(?:(?<![A-Za-z])(?:its|his|her|their|my|your)|"
        r"(?<!\bit)(?<!\bthat)(?<!\bthere)(?<=[A-Za-z])['’]s|s['’])"
        r"\s{1,3}(?:(?!(?:in|on|at|to|near|along|the)\s)[a-z]+\s{1,3})?\Z",
        "idioms": table.any_of("idioms"),
        "numbers": r"[\"'*)\]]{0,3}\s?(?:(?:[:=]|(?:is\s)?(?:located\s)?at|is)\s?[(\[<{]+\s?\d|"
        r"[:=]\s?\d+(?:\.\d+)?\s?(?:px|[,)\]}]|\Z))",
        "picture": picture,
        "direction": rf"(?:{table.any_of('motion')}(?:\s{{1,3}}[A-Za-z]+){{0,2}}\s{{1,3}}(?:to|towards?)|"
        rf"(?<![A-Za-z])from)\s{{1,3}}\Z",
        "and_also": rf"\s{{1,3}}(?:and|or)\s{{1,3}}(?P<b>{either(['left', 'right'])}){_HAND}"
        rf"(?:{_GAP}{table.any_of('parts')})?",
        "and": rf"(?P<a>{either(bare)})\s{{1,3}}(?:and|or)\s{{1,3}}(?:\w+\s{{1,3}})?\Z",
    }
    return {name: re.compile(pattern, re.IGNORECASE) for name, pattern in patterns.items()}
