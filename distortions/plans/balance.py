"""How evenly planned samples are spread over names, levels, places and sizes: counts against expectation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distortions import catalog
from distortions.plans.pairs import LEVELS, least_level
from schemas.records import Distortion, Region, Sample


@dataclass(frozen=True)
class Spread:
    """Counts by value, the counts that an even plan would expect, and Pearson's chi-square between them.

    `degrees` is the number of expected values minus one. For an even plan `chi_square / degrees` is about 1
    or less; decks, which deal every card before repeating one, push it below 1.
    """

    counts: Mapping[str, int]
    expected: Mapping[str, float]
    chi_square: float
    degrees: int


def balance(
    samples: Iterable[Sample], names: Sequence[str] | None = None, min_region_area: float = 0.0
) -> dict[str, Spread]:
    """How even the samples are: one Spread for each of these.

    name      distortions counted once per sample, all of `names` alike (None: the catalog's)
    level     levels of all distortions of all regions (of a whole picture once), all alike from the
              lowest visible level to 5
    position  the targets' places, against those of the regions that could have been chosen: of at least
              `min_region_area` of the picture, each as likely as another in its sample
    size      the targets' sizes as tenths of the sizes of those regions, all alike
    rank      the target's rank by size among the distorted regions ("1/3" is the largest of three), all alike

    `whole` and `pristine` samples have no target and don't count for the last three.
    """
    listed = list(samples)
    names = sorted(entry.name for entry in catalog()) if names is None else sorted(names)
    applied = [distortion for sample in listed for distortion in _applied(sample)]
    spreads = {
        "name": _spread(
            Counter(name for sample in listed for name in {d.name for d in _applied(sample)}),
            dict.fromkeys(names, 1.0),
        ),
        "level": _spread(
            Counter(str(d.level) for d in applied),
            _mixture([[str(level) for level in range(least_level(d.category), LEVELS + 1)] for d in applied]),
        ),
    }
    targeted = [(region, sample) for sample in listed for region in _targets(sample)]
    eligible = [[r for r in s.regions if _share(r, s) >= min_region_area] for _, s in targeted]
    rivals = [[r.region_id for r in sorted(_carrying(s), key=_largest_first)] for _, s in targeted]
    spreads["position"] = _spread(
        Counter(region.position for region, _ in targeted),
        _mixture([[region.position for region in group] for group in eligible]),
    )
    spreads["size"] = _sizes(
        [_share(region, sample) for region, sample in targeted],
        [_share(r, sample) for group, (_, sample) in zip(eligible, targeted, strict=True) for r in group],
    )
    spreads["rank"] = _spread(
        Counter(
            f"{ids.index(region.region_id) + 1}/{len(ids)}"
            for ids, (region, _) in zip(rivals, targeted, strict=True)
            if len(ids) > 1
        ),
        _mixture([[f"{i + 1}/{len(a)}" for i in range(len(a))] for a in rivals if len(a) > 1]),
    )
    return spreads


def _applied(sample: Sample) -> list[Distortion]:
    """The distortions of a sample, those of a whole picture once."""
    carrying = [region.distortions for region in _carrying(sample)]
    return list(carrying[0]) if sample.whole_image and carrying else [d for group in carrying for d in group]


def _carrying(sample: Sample) -> list[Region]:
    return [region for region in sample.regions if region.distortions]


def _largest_first(region: Region) -> tuple[int, str]:
    return -region.area, region.region_id


def _targets(sample: Sample) -> list[Region]:
    return [region for region in sample.regions if region.region_id in sample.target_region_ids]


def _share(region: Region, sample: Sample) -> float:
    return region.area / (sample.source_image.width * sample.source_image.height)


def _mixture(groups: Iterable[Sequence[str]]) -> dict[str, float]:
    """Expected counts when one member of each group is drawn, all members alike."""
    expected: dict[str, float] = {}
    for group in groups:
        for value in group:
            expected[value] = expected.get(value, 0.0) + 1 / len(group)
    return expected


def _sizes(targets: Sequence[float], shares: Sequence[float]) -> Spread:
    """Targets by decile of all eligible sizes, "1" the smallest."""
    if not targets:
        return _spread(Counter(), {})
    edges = np.quantile(shares, np.arange(1, 10) / 10)

    def tenth(values: Sequence[float]) -> Counter[str]:
        return Counter(str(int(i) + 1) for i in np.searchsorted(edges, values, side="right"))

    expected = {value: float(count) for value, count in tenth(shares).items()}
    return _spread(tenth(targets), expected)


def _spread(counts: Mapping[str, int], weights: Mapping[str, float]) -> Spread:
    """Counts against `weights` scaled to the same total; values without a weight count only in the total."""
    total, weight = sum(counts.values()), sum(weights.values())
    keys = sorted({*counts, *weights})
    expected = {key: weights.get(key, 0.0) * total / weight if weight else 0.0 for key in keys}
    chi = sum((counts.get(key, 0) - e) ** 2 / e for key, e in expected.items() if e > 0)
    return Spread(
        {key: counts.get(key, 0) for key in keys},
        expected,
        chi,
        max(0, sum(e > 0 for e in expected.values()) - 1),
    )
