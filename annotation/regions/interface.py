"""What a region proposer, a labeller and a filter rule are, and the registries that find them by name."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from annotation import plugin_kinds
from schemas import masks
from schemas.masks import BoolMask
from schemas.plugins import PlugIns
from schemas.records import Mask
from schemas.regions_config import RegionsConfig
from schemas.sections import Section

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Candidate:
    """One proposed mask, run-length encoded at the picture's size, so that hundreds stay small in memory.

    `score` is the proposer's confidence in 0..1 (1.0 where it has none to give). `label` and `label_score`
    (0..1) are None until somebody names the mask. `facts` holds what a proposer measured and a filter may
    read, by name: "crowd" (0 or 1), "predicted_iou", "stability_score" and so on. `proposals` are the labels
    a labeller weighed last, best first.
    """

    mask: Mask
    area: int
    bbox: tuple[int, int, int, int]
    score: float = 1.0
    label: str | None = None
    label_score: float | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    proposals: tuple[str, ...] = ()

    def named(self, label: str | None, score: float | None, proposals: tuple[str, ...] = ()) -> Candidate:
        """The same mask with another name, and the labels weighed for it."""
        return replace(self, label=label, label_score=score, proposals=proposals)

    def rle(self) -> dict[str, object]:
        """The mask as pycocotools takes it."""
        return {"size": self.mask.size, "counts": self.mask.counts.encode("ascii")}

    def pixels(self) -> BoolMask:
        """The mask as a boolean (H, W) array; its runs are trusted, as `candidate` wrote them."""
        return np.asarray(coco_mask.decode([self.rle()])[..., 0]).view(np.bool_)


def candidate(
    mask: BoolMask,
    score: float = 1.0,
    label: str | None = None,
    label_score: float | None = None,
    facts: Mapping[str, float] | None = None,
) -> Candidate:
    """A Candidate from a boolean (H, W) mask, which may be empty."""
    x, y, width, height = masks.bounding_box(mask)
    return Candidate(
        mask=masks.encode(mask),
        area=int(np.count_nonzero(mask)),
        bbox=(x, y, width, height),
        score=score,
        label=label,
        label_score=label_score,
        facts=dict(facts or {}),
    )


@dataclass(frozen=True)
class Context:
    """What a proposer or labeller may know beside the pixels: settings, and candidates made elsewhere."""

    config: RegionsConfig
    given: tuple[Candidate, ...] | None = None


@dataclass(frozen=True)
class Proposals:
    """A proposer's masks of one picture, in a fixed order, and how many it dropped by reason."""

    candidates: list[Candidate]
    dropped: Mapping[str, int] = field(default_factory=dict)


class Proposer(Protocol):
    """Finds masks. One object serves a whole worker process, so a model is loaded once, in the factory."""

    def __call__(self, images: Sequence[Picture], contexts: Sequence[Context]) -> list[Proposals]:
        """Masks of (H, W, 3) uint8 RGB pictures, each at its picture's size; the sizes may differ.

        A picture's masks don't depend on the pictures beside it. May find none; draws no randomness.
        """
        ...


class Labeller(Protocol):
    """Names masks. One object serves a whole worker process."""

    def __call__(self, image: Picture, candidates: Sequence[Candidate], context: Context) -> list[Candidate]:
        """The same candidates in the same order, each `.named(label, score)`; label None means "can't tell".

        A label is an English noun phrase without an article that reads well after "the"; it says nothing
        about the mask's place. Labels need not be unique: `annotation.regions.names` tells equal ones apart.
        """
        ...


class Rule(Protocol):
    """One filter rule, a plain function; the chain counts drops by the reason it returns."""

    def __call__(self, item: Candidate, kept: Sequence[Candidate], config: RegionsConfig) -> str | None:
        """Why `item` is dropped, as a short slug ("too-small"), or None to keep it. `kept` passed this rule
        before.
        """
        ...


T = TypeVar("T")


class Registry(Generic[T]):
    """Plug-ins of one kind with one object per name and settings, made at the first use and then kept: a
    worker process, and all threads of a process, load a model once.
    """

    def __init__(self, plug_ins: PlugIns) -> None:
        self.plug_ins = plug_ins
        self._made: dict[tuple[str, str], T] = {}
        self._making = threading.Lock()

    def get(self, name: str, config: RegionsConfig) -> T:
        """The object for `name` and `config`.

        Raises InputError for an unknown name, with the nearest one, and for a file that is broken.
        """
        make = self.plug_ins.load(name).make
        key = (name, f"{config.model_dump_json()} {_vocabulary_state(config)}")
        with self._making:
            if key not in self._made:
                self._made[key] = make(config)
            return self._made[key]


def settings_of(config: RegionsConfig) -> dict[str, Section]:
    """The settings of the proposer and the labeller in use, by name, of those that have any of their own."""
    found: dict[str, Section] = {}
    used = ((plugin_kinds.PROPOSERS, config.proposer), (plugin_kinds.LABELLERS, config.labeller))
    for plug_ins, name in used:
        if name in plug_ins.names():
            module, values = plug_ins.load(name), config.settings.get(name, {})
            section = plugin_kinds.read_settings(module, name, values)
            if section is not None:
                found[name] = section
    return found


def _vocabulary_state(config: RegionsConfig) -> str:
    """Tells a vocabulary that was edited from the one an object was made with."""
    try:
        state = config.clip.vocabulary.stat() if config.clip is not None else None
    except OSError:
        state = None  # who reads it will say what is wrong
    return f"{state.st_mtime_ns} {state.st_size}" if state is not None else ""


PROPOSERS: Registry[Proposer] = Registry(plugin_kinds.PROPOSERS)
LABELLERS: Registry[Labeller] = Registry(plugin_kinds.LABELLERS)
