"""A build whose inputs aren't there yet: what is missing, and rough numbers all the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.config import BuildConfig

PUBLISHED_ROWS = {"q-instruct": 200_000, "dq-495k": 495_000}
"""Rows that the publishers of the datasets tell of."""
PUBLISHED_PICTURES = {"q-instruct": 19_000, "dq-495k": 400_000}
"""Q-Instruct: 18,973 photographs. DQ-495K: about a picture a row of identification, fewer of the rest."""
ROWS_A_PHOTOGRAPH = {
    "global_description": 12.0,
    "local_description": 10.0,
    "grounding_hyd": 3.0,
    "grounding_sid": 4.0,
    "grounding_dao": 1.8,
    "referring_short": 11.0,
    "referring_long": 11.0,
}
"""Rows of one photograph of the demo (11 photographs, 581 rows)."""
_IMPORT_ROWS, _PICTURES = 6_000, 40
"""Rows read (benchmarks/importing.py) and pictures of half a megapixel stored in a second on one core."""


@dataclass(frozen=True)
class Expected:
    """A part of a build: what it makes, how many, and seconds on one core."""

    what: str
    count: int
    seconds: float


def missing_inputs(config: BuildConfig) -> list[str]:
    """One line for each file or folder of the configuration that isn't there."""
    return [f"{place}: missing ({what})" for what, place in _inputs(config) if not place.exists()]


def _inputs(config: BuildConfig) -> Iterator[tuple[str, Path]]:
    for name in ("folder", "coco", "manifest"):
        place = getattr(config.images, name)
        if place is not None:
            yield "photographs", place
    for dataset in config.merge.external:
        yield from ((f"{dataset.kind} annotations", path) for path in dataset.annotations)
        yield f"{dataset.kind} pictures", dataset.images
    for kept_out in config.merge.keep_out:
        place = kept_out.folder or kept_out.list
        if place is not None:
            yield "evaluation set", place


def expected(config: BuildConfig, seconds_a_photograph: dict[str, float]) -> list[Expected]:
    """Rough numbers from the configuration alone.

    Rows made here are those the mixture's caps allow, and the photographs as many as gave so many of the
    scarcest task in the demo; without such caps nothing is foretold of them. Stages that a model does have
    no time. Rows of other datasets are those their publishers tell of.
    """
    parts = []
    caps = {
        rule.task: rule.cap
        for rule in config.merge.mixture
        if rule.source == "iqa-spider" and rule.cap is not None
    }
    needed = [cap / ROWS_A_PHOTOGRAPH[task] for task, cap in caps.items() if task in ROWS_A_PHOTOGRAPH]
    photographs = math.ceil(max(needed, default=0))
    if photographs:
        parts.append(Expected("rows made here", sum(caps.values()), 0.0))
        models = {
            "regions": config.regions.proposer == "sam" or config.regions.labeller in ("vote", "clip", "ssa"),
            "annotate": config.annotate.backend != "grammar",
        }
        parts += [
            Expected(f"photographs, {stage}", photographs, 0 if models.get(stage) else photographs * seconds)
            for stage, seconds in seconds_a_photograph.items()
        ]
    for kind in dict.fromkeys(dataset.kind for dataset in config.merge.external):
        rows, pictures = PUBLISHED_ROWS[kind], PUBLISHED_PICTURES[kind]
        parts.append(Expected(f"{kind} rows", rows, rows / _IMPORT_ROWS))
        parts.append(Expected(f"{kind} pictures", pictures, pictures / _PICTURES))
    return parts
