"""All samples of one picture: planned one by one, each from its own draws, and yielded as soon as done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2

from distortions.frame import Image
from distortions.plans import dao, hyd, sid, simple
from distortions.plans.canvas import Canvas
from distortions.plans.draw import Draw
from distortions.plans.drawable_names import DrawableNames, select_names
from distortions.plans.finish import finish
from distortions.plans.layout import Layout
from distortions.plans.planned import PlannedSample, PlanSkip, Unplannable
from schemas.config import DistortConfig
from schemas.errors import SampleError
from schemas.masks import PositionGrid
from schemas.records import Quarantined, Region, SampleKind, SourceImage

_PLANNERS: dict[SampleKind, Callable[[Canvas, Draw, DrawableNames], Layout]] = {
    "hyd": hyd.plan,
    "sid": sid.plan,
    "dao": dao.plan,
    "single": simple.plan_single,
    "whole": simple.plan_whole,
    "pristine": simple.plan_pristine,
}


def plan_samples(
    image: Image,
    regions: Sequence[Region],
    source: SourceImage,
    config: DistortConfig,
    seed: int,
    position_grid: PositionGrid = "thirds",
) -> Iterator[PlannedSample | PlanSkip | Quarantined]:
    """Plan `config.samples` samples of every kind on one picture, in the order of the kinds.

    `image` is (H, W, 3) uint8 RGB and is not changed; every mask in `regions` has its size. Yields for each
    sample a PlannedSample, a PlanSkip if it can't be made from the picture (counted by reason, not an error),
    or a Quarantined if planning it failed. Each sample depends only on the picture, its regions, the
    configuration, the seed and its own kind and number. Raises SampleError when a region's mask doesn't fit
    the picture and InputError when the catalog doesn't have one of `config.names`.
    """
    drawable = select_names(config.names)
    canvas = Canvas(image, regions, source, config, seed)
    for kind, count in config.samples.counts().items():
        for number in range(count):
            yield _plan_one(
                canvas, Draw(seed, source.id, kind, number, config.attempts), drawable, position_grid
            )


def _plan_one(
    canvas: Canvas, draw: Draw, drawable: DrawableNames, position_grid: PositionGrid
) -> PlannedSample | PlanSkip | Quarantined:
    try:
        if not canvas.regions:
            raise Unplannable("no-regions", "the picture has no regions")
        layout = _PLANNERS[draw.kind](canvas, draw, drawable)
        return finish(canvas, draw, layout, position_grid)
    except Unplannable as skip:
        return PlanSkip(draw.sample_id, canvas.source.id, draw.kind, skip.reason, skip.detail)
    except SampleError as error:
        return _quarantine(canvas, draw, error.reason, str(error))
    except (ValueError, ArithmeticError, RuntimeError, cv2.error) as error:
        return _quarantine(canvas, draw, "distortion-failed", f"{type(error).__name__}: {error}")


def _quarantine(canvas: Canvas, draw: Draw, reason: str, error: str) -> Quarantined:
    return Quarantined(
        stage="distort", source=canvas.source.id, sample_id=draw.sample_id, reason=reason, error=error
    )
