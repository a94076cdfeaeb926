"""What a build will be like when its inputs aren't there yet: what is missing, and rough numbers all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.config import BuildConfig

PUBLISHED_ROWS = {"q-instruct": 200_000, "dq-495k": 495_000}
"""Rows that the publishers of the datasets tell of."""
PUBLISHED_PICTURES = {"q-instruct": 19_000, "dq-495k": 400_000}
"""Q-Instruct: 18,973 photographs. DQ-495K: about a picture a row of identification, fewer of the rest."""
ROWS_A_PHOTOGRAPH = 20
"""Rows of the demo's photographs, 11 of which give 240."""
_IMPORT_ROWS, _PICTURES = 15_000, 60
"""Rows read and pictures (224 to 512 pixels) stored in a second on one core."""


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

    Rows made here are those the mixture's caps allow, and the photographs as many as give them; without such
    caps nothing is foretold of them. Rows of other datasets are those their publishers tell of.
    """
    parts = []
    caps = [rule.cap for rule in config.merge.mixture if rule.source == "iqa-spider" and rule.cap is not None]
    photographs = -(-sum(caps) // ROWS_A_PHOTOGRAPH)
    if photographs:
        parts.append(Expected("rows made here", sum(caps), 0.0))
        parts += [
            Expected(f"photographs, {stage}", photographs, photographs * seconds)
            for stage, seconds in seconds_a_photograph.items()
        ]
    for kind in dict.fromkeys(dataset.kind for dataset in config.merge.external):
        rows, pictures = PUBLISHED_ROWS[kind], PUBLISHED_PICTURES[kind]
        parts.append(Expected(f"{kind} rows", rows, rows / _IMPORT_ROWS))
        parts.append(Expected(f"{kind} pictures", pictures, pictures / _PICTURES))
    return parts
