"""What the injected truth allows to be asked: which regions can be told apart, which one leads, which order
is unique.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from annotation.qa.nouns import spoken_label
from schemas.records import Region

MIN_LEAD = 0.1
"""Least lead in perceptual strength (0 to 3.41) for "worst" or "best" to mean one region; plans ask for more.
"""


def distorted(regions: Sequence[Region]) -> list[Region]:
    """The regions that carry a distortion, in the order given."""
    return [region for region in regions if region.distortions]


def in_order(region: Region) -> list[str]:
    """Catalog names of a region's distortions in order of application."""
    return [d.name for d in sorted(region.distortions, key=lambda d: d.order)]


def reference(region: Region) -> tuple[str, str]:
    """What a text can point with: the spoken label (case ignored) and the position words."""
    return spoken_label(region.label).casefold(), region.position


def unmistakable(regions: Sequence[Region]) -> set[str]:
    """Ids of the regions that label and position together tell from every other region."""
    counts = Counter(reference(region) for region in regions)
    return {region.region_id for region in regions if counts[reference(region)] == 1}


def shares_label(region: Region, regions: Sequence[Region]) -> bool:
    """Whether another region has the same spoken label."""
    label = reference(region)[0]
    return any(reference(other)[0] == label for other in regions if other.region_id != region.region_id)


def leader(regions: Sequence[Region], most: bool, min_lead: float = MIN_LEAD) -> Region | None:
    """The distorted region with the highest (`most`) or lowest measured strength.

    None when there are fewer than two, when one was never measured, or when the lead is under `min_lead`.
    """
    candidates = distorted(regions)
    if len(candidates) < 2 or any(region.strength is None for region in candidates):
        return None
    ranked = sorted(candidates, key=lambda region: region.strength or 0.0, reverse=most)
    lead = abs((ranked[0].strength or 0.0) - (ranked[1].strength or 0.0))
    return ranked[0] if lead >= min_lead else None


def common_names(regions: Sequence[Region]) -> list[str]:
    """Names that every distorted region carries, in the first one's order of application; [] when none is
    distorted.
    """
    carriers = distorted(regions)
    if not carriers:
        return []
    return [name for name in in_order(carriers[0]) if all(name in in_order(region) for region in carriers)]


def has_order(region: Region, order: Sequence[str]) -> bool:
    """Whether a region received the distortions `order` in that order (others may lie between)."""
    names = iter(in_order(region))
    return all(name in names for name in order)
