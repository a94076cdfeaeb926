"""The grammar back end: writes questions and answers from the injected truth with a wording file; no model, no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from annotation.qa import truth
from annotation.qa.backend import Dialogue, Identity, Request
from annotation.qa.lexicon import Group, load_lexicon, strip_slot
from annotation.qa.nouns import article, is_plural, join, spoken_label
from annotation.qa.places import find_places
from annotation.qa.wording import Expander, Value, Wording, capitalise, load_wording, wording_version
from schemas.errors import SampleError
from schemas.hashing import rng
from schemas.records import Distortion, Message, Region, Task

LABEL_MARK = "\ue000"
MAX_LISTED = 4
"""Distorted regions a verdict names; of more it names one less and counts the others."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


class GrammarBackend:
    """Writes dialogues from templates. The same request gives the same text; another attempt gives another."""

    def __init__(self, wording: Path | None = None) -> None:
        """Load the wording file, the packaged one by default. Raises InputError when it is unusable."""
        self._wording = load_wording(wording)
        self._identity = Identity("grammar", None, None, wording_version(wording))

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def needs_picture(self) -> bool:
        return False

    def write(self, request: Request) -> Dialogue:
        """A dialogue for the request. Raises SampleError when the lexicon has no words for one of its distortions."""
        names = [d.name for region in request.sample.regions for d in region.distortions]
        missing = load_lexicon().missing(names)
        if missing:
            raise SampleError("no-words", f"the lexicon doesn't know {', '.join(sorted(set(missing)))}")
        composer = Composer(self._wording, request)
        turns = _WRITERS[request.draft.task](composer)
        messages = []
        for question, answer in turns:
            messages.append(Message(role="user", content=composer.finish(question)))
            messages.append(Message(role="assistant", content=composer.finish(answer)))
        return Dialogue(tuple(messages))


Turn = tuple[str, str]


class Composer:
    """Writes one dialogue: keeps the words chosen for each distortion, the effects told, and the labels to fill in."""

    def __init__(self, wording: Wording, request: Request) -> None:
        self.request = request
        self.sample = request.sample
        self.draft = request.draft
        generator = rng(request.seed, "annotate", request.draft.row_id, str(request.attempt))
        self.expander = Expander(wording, generator)
        self.wording = wording
        self.picture = self.expander.choose(wording.pictures)
        self._forms: dict[str, str] = {}
        self._labels: list[str] = []

    # ---- words

    def chance(self, probability: float) -> bool:
        return bool(self.expander.generator.random() < probability)

    def group(self, name: str) -> Group:
        return load_lexicon().group(name)

    def form(self, name: str) -> str:
        """The noun phrase this dialogue uses for a distortion; grounding in one type needs one that can be "strongest"."""
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
            adjective, adverb = self.expander.draw("adj", words.adj), self.expander.draw("adv", words.adv)
            determined = adjective if plain else f"{article(adjective)} {adjective}"
            form = self.form(d.name).replace("{a_adj}", determined)
            parts.append(form.replace("{adj}", adjective).replace("{adv}", adverb))
        return join(parts)

    def effect(self, distortion: Distortion) -> str:
        group = load_lexicon().names[distortion.name]
        return self.expander.draw(f"effect {group}", self.wording.effects[group].at(distortion.level))

    def effects(self, distortions: Sequence[Distortion], most: int = 2) -> str:
        """Effects of up to `most` distortions as one clause; a single distortion may show in two ways."""
        clauses = [self.effect(d) for d in distortions[:most]]
        if len(distortions) == 1 and most > 1 and (self.draft.whole_image or self.chance(0.5)):
            clauses.append(self.effect(distortions[0]))
        return join(clauses) if len(clauses) < 3 else "; ".join(clauses)

    def the(self, region: Region) -> str:
        self._labels.append(spoken_label(region.label))
        return f"the {chr(ord(LABEL_MARK) + len(self._labels) - 1)}"

    def place(self, region: Region) -> str:
        """The place of a region after its label; empty or "of the picture" where the label itself names the place."""
        if names_place(region):
            template = self.expander.choose(self.wording.places["labelled"])
        else:
            template = self.expander.choose(self.wording.places[_place_key(region.position)])
        template = template.replace("{pos-}", region.position.replace(" ", "-")).replace("{pos}", region.position)
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

    _second: Region | None = None

    def pair(self, regions: Sequence[Region]) -> dict[str, Value]:
        """Two regions drawn for {the1} and {the2}; empty where there are fewer than two that can't be mistaken."""
        clear = truth.unmistakable(regions)
        usable = [region for region in regions if region.region_id in clear]
        if len(usable) < 2:
            return {}
        order = self.expander.generator.permutation(len(usable))
        first, second = usable[int(order[0])], usable[int(order[1])]
        self._second = second
        return {"the1": lambda: self.phrase_for(first, 0.2), "the2": lambda: self.phrase_for(second, 0.2)}

    def _list_is_plural(self) -> bool:
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
        return join([self.phrase_for(region, 0.15) for region in carriers])

    def subject(self) -> Region:
        return next(region for region in self.sample.regions if region.region_id == self.draft.subject)

    def finish(self, text: str) -> str:
        """Capitals and spaces set, labels filled in."""
        text = capitalise(text)
        for index, label in enumerate(self._labels):
            text = text.replace(chr(ord(LABEL_MARK) + index), label)
        return text


def names_place(region: Region) -> bool:
    """Whether the label itself says where the region is ("person on the left")."""
    places = find_places(spoken_label(region.label).lower())
    return bool(places) and places[-1].words == region.position


def _place_key(position: str) -> str:
    if " " in position:
        return "corner"
    return {"top": "row", "bottom": "row", "left": "column", "right": "column"}.get(position, "center")


# ---- tasks


def _global(c: Composer) -> list[Turn]:
    carriers = truth.distorted(c.sample.regions)
    if not carriers:
        return _global_pristine(c)
    if c.sample.whole_image:
        return _global_whole(c)
    rest: dict[str, Value] = {} if len(carriers) < len(c.sample.regions) else {"rest": ""}
    verdict = _verdict(c, bool(rest))
    items = " ".join(c.say("item", region) for region in carriers)
    shown = carriers[:3] if len(carriers) <= 3 else [carriers[int(i)] for i in sorted(c.expander.generator.permutation(len(carriers))[:3])]
    why = " ".join(c.say("why_region", region) for region in shown)
    shape = c.expander.choose(["three", "three", "two", "one"])
    if shape == "three":
        return [
            (c.say("global_ask"), verdict),
            (c.say("ask_where"), items),
            (c.say("ask_why"), why),
        ]
    if shape == "two":
        return [(c.say("global_ask"), f"{verdict} {items}"), (c.say("ask_why"), why)]
    return [(c.say("global_ask_full"), f"{verdict} {items} {why}")]


def _verdict(c: Composer, all_distorted: bool) -> str:
    """The verdict; when no region was left untouched it says nothing about a rest."""
    template = c.expander.draw("verdict", c.wording.phrases["verdict"])
    if all_distorted:
        template = template.replace("{@rest}", "")
    return c.expander.fill(template, {"pic": c.picture, "list": c.listing}, {"v": c._list_is_plural(), "n": False})


def _global_whole(c: Composer) -> list[Turn]:
    carrier = truth.distorted(c.sample.regions)[0]
    pair = c.pair(c.sample.regions)
    keys = {"verdict": "whole_verdict", "why": "whole_why"}
    if not pair:
        keys = {"verdict": "where_whole", "why": "where_whole_why"}
    verdict, why = c.say(keys["verdict"], carrier, pair), c.say(keys["why"], carrier, pair)
    if c.chance(0.6):
        return [(c.say("global_ask"), verdict), (c.say("ask_why"), why)]
    return [(c.say("global_ask_full"), f"{verdict} {why}")]


def _clean_words(c: Composer) -> dict[str, Value]:
    options = c.wording.phrases["clean_words"]
    order = c.expander.generator.permutation(len(options))
    return {"clean1": options[int(order[0])], "clean2": options[int(order[1])]}


def _global_pristine(c: Composer) -> list[Turn]:
    pair = c.pair(c.sample.regions)
    suffix = "" if pair else "_short"
    verdict = c.say(f"pristine_verdict{suffix}", None, {**pair, **_clean_words(c)})
    turns = [(c.say("global_ask"), verdict)]
    if c.chance(0.6):
        again = c.pair(c.sample.regions)
        turns.append((c.say("ask_why"), c.say(f"pristine_why{suffix}", None, {**again, **_clean_words(c)})))
    return turns


def _local(c: Composer) -> list[Turn]:
    region = c.subject()
    if c.chance(0.6):
        return [
            (c.say("local_ask", region), c.say("local_answer", region)),
            (c.say("local_followup"), c.say("why_region", region)),
        ]
    return [(c.say("local_ask", region), c.say("local_full", region))]


def _short(c: Composer) -> list[Turn]:
    region = c.subject()
    key = "short_answer" if region.distortions else "pristine_short"
    return [(c.say("short_ask", region), c.say(key, region))]


def _long(c: Composer) -> list[Turn]:
    region = c.subject()
    if not region.distortions:
        return [(c.say("long_ask", region), c.say("pristine_long", region, _clean_words(c)))]
    parts = [c.say("item", region)]
    for distortion in sorted(region.distortions, key=lambda d: d.order):
        one: dict[str, Value] = {
            "bare": c.bare(distortion.name),
            "effects": lambda d=distortion: c.effects([d]),  # type: ignore[misc]
        }
        parts.append(c.say("long_effect", region, one))
    return [(c.say("long_ask", region), " ".join(parts))]


def _hyd(c: Composer) -> list[Turn]:
    end = "worst" if c.sample.ask == "worst" else "best"
    region = c.subject()
    return [
        (c.say(f"hyd_{end}_ask"), c.say(f"hyd_{end}", region)),
        (c.say("ground_why_ask"), c.say(f"hyd_{end}_why", region)),
    ]


def _sid(c: Composer) -> list[Turn]:
    common = truth.common_names(c.sample.regions)
    name = common[0]
    if c.draft.whole_image:
        carrier = truth.distorted(c.sample.regions)[0]
        return [
            (c.say("where_ask", None, {"bare": c.bare(name)}), c.say("where_whole", carrier)),
            (c.say("ask_why"), c.say("where_whole_why", carrier)),
        ]
    end = "strongest" if c.sample.ask == "strongest" else "weakest"
    region = c.subject()
    about: dict[str, Value] = {"bare": c.bare(name)}
    return [
        (c.say(f"sid_{end}_ask", None, about), c.say(f"sid_{end}", region, about)),
        (c.say("ground_why_ask"), c.say(f"sid_{end}_why", region)),
    ]


def _dao(c: Composer) -> list[Turn]:
    region = c.subject()
    first, second = (next(d for d in region.distortions if d.name == name) for name in c.sample.ask_order)
    steps: dict[str, Value] = {
        "done1": lambda: c.expander.choose(list(c.group(first.name).done)),
        "done2": lambda: c.expander.choose(list(c.group(second.name).done)),
        "bare1": c.bare(first.name),
        "bare2": c.bare(second.name),
        "effect1": lambda: c.effect(first),
        "effect2": lambda: c.effect(second),
        "names": join([c.named(first.name), c.named(second.name)]),
    }
    return [
        (c.say("dao_ask", None, steps), c.say("dao_answer", region, steps)),
        (c.say("dao_why_ask"), c.say("dao_why", region, steps)),
    ]


_WRITERS: dict[Task, Callable[[Composer], list[Turn]]] = {
    "global_description": _global,
    "local_description": _local,
    "referring_short": _short,
    "referring_long": _long,
    "grounding_hyd": _hyd,
    "grounding_sid": _sid,
    "grounding_dao": _dao,
}
