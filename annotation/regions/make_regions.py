"""Regions of a picture: candidates from a proposer, filtered, made disjoint, named, turned into records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from annotation.regions import filters, names
from annotation.regions.interface import LABELLERS, PROPOSERS, Candidate, Context, Picture, Proposals
from annotation.regions.overlap import carve
from schemas import masks
from schemas.errors import InputError
from schemas.records import Region
from schemas.regions_config import RegionsConfig


@dataclass(frozen=True)
class RegionResult:
    """The regions of one picture, largest first, and how many candidates each filter rule dropped.

    `candidates` are what the regions were made of, one for each in the same order: the labeller's own name,
    which need not be unique, and all that was measured. A candidate's mask and area are its region's.
    """

    regions: list[Region]
    dropped: dict[str, int]
    candidates: list[Candidate]


def load(config: RegionsConfig, given: bool = False) -> None:
    """Make the proposer, unless masks made elsewhere take its place (`given`), and the labeller of `config`
    ready, models loaded, for this process.

    Raises InputError when a model is missing or can't be read: no picture is to blame for that.
    """
    if not given:
        PROPOSERS.get(config.proposer, config)
    LABELLERS.get(config.labeller, config)


def propose(image: Picture, config: RegionsConfig, given: Sequence[Candidate] | None = None) -> RegionResult:
    """The regions of one picture: `propose_all` of it alone."""
    return propose_all([image], config, [given])[0]


def propose_all(
    images: Sequence[Picture], config: RegionsConfig, given: Sequence[Sequence[Candidate] | None]
) -> list[RegionResult]:
    """The regions of (H, W, 3) uint8 RGB pictures: disjoint, labels unique, ids r1, r2, ... by falling area.

    `given` are each picture's candidates made elsewhere, at its size (`annotation.regions.coco_instances`,
    `annotation.regions.ssa_masks`), which take the place of the proposer's, or None. No region at all is a
    valid result (a flat picture). Raises InputError for an unknown proposer or labeller and for settings that
    can't work together, ValueError for given masks of another size.
    """
    for image, candidates in zip(images, given, strict=True):
        _check(image, config, candidates)
    contexts = [Context(config, None if items is None else tuple(items)) for items in given]
    labeller = LABELLERS.get(config.labeller, config)
    results = []
    for image, context, proposals in zip(images, contexts, _proposals(images, contexts), strict=True):
        dropped = Counter(proposals.dropped)
        kept = filters.run(filters.rank(proposals.candidates), filters.MASK_RULES, config, dropped)
        kept = filters.run(carve(kept), filters.CARVED_RULES, config, dropped)
        kept = filters.run(labeller(image, kept, context), filters.NAME_RULES, config, dropped)
        kept.sort(key=lambda item: (-item.area, item.bbox, item.mask.counts))
        results.append(RegionResult(_records(kept, config), dict(sorted(dropped.items())), kept))
    return results


def _proposals(images: Sequence[Picture], contexts: Sequence[Context]) -> list[Proposals]:
    """The candidates given; for pictures without any, the proposer's."""
    wanted = [index for index, context in enumerate(contexts) if context.given is None]
    made: dict[int, Proposals] = {}
    if wanted:
        config = contexts[wanted[0]].config
        proposer = PROPOSERS.get(config.proposer, config)
        found = proposer([images[index] for index in wanted], [contexts[index] for index in wanted])
        made = dict(zip(wanted, found, strict=True))
    return [made.get(index) or Proposals(list(one.given or ())) for index, one in enumerate(contexts)]


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
    size = list(image.shape[:2])
    for item in given or ():
        if item.mask.size != size:
            raise ValueError(f"a given mask has the size {item.mask.size}, the picture {size}")
    if config.labeller != "given" or given is not None:
        return
    if not getattr(PROPOSERS.plug_ins.load(config.proposer), "NAMES_MASKS", False):
        raise InputError(
            f"regions: the labeller 'given' needs masks that have names; the proposer {config.proposer!r} "
            "makes none; choose another labeller"
        )
