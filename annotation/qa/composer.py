"""Puts one dialogue of the grammar back end into words: regions, places, distortions, severities, effects."""

from __future__ import annotations

from collections.abc import Sequence

from annotation.qa import truth
from annotation.qa.backend import Request
from annotation.qa.lexicon import Group, load_lexicon, strip_slot
from annotation.qa.nouns import article, is_plural, join, spoken_label
from annotation.qa.read_places import find_places
from annotation.qa.wording import Expander, Value, Wording, capitalize
from schemas.hashing import rng
from schemas.records import Distortion, Region

LABEL_MARK = "\ue000"
MAX_LISTED = 4
"""Distorted regions a verdict names; of more it names one less and counts the others."""
_NUMBERS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


class Composer:
    """Writes one dialogue: keeps the words chosen for each distortion, the effects told, and the labels to
    fill in.
    """

    def __init__(self, wording: Wording, request: Request) -> None:
        self.request = request
        self.sample = request.sample
        self.draft = request.draft
        generator = rng(request.seed, "annotate", request.draft.row_id, str(request.attempt))
        self.expander = Expander(wording, generator)
        self.wording = wording
        self.picture = self.expander.choose(wording.pictures)
        self._forms: dict[str, str] = {}
        self._severity: dict[tuple[str, int], tuple[str, str]] = {}
        self._labels: list[str] = []
        self._second: Region | None = None

    # ---- words

    def chance(self, probability: float) -> bool:
        return bool(self.expander.generator.random() < probability)

    def group(self, name: str) -> Group:
        return load_lexicon().group(name)

    def form(self, name: str) -> str:
        """The noun phrase this dialogue uses for a distortion; grounding in one type needs one that can be
        "strongest".
        """
        if name not in self._forms:
            forms = list(self.group(name).forms)
            if self.draft.task == "grounding_sid":
                forms = [form for form in forms if "{adv}" not in form]
            self._forms[name] = self.expander.choose(forms)
        return self._forms[name]

    def bare(self, name: str) -> str:
        return strip_slot(self.form(name))

    def named(self, name: str) -> str:
        return ("a " if "{a_adj}" in self.form(name) else "") + self.bare(name)

    def with_severity(self, distortions: Sequence[Distortion], plain: bool = False) -> str:
        """ "mild Gaussian blur and a severe loss of contrast"; `plain` leaves articles out."""
        parts = []
        for d in distortions:
            words = self.wording.severity[d.level]
            key = (d.name, d.level)
            if key not in self._severity:
                adjective = self.expander.draw("adj", words.adj)
                self._severity[key] = (adjective, self.expander.draw("adv", words.adv))
            adjective, adverb = self._severity[key]
            determined = adjective if plain else f"{article(adjective)} {adjective}"
            form = self.form(d.name).replace("{a_adj}", determined)
            parts.append(form.replace("{adj}", adjective).replace("{adv}", adverb))
        return join(parts)

    def effect(self, distortion: Distortion, beside: Sequence[str] = ()) -> str:
        """A visible effect of a distortion, if possible one that doesn't echo those beside it."""
        group = load_lexicon().names[distortion.name]
        options = self.wording.effects[group].at(distortion.level)
        fresh = [option for option in options if not any(_echoes(option, clause) for clause in beside)]
        return self.expander.draw(f"effect {group}", fresh or options)

    def effects(self, distortions: Sequence[Distortion]) -> str:
        """Effects of all distortions as one list of clauses; a single distortion may show in two ways."""
        told = list(distortions)
        if len(told) == 1 and (self.draft.whole_image or self.chance(0.5)):
            told.append(told[0])
        clauses: list[str] = []
        for distortion in told:
            clauses.append(self.effect(distortion, clauses))
        return join(clauses)

    def the(self, region: Region) -> str:
        self._labels.append(spoken_label(region.label))
        return f"the {chr(ord(LABEL_MARK) + len(self._labels) - 1)}"

    def place(self, region: Region) -> str:
        """The place of a region after its label; empty or "of the picture" where the label itself names the
        place.
        """
        if names_place(spoken_label(region.label), region.position):
            template = self.expander.choose(self.wording.places["labelled"])
        else:
            template = self.expander.choose(self.wording.places[place_key(region.position)])
        template = template.replace("{pos-}", region.position.replace(" ", "-")).replace(
            "{pos}", region.position
        )
        return template.replace("{pic}", self.picture)

    def phrase_for(self, region: Region, placed: float) -> str:
        """ "the <label>", with its place by chance or where another region has the label."""
        if truth.shares_label(region, self.sample.regions) or self.chance(placed):
            return f"{self.the(region)} {self.place(region)}".rstrip()
        return self.the(region)

    # ---- templates

    def say(self, key: str, region: Region | None = None, extra: dict[str, Value] | None = None) -> str:
        """A phrase about a region (or none); `extra` values go before the region's own."""
        values: dict[str, Value] = {"pic": self.picture, **(extra or {})}
        plural = {"v": False, "n": False, "v2": False}
        if region is not None:
            distortions = sorted(region.distortions, key=lambda d: d.order)
            shuffled = [distortions[int(i)] for i in self.expander.generator.permutation(len(distortions))]
            many = is_plural(spoken_label(region.label))
            plural = {"v": many, "n": len(distortions) > 1, "v2": many}
            values.setdefault("the", lambda: self.the(region))
            values.setdefault("np", lambda: self.phrase_for(region, 0.55 if distortions else 0.9))
            values.setdefault("place", lambda: self.place(region))
            values.setdefault("they", "they" if many else "it")
            values.setdefault("its", "their" if many else "its")
            if distortions:
                values.setdefault("dists", lambda: self.with_severity(shuffled))
                values.setdefault("dists_plain", lambda: self.with_severity(shuffled, plain=True))
                values.setdefault("names", lambda: join([self.named(d.name) for d in shuffled]))
                values.setdefault("bare", lambda: join([self.bare(d.name) for d in shuffled]))
                values.setdefault("effects", lambda: self.effects(shuffled))
        if "the2" in values and self._second is not None:
            plural["v2"] = is_plural(spoken_label(self._second.label))
        return self.expander.phrase(key, values, plural)

    def pair(self, regions: Sequence[Region]) -> dict[str, Value]:
        """Two regions drawn for {the1} and {the2}; empty where there are fewer than two that can't be
        mistaken.
        """
        clear = truth.unmistakable(regions)
        usable = [region for region in regions if region.region_id in clear]
        if len(usable) < 2:
            return {}
        order = self.expander.generator.permutation(len(usable))
        first, second = usable[int(order[0])], usable[int(order[1])]
        self._second = second
        return {"the1": lambda: self.phrase_for(first, 0.2), "the2": lambda: self.phrase_for(second, 0.2)}

    def list_is_plural(self) -> bool:
        """Whether the listed regions take a plural verb."""
        carriers = truth.distorted(self.sample.regions)
        return len(carriers) > 1 or is_plural(spoken_label(carriers[0].label))

    def listing(self) -> str:
        """The distorted regions as a list, or their number when they are many."""
        carriers = truth.distorted(self.sample.regions)
        if len(carriers) > MAX_LISTED:
            left = len(carriers) - MAX_LISTED + 1
            count = _NUMBERS[left] if left < len(_NUMBERS) else str(left)
            order = self.expander.generator.permutation(len(carriers))[: MAX_LISTED - 1]
            return join([*(self.phrase_for(carriers[int(i)], 0.15) for i in order), f"{count} more regions"])
        return join([self.phrase_for(region, 0.15 if len(carriers) > 1 else 0.45) for region in carriers])

    def subject(self) -> Region:
        return next(region for region in self.sample.regions if region.region_id == self.draft.subject)

    def finish(self, text: str) -> str:
        """Capitals and spaces set, labels filled in."""
        text = capitalize(text)
        for index, label in enumerate(self._labels):
            text = text.replace(chr(ord(LABEL_MARK) + index), label)
        return text


def _echoes(clause: str, other: str) -> bool:
    """Whether two effects start with the same word or share two longer ones."""
    mine, theirs = clause.split(), other.split()
    shared = {word for word in mine if len(word) > 4} & set(theirs)
    return mine[0] == theirs[0] or len(shared) > 1


def names_place(spoken: str, position: str) -> bool:
    """Whether a spoken label itself says that the region is at a position ("person on the left")."""
    places = find_places(spoken.lower())
    return bool(places) and places[-1].words == position


def place_key(position: str) -> str:
    if " " in position:
        return "corner"
    return {"top": "row", "bottom": "row", "left": "column", "right": "column"}.get(position, "center")
