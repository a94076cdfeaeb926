"""Regions of a picture: candidates from a proposer, filtered, made disjoint, named, turned into records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from annotation.regions import filters, names
from annotation.regions.interface import (
    LABELLERS,
    PROPOSERS,
    Candidate,
    Context,
    Labeller,
    Picture,
    Proposals,
    Proposer,
)
from annotation.regions.labellers import appearance
from annotation.regions.labellers import given as kept_names
from annotation.regions.overlap import carve
from annotation.regions.proposers import graph
from schemas import masks
from schemas.config import RegionsConfig
from schemas.errors import InputError
from schemas.records import Region


@dataclass(frozen=True)
class RegionResult:
    """The regions of one picture, largest first, and how many candidates each filter rule dropped.

    `candidates` are what the regions were made of, one for each in the same order: the labeller's own name,
    which need not be unique, and all that was measured. A candidate's mask and area are its region's.
    """

    regions: list[Region]
    dropped: dict[str, int]
    candidates: list[Candidate]


def load(config: RegionsConfig) -> None:
    """Make the proposer and the labeller of `config` ready, models loaded, for this process.

    Raises InputError when a model is missing or can't be read: no picture is to blame for that.
    """
    PROPOSERS.get(config.proposer, config)
    LABELLERS.get(config.labeller, config)


def propose(image: Picture, config: RegionsConfig, given: Sequence[Candidate] | None = None) -> RegionResult:
    """The regions of one picture: `propose_all` of it alone."""
    return propose_all([image], config, [given])[0]


def propose_all(
    images: Sequence[Picture], config: RegionsConfig, given: Sequence[Sequence[Candidate] | None]
) -> list[RegionResult]:
    """The regions of (H, W, 3) uint8 RGB pictures: disjoint, labels unique, ids r1, r2, ... by falling area.

    `given` are each picture's candidates made elsewhere, at its size (`annotation.regions.coco`,
    `annotation.regions.ssa_json`), or None; the proposers `coco` and `ssa-json` and the labeller `given` need
    them. No region at all is a valid result (a flat picture). Raises InputError for settings that can't work
    together, ValueError for given masks of another size.
    """
    for image, candidates in zip(images, given, strict=True):
        _check(image, config, candidates)
    contexts = [Context(config, None if items is None else tuple(items)) for items in given]
    proposer = PROPOSERS.get(config.proposer, config)
    labeller = LABELLERS.get(config.labeller, config)
    results = []
    for image, context, proposals in zip(images, contexts, proposer(images, contexts), strict=True):
        dropped = Counter(proposals.dropped)
        kept = filters.run(filters.rank(proposals.candidates), filters.MASK_RULES, config, dropped)
        kept = filters.run(carve(kept), filters.CARVED_RULES, config, dropped)
        kept = filters.run(labeller(image, kept, context), filters.NAME_RULES, config, dropped)
        kept.sort(key=lambda item: (-item.area, item.bbox, item.mask.counts))
        results.append(RegionResult(_records(kept, config), dict(sorted(dropped.items())), kept))
    return results


def _records(kept: Sequence[Candidate], config: RegionsConfig) -> list[Region]:
    positions = [masks.position(item.pixels(), config.position_grid) for item in kept]
    labels = names.unique(
        [
            names.Named(item.label or "", position, item.area)
            for item, position in zip(kept, positions, strict=True)
        ]
    )
    return [
        Region(
            region_id=f"r{index}",
            label=label,
            label_score=item.label_score,
            bbox=list(item.bbox),
            area=item.area,
            mask=item.mask,
            position=position,
        )
        for index, (item, label, position) in enumerate(zip(kept, labels, positions, strict=True), start=1)
    ]


def _check(image: Picture, config: RegionsConfig, given: Sequence[Candidate] | None) -> None:
    if config.labeller == "given" and config.proposer in ("graph", "sam"):
        raise InputError(
            f"regions: the labeller 'given' needs masks that have names; the proposer {config.proposer!r} "
            "makes none; choose another labeller"
        )
    if config.proposer == "coco" and given is None:
        raise InputError("regions: the proposer 'coco' needs a COCO annotation file; set images.coco")
    if config.proposer == "ssa-json" and given is None:
        raise InputError("regions: the proposer 'ssa-json' needs a folder of SSA files; set regions.ssa_json")
    size = list(image.shape[:2])
    for item in given or ():
        if item.mask.size != size:
            raise ValueError(f"a given mask has the size {item.mask.size}, the picture {size}")


def _given_masks(images: Sequence[Picture], contexts: Sequence[Context]) -> list[Proposals]:
    """The proposers `coco` and `ssa-json`: the candidates given."""
    return [Proposals(list(context.given or ())) for context in contexts]


def _sam(config: RegionsConfig) -> Proposer:
    from annotation.regions.proposers.sam import make

    return make(config)


def _vote(config: RegionsConfig) -> Labeller:
    from annotation.regions.labellers.vote import make

    return make(config)


def _clip(config: RegionsConfig) -> Labeller:
    from annotation.regions.labellers.clip import make

    return make(config)


def _ssa(config: RegionsConfig) -> Labeller:
    from annotation.regions.labellers.ssa import make

    return make(config)


PROPOSERS.add("graph", graph.make)
PROPOSERS.add("coco", lambda config: _given_masks)
PROPOSERS.add("ssa-json", lambda config: _given_masks)
PROPOSERS.add("sam", _sam)
LABELLERS.add("appearance", appearance.make)
LABELLERS.add("given", kept_names.make)
LABELLERS.add("vote", _vote)
LABELLERS.add("clip", _clip)
LABELLERS.add("ssa", _ssa)
