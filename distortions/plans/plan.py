"""All samples of one picture: planned one by one, each from its own draws, each given back as soon as it
is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2

from distortions.plans import dao, hyd, sid, simple
from distortions.plans.canvas import Canvas
from distortions.plans.draw import Draw
from distortions.plans.drawable_names import Vocabulary, vocabulary
from distortions.plans.finish import finish
from distortions.plans.layout import Layout
from distortions.plans.planned import Picture, PlannedSample, PlanSkip, Unplannable
from schemas.config import DistortConfig
from schemas.errors import SampleError
from schemas.masks import PositionGrid
from schemas.records import Quarantined, Region, SampleKind, SourceImage

_PLANNERS: dict[SampleKind, Callable[[Canvas, Draw, Vocabulary], Layout]] = {
    "hyd": hyd.plan,
    "sid": sid.plan,
    "dao": dao.plan,
    "single": simple.plan_single,
    "whole": simple.plan_whole,
    "pristine": simple.plan_pristine,
}


def plan_samples(
    image: Picture,
    regions: Sequence[Region],
    source: SourceImage,
    config: DistortConfig,
    seed: int,
    position_grid: PositionGrid = "thirds",
) -> Iterator[PlannedSample | PlanSkip | Quarantined]:
    """Plan `config.samples` samples of every kind on one picture, in the order of the kinds.

    `image` is (H, W, 3) uint8 RGB and is not changed; every mask in `regions` has its size. For each sample
    one of: PlannedSample; PlanSkip when the picture can't give it (counted by reason, no error); Quarantined
    when planning it failed. Each sample depends only on the picture, its regions, the configuration, the seed
    and its own kind and number. Raises SampleError when a region's mask doesn't fit the picture and
    InputError when `config.names` names something the catalogue doesn't know.
    """
    words = vocabulary(config.names)
    canvas = Canvas(image, regions, source, config, seed)
    for kind, count in config.samples.counts().items():
        for number in range(count):
            yield _plan_one(
                canvas, Draw(seed, source.id, kind, number, config.attempts), words, position_grid
            )


def _plan_one(
    canvas: Canvas, draw: Draw, words: Vocabulary, position_grid: PositionGrid
) -> PlannedSample | PlanSkip | Quarantined:
    try:
        if not canvas.regions:
            raise Unplannable("no-regions", "the picture has no regions")
        layout = _PLANNERS[draw.kind](canvas, draw, words)
        return finish(canvas, draw, layout, position_grid)
    except Unplannable as skip:
        return PlanSkip(draw.sample_id, canvas.source.id, draw.kind, skip.reason, skip.detail)
    except SampleError as error:
        return _quarantined(canvas, draw, error.reason, str(error))
    except (ValueError, ArithmeticError, RuntimeError, cv2.error) as error:
        return _quarantined(canvas, draw, "distortion-failed", f"{type(error).__name__}: {error}")


def _quarantined(canvas: Canvas, draw: Draw, reason: str, error: str) -> Quarantined:
    return Quarantined(
        stage="distort", source=canvas.source.id, sample_id=draw.sample_id, reason=reason, error=error
    )
