"""SiD-G: one distortion at different levels in several regions; the strongest or weakest one leads."""

from __future__ import annotations

from itertools import pairwise

from distortions import Op
from distortions.plans import layout, region_choice
from distortions.plans.canvas import Canvas, Ops
from distortions.plans.draw import Draw
from distortions.plans.drawable_names import DrawableNames
from distortions.plans.layout import Layout
from distortions.plans.planned import SkipReason
from schemas.records import Ask

_REASON: SkipReason = "margin-not-reached"
_ASKS: tuple[Ask, Ask] = ("strongest", "weakest")
_COUNTS, _COUNT_SHARES = (2, 3, 4), (0.4, 0.35, 0.25)
# Slack between the margin and a strength measured without neighboring regions, which change it a little.
_SLACK = 0.08
# Groups of regions tried with one distortion before the next distortion is tried.
_GROUPS = 2


def plan(canvas: Canvas, draw: Draw, drawable: DrawableNames) -> Layout:
    """Lay out one sample. Raises Unplannable when no attempt reaches the margin.

    In the finished picture the target leads every other region by the margin, and the measured strengths of
    all the regions are in the order of their levels.
    """
    ask = draw.deck("ask", _ASKS)[0]
    count = int(draw.random.choice(_COUNTS, p=_COUNT_SHARES))
    names = draw.deck("name", drawable.names)
    while True:
        for name in names:
            best: Layout | None = None
            for group in region_choice.groups(canvas, draw, count)[:_GROUPS]:
                draw.spend(_REASON)
                found = _lay_out(canvas, drawable, draw, group, ask, name)
                if found is not None and (best is None or len(found.layers) > len(best.layers)):
                    best = found
                if best is not None and len(best.layers) == count:
                    break
            if best is not None:
                return best


def _lay_out(
    canvas: Canvas, drawable: DrawableNames, draw: Draw, group: list[int], ask: Ask, name: str
) -> Layout | None:
    layers = _layers(canvas, drawable, draw, group, ask, name)
    if layers is None:
        return None
    picture, strengths = layout.compose(canvas, layers)
    holds = (
        layout.visible(canvas, strengths)
        and layout.leads(canvas, strengths, group[0], ask)
        and ranked(layers, strengths)
    )
    return Layout(layers, strengths, picture, ask, group[0]) if holds else None


def ranked(layers: dict[int, Ops], strengths: dict[int, float]) -> bool:
    """Whether the regions' strengths rise strictly with their levels."""
    values = [strengths[index] for index in sorted(layers, key=lambda index: layers[index][0].level)]
    return all(lower < higher for lower, higher in pairwise(values))


def _layers(
    canvas: Canvas, drawable: DrawableNames, draw: Draw, group: list[int], ask: Ask, name: str
) -> dict[int, Ops] | None:
    """Levels for the target (first in `group`) and for the other regions that find one, a margin away.

    As many regions as some level of the target allows; with two regions the smaller margin is enough.
    """
    target = group[0]
    levels = range(drawable.least_level(name), 6)
    best: dict[int, int] = {}
    for level in draw.shuffle(levels):
        if _strength_at(canvas, target, name, level) < canvas.config.min_strength:
            continue
        for rivals in dict.fromkeys((len(group), 2)):
            chosen = _assign(canvas, draw, group, ask, name, level, levels, rivals)
            if len(chosen) > max(1, len(best)):
                best = chosen
        if len(best) == len(group):
            break
    return {index: (Op(name, at),) for index, at in best.items()} or None


def _assign(
    canvas: Canvas,
    draw: Draw,
    group: list[int],
    ask: Ask,
    name: str,
    level: int,
    levels: range,
    rivals: int,
) -> dict[int, int]:
    """Levels of up to `rivals` regions when the target's is `level`."""
    target, *others = group
    anchor = _strength_at(canvas, target, name, level)
    rising = ask == "strongest"
    free = draw.shuffle([at for at in levels if at != level and (at < level) == rising])

    def place(rest: list[int], chosen: dict[int, int], values: dict[int, float]) -> dict[int, int]:
        """The largest assignment that extends `chosen`, the first one found on a tie."""
        best = chosen
        if not rest or len(chosen) == rivals:
            return best
        margin = layout.lead(canvas, target, rest[0], rivals) + _SLACK
        for at in free:
            if at in values:
                continue
            value = _strength_at(canvas, rest[0], name, at)
            gap = anchor - value if rising else value - anchor
            if gap >= margin and value >= canvas.config.min_strength and _fits(values, at, value):
                found = place(rest[1:], {**chosen, rest[0]: at}, {**values, at: value})
                best = found if len(found) > len(best) else best
                if len(best) == rivals:
                    return best
        found = place(rest[1:], chosen, values)
        return found if len(found) > len(best) else best

    return place(others, {target: level}, {level: anchor})


def _strength_at(canvas: Canvas, index: int, name: str, level: int) -> float:
    return canvas.strength_alone(index, (Op(name, level),))


def _fits(values: dict[int, float], level: int, value: float) -> bool:
    """Whether a region at `level` with this strength keeps all strengths in the order of the levels."""
    return all((value > known) == (level > at) and value != known for at, known in values.items())
