"""From a layout to its record: what every region carries, with measured strengths, and the target."""

from __future__ import annotations

from distortions import Op, resolve
from distortions.plans import recipe
from distortions.plans.canvas import Canvas
from distortions.plans.draw import Draw
from distortions.plans.layout import Layout
from distortions.plans.planned import PlannedSample
from schemas.masks import PositionGrid
from schemas.records import Distortion, Region, Sample


def finish(canvas: Canvas, draw: Draw, layout: Layout, position_grid: PositionGrid) -> PlannedSample:
    """The sample, its picture and its recipe.

    An undistorted region that shares changed pixels with a distorted one can't be called untouched: it
    is left out of the sample. All other undistorted regions keep every pixel and have strength 0.
    """
    kept: list[Region] = []
    for index, region in enumerate(canvas.regions):
        if index in layout.layers:
            carried = [_record(op, order) for order, op in enumerate(layout.layers[index], start=1)]
            kept.append(
                region.model_copy(update={"distortions": carried, "strength": layout.strengths[index]})
            )
        elif canvas.disjoint_from(index, layout.layers) or not canvas.changed(layout.picture, index):
            kept.append(region.model_copy(update={"distortions": [], "strength": 0.0}))
    sample = Sample(
        sample_id=draw.sample_id,
        kind=draw.kind,
        source_image=canvas.source,
        regions=kept,
        target_region_ids=[] if layout.target is None else [canvas.regions[layout.target].region_id],
        whole_image=layout.whole,
        ask=layout.ask,
        ask_order=[resolve(name).name for name in layout.ask_order],
        order_effect=layout.order_effect,
        position_grid=position_grid,
        seed=canvas.seed,
    )
    return PlannedSample(sample, layout.picture, recipe.write_recipe(canvas, draw.sample_id, layout))


def _record(op: Op, order: int) -> Distortion:
    entry = resolve(op.name)
    return Distortion(name=entry.name, category=entry.category, level=op.level, order=order)
