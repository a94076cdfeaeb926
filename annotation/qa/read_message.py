"""Reads one message: its regions, distortions, severities and places, and what it says of which region."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from annotation.qa.lexicon import PhraseKind, load_lexicon, normalize
from annotation.qa.nouns import spoken_label
from annotation.qa.read_places import PlacePhrase, find_places
from schemas.records import Region

LABEL_BASE = 0xE000
"""Labels are replaced by one private-use character each, so that their words can't be mistaken for claims."""
_LABEL = re.compile("[\ue000-\uf8ff]")

REST = re.compile(
    r"\b(?:rest|others?|elsewhere|else|remaining|remainder|surroundings|surrounding|apart from|aside from|"
    r"except|besides|"
    r"beyond|outside|further|than)\b"
)
_PRONOUN_NOUNS = r"(?:it|its|there|here|this|that|these|they|them|both)"
_END = re.compile(r"[.!?;]+(?=[\s\"')]|$)|\n+")
_TURN = re.compile(r",?\s+\b(?:while|whereas|but|yet|although|though)\b")
_SEVERITY_LINK = (
    r"(?:visible|of|but|and|still|quite|rather|level|degree|amount|a|an|the|color|fine|coarse|local|"
    r"overall|amounts|form|dose|case|touch|obvious|"
    r"affected|hit|touched|covered|disturbed|corrupted|hurt|harmed|marred|spoiled|by|with)"
)

_FILLER = (
    r"(?:visible|obvious|apparent|any|real|clear|noticeable|discernible|detectable|perceptible|significant|"
    r"signs?|traces?|hints?|"
    r"evidence|of|the|a|an|looks?|looking|appears?|seems?|shows?|exhibits?|suffers?|from|to|be|been|being|"
    r"at|all|kinds?|types?|forms?|"
    r"see|find|detect|notice|spot|further|additional|other|is|are|was|either|added|by|with|has|have|in|it|"
    r"here|longer|"
    r"slight|mild|moderate|strong|heavy|severe|extreme|slightly|mildly|moderately|strongly|heavily|"
    r"severely|extremely|much)"
)
_NEGATED_BEFORE = re.compile(
    r"(?P<word>\b(?:no|not|without(?! the\b)|free of|free from|never|neither|nor|lacks|lack of|absence of|"
    r"devoid of|rather than|instead of|nothing|none)\b"
    r"|n't\b|\bcannot\b)(?!\s+(?:only|just|merely|doubt)\b)"
    rf"(?:[\s,]+{_FILLER})*[\s,]*$"
)
_DOUBLE = re.compile(
    r"(?:\b(?:no|not|never|nothing|none|neither|nor|hardly|isn't|aren't)\b)\s+(?:\w+\s+){0,3}$"
)
_CONTINUES = re.compile(
    r"^[\s,]*(?:(?:or|nor|and|no|any|visible|is|are|a|an|the|looks?|signs?|traces?|of)[\s,]*)*$"
)
_NEGATED_AFTER = re.compile(
    r"^-free\b|^\s*(?:is|are|was|were)?\s*(?:not\b(?!\s+(?:only|just|merely))|absent\b|nowhere\b|isn't\b|"
    r"cannot\b|can't\b)"
)
_PARTLY = re.compile(
    r"\b(?:partly|partially|only partly|less|far from|hardly|mostly|almost|largely|nearly|otherwise|more|"
    r"most|least)\s+$"
)


@dataclass
class Reference:
    """A phrase that points at regions, by label (`labeled`) or by place alone.

    `regions` are indexes into the picture's regions, `positions` the places given with it, in grid words.
    """

    start: int
    end: int
    regions: frozenset[int]
    labeled: bool
    positions: tuple[str, ...] = ()


@dataclass
class Mention:
    """A distortion (or damage, or its absence) that a text claims.

    `names` are the catalog names it may mean; `levels` the levels its severity words allow, None without
    such words; `regions` the regions it is claimed of, empty when the text doesn't say; `implied` when only
    the context says so; `rest` when it speaks of other places.
    """

    start: int
    end: int
    kind: PhraseKind
    names: frozenset[str]
    text: str
    negated: bool = False
    levels: frozenset[int] | None = None
    severity: str = ""
    regions: frozenset[int] = frozenset()
    implied: bool = False
    rest: bool = False


@dataclass
class Clause:
    """A stretch of text up to a full stop, a semicolon or a "while"; `sentence` numbers the sentence it
    belongs to.
    """

    text: str
    sentence: int
    references: list[Reference] = field(default_factory=list)
    places: list[PlacePhrase] = field(default_factory=list)
    mentions: list[Mention] = field(default_factory=list)


@dataclass
class MessageReading:
    """A message read: the text with labels masked, and its clauses in order."""

    masked: str
    clauses: list[Clause]

    def mentions(self) -> Iterator[Mention]:
        for clause in self.clauses:
            yield from clause.mentions

    def references(self) -> Iterator[Reference]:
        for clause in self.clauses:
            yield from clause.references

    def sentences(self) -> list[str]:
        """The masked sentences, whole."""
        return [part.strip() for part in _END.split(self.masked) if part.strip()]

    def sentences_about_one(self, labels: LabelMask, subject: int | None) -> list[tuple[str, int]]:
        """The masked sentences, each with the one region it is about: the `subject`, or without one the only
        region it names. Sentences about several regions, or none, are left out.
        """
        if subject is not None:
            return [(sentence, subject) for sentence in self.sentences()]
        pairs = []
        for sentence in self.sentences():
            marks = set(_LABEL.findall(sentence))
            holders = labels.holders(marks.pop())[0] if len(marks) == 1 else frozenset[int]()
            if len(holders) == 1:
                pairs.append((sentence, next(iter(holders))))
        return pairs


class LabelMask:
    """Finds the labels of a picture's regions in texts; one for a picture, reused for every message."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self.regions = regions
        self._holders: dict[str, list[int]] = {}
        for index, region in enumerate(regions):
            label = re.sub(r"[\s-]+", " ", normalize(spoken_label(region.label)))
            self._holders.setdefault(label, []).append(index)
        self._labels = sorted(self._holders, key=lambda label: (-len(label), label))
        self.label_places = [_find_label_place(label) for label in self._labels]
        self._pattern = (
            re.compile("|".join(_label_pattern(label) for label in self._labels)) if self._labels else None
        )

    def mask(self, text: str) -> str:
        """`text` normalized, each label replaced by one character."""
        text = _LABEL.sub("?", normalize(text))
        if self._pattern is None:
            return text
        return self._pattern.sub(self._replace, text)

    def _replace(self, match: re.Match[str]) -> str:
        label = re.sub(r"[\s-]+", " ", match[0])
        return chr(LABEL_BASE + self._labels.index(label))

    def holders(self, character: str) -> tuple[frozenset[int], str | None]:
        """The regions with the label behind a masking character, and the place the label itself names."""
        index = ord(character) - LABEL_BASE
        return frozenset(self._holders[self._labels[index]]), self.label_places[index]


def _find_label_place(label: str) -> str | None:
    places = find_places(label)
    return places[-1].words if places else None


def _label_pattern(label: str) -> str:
    body = re.escape(label).replace(r"\ ", r"[\s-]+")
    before = r"(?<!\w)" if label[:1].isalnum() or label[:1] == "_" else ""
    after = r"(?!\w)" if label[-1:].isalnum() or label[-1:] == "_" else ""
    if " " not in label:
        words = ("the", "this", "that", "these", "those", "an", "a", "its", "and", "or", "of", "on")
        before += "(?:" + "|".join(rf"(?<=\b{word}\s)" for word in words) + ")"
    return f"{before}{body}{after}"


def read_message(text: str, labels: LabelMask, subject: int | None) -> MessageReading:
    """Read one message. `subject` is the region the row is about (its index), None when it is about the whole
    picture.
    """
    masked = labels.mask(text)
    clauses: list[Clause] = []
    previous: frozenset[int] = frozenset()
    for sentence, part in enumerate(p for p in _END.split(masked) if p.strip()):
        for piece in _split_turns(part):
            clause = Clause(piece, sentence)
            _find_references(clause, labels)
            _find_mentions(clause)
            _attach_severity(clause)
            _attribute(clause, subject, previous)
            if clause.references:
                previous = clause.references[-1].regions
            clauses.append(clause)
    return MessageReading(masked, clauses)


def _split_turns(sentence: str) -> list[str]:
    return [piece for piece in _TURN.split(sentence) if piece and piece.strip()]


def _find_references(clause: Clause, labels: LabelMask) -> None:
    """Labels and places of a clause; a place joins the label it stands beside."""
    text = clause.text
    for match in _LABEL.finditer(text):
        holders, own_place = labels.holders(match[0])
        true_place = any(labels.regions[i].position == own_place for i in holders)
        named = (own_place,) if own_place is not None and true_place else ()
        clause.references.append(Reference(match.start(), match.end(), holders, True, named))
    clause.places = find_places(text)
    for place in clause.places:
        owner = _find_owner(place, clause)
        if owner is None:
            at_place = frozenset(i for i, r in enumerate(labels.regions) if r.position == place.words)
            clause.references.append(Reference(place.start, place.end, at_place, False, (place.words,)))
            continue
        owner.positions += (place.words,)
        narrowed = frozenset(i for i in owner.regions if labels.regions[i].position == place.words)
        owner.regions = narrowed or owner.regions
    clause.references.sort(key=lambda reference: reference.start)


_BESIDE_AFTER = re.compile(
    r"^[\s,(]*(?:(?:in|at|on|near|toward|towards|the|located|which|is|are|found|that|lies|sits|of|very|far|"
    r"situated|positioned|placed|over|to|"
    r"standing|sitting|lying|occupying|along|across)\s*)*$"
)
_BESIDE_BEFORE = re.compile(
    r"^[\s,:-]*(?:(?:of|the|this|image|picture|photo|photograph|frame|where|is|are|there|lies|sits|you|"
    r"find|on|in|namely|with|one|a|an|it|"
    r"specifically|covering|we)[\s,:-]*)*$"
)


def _find_owner(place: PlacePhrase, clause: Clause) -> Reference | None:
    """The label a place belongs to: right after it, else right before it, else the last label before, else
    the next.
    """
    labeled = [reference for reference in clause.references if reference.labeled]
    before = [reference for reference in labeled if reference.end <= place.start]
    after = [reference for reference in labeled if reference.start >= place.end]
    if before and _BESIDE_AFTER.match(clause.text[before[-1].end : place.start]):
        return before[-1]
    if after and _BESIDE_BEFORE.match(clause.text[place.end : after[0].start]):
        return after[0]
    if before:
        return before[-1]
    return after[0] if after else None


def _find_mentions(clause: Clause) -> None:
    lexicon = load_lexicon()
    previous: Mention | None = None
    for match in lexicon.pattern.finditer(clause.text):
        phrase = lexicon.phrase(match[0])
        mention = Mention(match.start(), match.end(), phrase.kind, phrase.names, match[0])
        head, tail = clause.text[: match.start()], clause.text[match.end() :]
        mention.negated = _is_negated(head, tail)
        if (
            previous is not None
            and previous.negated
            and _CONTINUES.match(clause.text[previous.end : match.start()])
        ):
            mention.negated = True
        if phrase.kind == "clean" and (_PARTLY.search(head) or mention.negated):
            previous = None
            continue
        clause.mentions.append(mention)
        previous = mention


def _is_negated(head: str, tail: str) -> bool:
    """Whether the words around a mention deny it; "not free of noise" denies nothing."""
    if _NEGATED_AFTER.match(tail):
        return True
    match = _NEGATED_BEFORE.search(head)
    if match is None:
        return False
    lifts = match["word"].startswith(("free", "without", "devoid", "absence", "lack"))
    return not (lifts and _DOUBLE.search(head[: match.start()]))


def _attach_severity(clause: Clause) -> None:
    """Give each severity word to the mention it qualifies: the next one, or the one before with a verb or
    comma between.
    """
    lexicon = load_lexicon()
    mentions = [m for m in clause.mentions if m.kind in ("name", "generic")]
    for match in lexicon.severity_pattern.finditer(clause.text):
        if any(m.start <= match.start() < m.end for m in clause.mentions):
            continue
        if re.search(r"\b(?:more|most|less|least|so|too|as|equally)\s+$", clause.text[: match.start()]):
            continue
        if re.match(r"\s+(?:more|less|worse|better|weaker|stronger|milder)\b", clause.text[match.end() :]):
            continue
        owner = _find_qualified(match.start(), match.end(), mentions, clause.text)
        if owner is None:
            continue
        levels = lexicon.severity[re.sub(r"[\s-]+", " ", match[0])]
        owner.severity = f"{owner.severity} {match[0]}".strip()
        owner.levels = levels if owner.levels is None else owner.levels & levels


_LINKED = re.compile(rf"^\s*(?:(?:{_SEVERITY_LINK})[\s,]+)*$")
_PREDICATE = re.compile(
    r"^[\s,]*(?:(?:on|in|at|of|the|it|there|here|which|that|itself|region|area|this|"
    r"[\ue000-\uf8ff])\s*)*[\s,(:-]*"
    r"(?:(?:is|are|was|looks?|appears?|seems?|remains?|being|stays?|feels?|both)\s+)?(?:(?:quite|rather|"
    r"only|just|fairly|really|truly|also|still|at|a|an|of)\s+)*$"
)


def _find_qualified(start: int, end: int, mentions: Sequence[Mention], text: str) -> Mention | None:
    ahead = [m for m in mentions if m.start >= end]
    if len(ahead) > 1 and ahead[0].kind == "generic":
        passed_on = re.fullmatch(r"\s+(?:by|with|from)\s+", text[ahead[0].end : ahead[1].start])
        if passed_on and _LINKED.match(text[end : ahead[0].start]):
            return ahead[1]
    following = ahead[0] if ahead else None
    if following is not None and _LINKED.match(text[end : following.start]):
        return following
    preceding = next((m for m in reversed(mentions) if m.end <= start), None)
    if preceding is not None and _PREDICATE.match(text[preceding.end : start]):
        return preceding
    return None


_JOINED = re.compile(
    r"^[\s,]*(?:(?:and|or|as|well|both|the|a|of|also|in|at|on|top|bottom|left|right|center|side|upper|"
    r"lower|middle|part|image|picture|photo|photograph)[\s,-]*)*$"
)
_ONTO = re.compile(
    r"^[\s,]*(?:(?:is|are|can|be|seen|visible|found|present|both|clearly|was|mainly)\s+)*"
    r"(?:on|in|at|over|across|affects?|affecting|covers?|covering|hits?|hitting|marks?|spoils?|spoiling|"
    r"harms?|mars?|degrades?|within|"
    r"reduces?|hurts?|around|throughout|inside|weighs? on|sits? on|"
    r"lies? on)\s+(?:both\s+)?(?:the\s+)?(?:whole\s+|entire\s+)?$"
)


def _join_references(clause: Clause) -> list[tuple[int, int, frozenset[int]]]:
    """References joined by commas and "and" count as one: (start, end, regions)."""
    groups: list[tuple[int, int, frozenset[int]]] = []
    for reference in clause.references:
        if groups and _JOINED.match(clause.text[groups[-1][1] : reference.start]):
            start, _, regions = groups[-1]
            groups[-1] = (start, reference.end, regions | reference.regions)
        else:
            groups.append((reference.start, reference.end, reference.regions))
    return groups


def _attribute(clause: Clause, subject: int | None, previous: frozenset[int]) -> None:
    """Say for each mention which regions it is claimed of."""
    groups = _join_references(clause)
    rest = bool(REST.search(clause.text))
    for position, mention in enumerate(clause.mentions):
        if not groups:
            mention.rest = rest
            mention.implied = True
            mention.regions = previous if subject is None else frozenset({subject})
            continue
        mention.regions = _find_group(mention, clause, groups, position)
        since = max((group[1] for group in groups if group[1] <= mention.start), default=0)
        mention.rest = bool(REST.search(clause.text[since : mention.start]))


def _find_group(
    mention: Mention, clause: Clause, groups: Sequence[tuple[int, int, frozenset[int]]], position: int
) -> frozenset[int]:
    """The group the mention (or the list of mentions it stands in) is put onto, else the one before it, else
    after.
    """
    after = next((group for group in groups if group[0] >= mention.end), None)
    before = next((group for group in reversed(groups) if group[1] <= mention.start), None)
    last = mention
    for following in clause.mentions[position + 1 :]:
        gap = clause.text[last.end : following.start]
        if (
            len(gap.split()) > 5
            or _LABEL.search(gap)
            or not re.search(r",|\b(?:and|or|with|by|as|in)\b", gap)
        ):
            break
        last = following
    if after is not None and _ONTO.match(clause.text[last.end : after[0]]):
        return after[2]
    if before is not None:
        return before[2]
    return after[2] if after is not None else frozenset()
