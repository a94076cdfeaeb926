"""Samples for describing and referring: one distorted region, the whole picture distorted, or nothing."""

from __future__ import annotations

from distortions import Op
from distortions.plans import layout, region_choice
from distortions.plans.canvas import Canvas
from distortions.plans.draw import Draw
from distortions.plans.drawable_names import DrawableNames, ops
from distortions.plans.layout import Layout
from distortions.plans.planned import SkipReason

_REASON: SkipReason = "not-visible"
_MIXED = 0.4


def plan_single(canvas: Canvas, draw: Draw, drawable: DrawableNames) -> Layout:
    """One region with one or two visible distortions. Raises Unplannable when none is visible."""
    candidates = region_choice.targets(canvas, draw)
    length = 2 if draw.chance(_MIXED) else 1
    card = draw.deck("level", range(1, 6))[0]
    while True:
        for first in draw.deck("name", drawable.names):
            chain = drawable.chain(draw, first, length)
            start = [_start(draw, drawable, name, card) for name in chain]
            for rise in range(5):
                levels = tuple(min(5, level + rise) for level in start)
                for target in candidates[:2]:
                    draw.spend(_REASON)
                    layers = {target: ops(chain, levels)}
                    strong = canvas.strength_alone(target, layers[target]) >= canvas.config.min_strength
                    if strong and canvas.each_visible(target, layers[target]):
                        picture, strengths = layout.compose(canvas, layers)
                        if layout.visible(canvas, strengths):
                            return Layout(layers, strengths, picture, "where", target)
                if min(levels) == 5:
                    break


def plan_whole(canvas: Canvas, draw: Draw, drawable: DrawableNames) -> Layout:
    """One distortion through the full mask. Raises Unplannable when none is visible on this picture."""
    card = draw.deck("level", range(1, 6))[0]
    while True:
        for name in draw.deck("name", drawable.names):
            for level in range(_start(draw, drawable, name, card), 6):
                draw.spend(_REASON)
                op = Op(name, level)
                picture, strength = canvas.whole(op)
                if strength >= canvas.config.min_strength:
                    layers = dict.fromkeys(range(len(canvas.regions)), (op,))
                    strengths = {index: canvas.measure(picture, index) for index in layers}
                    return Layout(layers, strengths, picture, "where", None, whole=True)


def plan_pristine(canvas: Canvas, draw: Draw, drawable: DrawableNames) -> Layout:
    """The unchanged picture."""
    del draw, drawable
    return Layout({}, {}, canvas.image.copy(), None, None)


def _start(draw: Draw, drawable: DrawableNames, name: str, card: int) -> int:
    """The level to start from: the card drawn or, if `name` isn't visible at that level, a visible one."""
    least = drawable.least_level(name)
    return card if card >= least else int(draw.random.integers(least, 6))
