"""The grammar back end: writes questions and answers from the injected truth with a wording file; no model,
no network.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from annotation.qa import truth
from annotation.qa.backend import Backend, BackendSettings, Dialogue, Identity, Request
from annotation.qa.composer import Composer
from annotation.qa.lexicon import load_lexicon
from annotation.qa.nouns import join
from annotation.qa.wording import Value, load_wording, wording_version
from schemas.errors import SampleError
from schemas.records import Message, Task


def make(settings: BackendSettings) -> Backend:
    """The back end with the wording file of the settings. Raises InputError when that is unusable."""
    return GrammarBackend(settings.wording)


class GrammarBackend:
    """Writes dialogues from templates: the same request gives the same text, another attempt another."""

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

    def close(self) -> None:
        """Nothing is open."""

    def write(self, request: Request) -> Dialogue:
        """A dialogue for the request. Raises SampleError when the lexicon has no words for one of its
        distortions.
        """
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


def _global(c: Composer) -> list[Turn]:
    carriers = truth.distorted(c.sample.regions)
    if not carriers:
        return _global_pristine(c)
    if c.sample.whole_image:
        return _global_whole(c)
    verdict = _verdict(c, all_distorted=len(carriers) == len(c.sample.regions))
    items = " ".join(c.say("item", region) for region in carriers)
    shown = [carriers[int(i)] for i in sorted(c.expander.generator.permutation(len(carriers))[:3])]
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
    return c.expander.fill(
        template, {"pic": c.picture, "list": c.listing}, {"v": c.list_is_plural(), "n": False}
    )


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
        turns.append(
            (c.say("pristine_ask_why"), c.say(f"pristine_why{suffix}", None, {**again, **_clean_words(c)}))
        )
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
