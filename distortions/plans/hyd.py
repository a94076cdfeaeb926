"""HyD-G: regions that each carry a mix of distortions; the worst or least degraded one leads by a margin."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

from distortions.plans import layout, region_choice
from distortions.plans.canvas import Canvas, Ops
from distortions.plans.draw import Draw
from distortions.plans.drawable_names import DrawableNames, LevelChoice, ops
from distortions.plans.layout import Layout
from distortions.plans.planned import SkipReason, Unplannable
from schemas.records import Ask

_REASON: SkipReason = "margin-not-reached"
_ASKS: tuple[Ask, Ask] = ("worst", "best")
_CEILING = 3.41
# Above this the scale saturates, so no aim is higher.
_HIGHEST_AIM = 3.1
# Slack between a limit and a strength measured without neighboring regions, which change it a little.
_SLACK = 0.08
# A strength this close to its aim is good enough.
_NEAR = 0.2
_COUNTS, _COUNT_SHARES = (2, 3, 4), (0.45, 0.35, 0.2)
_LENGTHS, _LENGTH_SHARES = (1, 2, 3), (0.3, 0.5, 0.2)


def plan(canvas: Canvas, draw: Draw, drawable: DrawableNames) -> Layout:
    """Lay out one sample. Raises Unplannable when no attempt reaches the margin."""
    if not drawable.weights.any():
        raise Unplannable("no-allowed-pair", "no two of the configured distortions may share a region")
    ask = draw.deck("ask", _ASKS)[0]
    count = int(draw.random.choice(_COUNTS, p=_COUNT_SHARES))
    names = cycle(draw.deck("name", drawable.names, step=4))
    while True:
        for group in region_choice.groups(canvas, draw, count):
            draw.spend(_REASON)
            layers = _layers(canvas, draw, drawable, group, ask, names)
            if layers is None:
                continue
            picture, strengths = layout.compose(canvas, layers)
            if layout.visible(canvas, strengths) and layout.leads(canvas, strengths, group[0], ask):
                return Layout(layers, strengths, picture, ask, group[0])


def _layers(
    canvas: Canvas, draw: Draw, drawable: DrawableNames, group: list[int], ask: Ask, names: Iterator[str]
) -> dict[int, Ops] | None:
    """Operations for the target (first in `group`) and for each other region whose strength can fit."""
    target, *others = group
    least = canvas.config.min_strength + _SLACK
    lengths = [int(n) for n in draw.random.choice(_LENGTHS, size=len(group), p=_LENGTH_SHARES)]
    if max(lengths) == 1:
        lengths[int(draw.random.integers(len(lengths)))] = 2
    widest = max(layout.lead(canvas, target, other, len(group)) for other in others) + _SLACK
    low, high = (least + widest, _CEILING) if ask == "worst" else (least, _HIGHEST_AIM - widest)
    found = _fit(canvas, draw, drawable, target, drawable.chain(draw, next(names), lengths[0]), low, high)
    if found is None:
        return None
    layers = {target: found}
    anchor = canvas.strength_alone(target, found)
    for other, length in zip(others, lengths[1:], strict=True):
        margin = layout.lead(canvas, target, other, len(group)) + _SLACK
        low, high = (least, anchor - margin) if ask == "worst" else (anchor + margin, _CEILING)
        for size in (length, length, 1):
            found = _fit(canvas, draw, drawable, other, drawable.chain(draw, next(names), size), low, high)
            if found is not None:
                layers[other] = found
                break
    mixed = any(len(chain) > 1 for chain in layers.values())
    return layers if len(layers) > 1 and mixed else None


def _fit(
    canvas: Canvas,
    draw: Draw,
    drawable: DrawableNames,
    index: int,
    chain: tuple[str, ...],
    low: float,
    high: float,
) -> Ops | None:
    """The chain at levels that put the region's strength between `low` and `high`, near a drawn point.

    Levels rise along a ladder, one operation per step: strength rises with the step, so bisection finds it.
    """
    if low >= high:
        return None
    aim = draw.between(low, min(high, max(low, _HIGHEST_AIM)))
    steps = _ladder(draw, [drawable.least_level(name) for name in chain])
    best: tuple[float, Ops] | None = None
    first, last = 0, len(steps) - 1
    middle = round(last * min(1.0, aim / _CEILING))
    while first <= last:
        candidate = ops(chain, steps[middle])
        value = canvas.strength_alone(index, candidate)
        fits = low <= value <= high and (best is None or abs(value - aim) < best[0])
        hidden = fits and not canvas.each_visible(index, candidate)
        if fits and not hidden:
            best = (abs(value - aim), candidate)
            if best[0] <= _NEAR:
                break
        first, last = (middle + 1, last) if value < aim or hidden else (first, middle - 1)
        middle = (first + last) // 2
    return best[1] if best else None


def _ladder(draw: Draw, floors: list[int]) -> list[LevelChoice]:
    """Levels from `floors` up to 5, one operation raised per step: the lowest first, ties in random order."""
    rank = draw.shuffle(range(len(floors)))
    levels = list(floors)
    steps = [tuple(levels)]
    while min(levels) < 5:
        i = min((i for i in range(len(levels)) if levels[i] < 5), key=lambda i: (levels[i], rank[i]))
        levels[i] += 1
        steps.append(tuple(levels))
    return steps
