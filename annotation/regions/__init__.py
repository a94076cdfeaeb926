"""Regions of a picture: candidates from a proposer, filtered, made disjoint, named, turned into records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from annotation.regions import appearance, filters, graph, names
from annotation.regions.interface import LABELLERS, PROPOSERS, Candidate, Context, Labeller, Picture, Proposer
from annotation.regions.overlap import carve
from schemas import masks
from schemas.config import RegionsConfig
from schemas.errors import InputError
from schemas.records import Region

__all__ = ["RegionResult", "propose"]


@dataclass(frozen=True)
class RegionResult:
    """The regions of one picture, largest first, and how many candidates each filter rule dropped."""

    regions: list[Region]
    dropped: dict[str, int]


def propose(image: Picture, config: RegionsConfig, given: Sequence[Candidate] | None = None) -> RegionResult:
    """The regions of a (H, W, 3) uint8 RGB picture: disjoint, labels unique, ids r1, r2, ... by falling area.

    `given` are candidates made elsewhere, at the picture's size (`annotation.regions.coco.coco_candidates`);
    the `coco` proposer and the `given` labeller need them. No region at all is a valid result (a flat
    picture). Raises InputError for settings that can't work together, ValueError for given masks of another
    size.
    """
    _check(image, config, given)
    context = Context(config, None if given is None else tuple(given))
    proposer = PROPOSERS.get(config.proposer, config)
    labeller = LABELLERS.get(config.labeller, config)
    dropped: Counter[str] = Counter()
    kept = filters.run(filters.rank(proposer(image, context)), filters.MASK_RULES, config, dropped)
    kept = filters.run(carve(kept), filters.CARVED_RULES, config, dropped)
    kept = filters.run(labeller(image, kept, context), filters.NAME_RULES, config, dropped)
    kept.sort(key=lambda item: (-item.area, item.bbox, item.mask.counts))
    return RegionResult(_records(kept, config), dict(sorted(dropped.items())))


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
    if config.labeller == "given" and config.proposer == "graph":
        raise InputError(
            "regions: the labeller 'given' needs masks that have names; the proposer 'graph' makes none"
        )
    if config.proposer == "coco" and given is None:
        raise InputError("regions: the proposer 'coco' needs a COCO annotation file; set images.coco")
    size = list(image.shape[:2])
    for item in given or ():
        if item.mask.size != size:
            raise ValueError(f"a given mask has the size {item.mask.size}, the picture {size}")


def _given_masks(image: Picture, context: Context) -> list[Candidate]:
    """The `coco` proposer: the candidates given."""
    return list(context.given or ())


def _given_labels(image: Picture, candidates: Sequence[Candidate], context: Context) -> list[Candidate]:
    """The `given` labeller: keeps the names the candidates came with."""
    return list(candidates)


def _graph(config: RegionsConfig) -> Proposer:
    return graph.propose


def _coco(config: RegionsConfig) -> Proposer:
    return _given_masks


def _appearance(config: RegionsConfig) -> Labeller:
    return appearance.label


def _given(config: RegionsConfig) -> Labeller:
    return _given_labels


PROPOSERS.add("graph", _graph)
PROPOSERS.add("coco", _coco)
LABELLERS.add("appearance", _appearance)
LABELLERS.add("given", _given)
