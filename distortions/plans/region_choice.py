"""Which regions a sample distorts: large enough, disjoint, each in turn."""

from __future__ import annotations

from distortions.plans.canvas import Canvas
from distortions.plans.draw import Draw
from distortions.plans.planned import Unplannable


def targets(canvas: Canvas, draw: Draw) -> list[int]:
    """The large regions, this sample's turn first. Raises Unplannable when there is none."""
    if not canvas.large:
        least = canvas.config.min_region_area
        raise Unplannable(
            "no-large-region", f"none of {len(canvas.regions)} regions covers {least:.1%} of the picture"
        )
    return draw.deck("target", canvas.large)


def companions(canvas: Canvas, draw: Draw, target: int, count: int) -> list[int]:
    """At most `count` random large regions that share no pixel with the target or each other."""
    chosen: list[int] = []
    for index in draw.shuffle([i for i in canvas.large if i != target]):
        if len(chosen) == count:
            break
        if canvas.disjoint_from(index, [target, *chosen]):
            chosen.append(index)
    return chosen


def groups(canvas: Canvas, draw: Draw, count: int) -> list[list[int]]:
    """Groups of 2 to `count` disjoint large regions to try in turn, the target first in each.

    Raises Unplannable when no two large regions are disjoint.
    """
    found = []
    for target in targets(canvas, draw):
        others = companions(canvas, draw, target, count - 1)
        if others:
            found.append([target, *others])
    if not found:
        detail = f"{len(canvas.large)} large regions, no two of them without a common pixel"
        raise Unplannable("too-few-disjoint-regions", detail)
    return found
