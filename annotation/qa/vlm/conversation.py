"""What is said to a model about a sample, turn by turn: picture, region, truth, then the row's dialogue.

The first three turns depend on the sample and on what they look at alone, so all rows about the same share
them. System, pictures and facts come first and the row's question last: servers keep the common part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from annotation.chat.messages import Call, Picture, Reply, Sampling, Turn
from annotation.qa import truth
from annotation.qa.nouns import spoken_label
from annotation.qa.tasks import Draft
from annotation.qa.vlm import facts, structured, view_pictures
from annotation.qa.vlm.prompts import Prompts
from schemas.config import VlmConfig
from schemas.errors import SampleError
from schemas.hashing import derived_seed
from schemas.records import Region, Sample

Ask = Callable[[Call], Reply]

OPENING_TURNS = 3
"""Questions before a row's own; the first is the same for all rows about a sample."""
_TRIES = 3
"""Times a turn is asked for when the model says nothing."""
MAX_REPEATED = 4000
"""Characters of a refused reply that are told back to the model."""


def view_of(draft: Draft) -> str | None:
    """What the turns before a row's own look at: its one region, or None for all at once.

    The answer of a grounding row isn't shown alone: the question is about all regions.
    """
    return None if draft.task.startswith("grounding") else draft.subject


class Conversation:
    """The turns about one sample. `picture` is (H, W, 3) uint8 RGB; `seed` is the build's."""

    def __init__(
        self, config: VlmConfig, prompts: Prompts, sample: Sample, seed: int, picture: NDArray[np.uint8]
    ) -> None:
        self._config, self._prompts, self._sample, self._seed = config, prompts, sample, seed
        self._rgb = picture
        self._regions = {region.region_id: region for region in sample.regions}
        self._shown: dict[str | None, tuple[Picture, ...]] = {}
        self._whole: Picture | None = None

    def opening(self, view: str | None, ask: Ask) -> tuple[Turn, ...]:
        """System, picture, region and truth with the model's turns between; the last turn is the model's."""
        turns: tuple[Turn, ...] = (Turn("system", self._prompts.fill("system")),)
        for name, asked in self._questions(view):
            turns = (*turns, asked)
            turns = (*turns, Turn("assistant", self._said(turns, name, ask)))
        return turns

    def _questions(self, view: str | None) -> list[tuple[tuple[str, ...], Turn]]:
        """The first three questions, each with the names its seed is drawn from."""
        at = ("overview",) if view is None else ("region", view)
        if view is None:
            look, known = self._prompts.fill("overview"), facts.overview_facts(self._sample)
        else:
            region = self._regions[view]
            look = self._prompts.fill("region", subject=facts.named(region, self._sample.regions))
            known = facts.region_facts(region)
        return [
            (("picture",), Turn("user", self._prompts.fill("picture"), (self._picture(),))),
            (("look", *at), Turn("user", look, self._pictures(view))),
            (("truth", *at), Turn("user", self._prompts.fill("truth", facts=known))),
        ]

    def last(
        self, opening: tuple[Turn, ...], draft: Draft, attempt: int, reply: str | None, reasons: str
    ) -> Call:
        """The request for a row's dialogue; from the second attempt on with the refused reply and why."""
        turns = (*opening, Turn("user", self._task(draft)))
        if attempt > 1:
            repair = Turn("user", self._prompts.fill("repair", reasons=reasons))
            turns = (*turns, Turn("assistant", (reply or "")[:MAX_REPEATED].strip() or "{}"), repair)
        call = self._call(turns, ("row", draft.row_id, str(attempt)))
        return replace(call, schema=structured.schema(draft.task))

    def _said(self, turns: tuple[Turn, ...], name: tuple[str, ...], ask: Ask) -> str:
        for number in range(_TRIES):
            text = ask(self._call(turns, (*name, str(number)))).text.strip()
            if text:
                return text
        raise SampleError("silent", f"the model said nothing, {_TRIES} times")

    def _call(self, turns: tuple[Turn, ...], names: tuple[str, ...]) -> Call:
        config = self._config
        seed = derived_seed(self._seed, "vlm", self._sample.sample_id, *names) % 2**31
        sampling = Sampling(config.temperature, config.top_p, config.max_tokens, seed)
        return Call(config.model, config.revision, self._prompts.version, turns, sampling)

    def _picture(self) -> Picture:
        if self._whole is None:
            self._whole = view_pictures.whole(self._rgb, self._config.picture_side)
        return self._whole

    def _pictures(self, view: str | None) -> tuple[Picture, ...]:
        side = self._config.picture_side
        if view not in self._shown:
            if view is None:
                shown = facts.shown_regions(self._sample)
                self._shown[view] = (view_pictures.outlined(self._rgb, shown, side, numbered=True),)
            else:
                region = self._regions[view]
                drawn = view_pictures.outlined(self._rgb, [region], side, numbered=False)
                self._shown[view] = (drawn, view_pictures.cropped(self._rgb, region, side))
        return self._shown[view]

    def _task(self, draft: Draft) -> str:
        """The row's own prompt."""
        sample = self._sample
        if draft.whole_image:
            if draft.task == "global_description":
                return self._prompts.fill("global_whole")
            common = truth.common_names(sample.regions)
            return self._prompts.fill("grounding_whole", damage=facts.damage_name(common[0]))
        values = {} if draft.subject is None else _values(self._regions[draft.subject], sample)
        return self._prompts.fill(draft.task, **values)


def _values(subject: Region, sample: Sample) -> dict[str, str]:
    """All that the prompt of a row about one region may want to say."""
    label, place = f"the {spoken_label(subject.label)}", facts.place(subject.position)
    values = {
        "subject": facts.named(subject, sample.regions),
        "label": label,
        "place": place,
        "end": "least" if sample.ask in ("best", "weakest") else "most",
    }
    common = truth.common_names(sample.regions)
    if common:
        values["damage"] = facts.damage_name(common[0])
    if len(sample.ask_order) == 2:
        values["first"], values["second"] = (facts.damage_name(name) for name in sample.ask_order)
    return values
