"""DAO-G: the same distortions in different orders in different regions, where the order is visible."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from distortions.plans import layout, pairs, region_choice
from distortions.plans.canvas import Canvas, Ops
from distortions.plans.draw import Draw
from distortions.plans.drawable_names import DrawableNames, Names, ops
from distortions.plans.layout import Layout
from distortions.plans.planned import SkipReason, Unplannable

_REASON: SkipReason = "order-not-visible"
_COUNTS, _COUNT_SHARES = (2, 3), (0.65, 0.35)
_TRIPLES = 0.15
# Regions measured without success before a pair is given up.
_PATIENCE = 3


@dataclass(frozen=True)
class _Orders:
    """The operations in the order to ask about, and in the other orders that regions may carry."""

    target_order: Ops
    others: tuple[Ops, ...]


def plan(canvas: Canvas, draw: Draw, drawable: DrawableNames) -> Layout:
    """Lay out one sample. Raises Unplannable when no attempt finds an order visible in two regions.

    Only the target carries the order to ask about. In every distorted region, that order and each other order
    in the picture differ by at least `min_order_effect`.
    """
    weights = pairs.order_weights(drawable.categories)
    firsts = [name for name, row in zip(drawable.names, weights, strict=True) if row.any()]
    if not firsts:
        raise Unplannable(
            "no-allowed-pair", "no two of the configured distortions may go in both orders and show it"
        )
    count = int(draw.random.choice(_COUNTS, p=_COUNT_SHARES))
    pool = region_choice.groups(canvas, draw, count)
    candidates = [group[0] for group in pool]
    while True:
        for first in draw.deck("name", firsts):
            draw.spend(_REASON)
            chain = _chain(draw, drawable, weights, first)
            found = None
            for rise in (0, 1):
                orders = _orders(draw, drawable, chain, rise)
                found = _place(canvas, draw, orders, candidates, count)
                if found is not None:
                    break
            if found is None:
                continue
            layers, effect = found
            picture, strengths = layout.compose(canvas, layers)
            if layout.visible(canvas, strengths):
                target = next(iter(layers))
                target_order = tuple(op.name for op in layers[target])
                return Layout(layers, strengths, picture, "order", target, target_order, effect)


def _chain(draw: Draw, drawable: DrawableNames, weights: NDArray[np.float64], first: str) -> Names:
    """`first` with one partner, sometimes two, in random order."""
    chosen = [drawable.names.index(first)]
    for _ in range(2 if draw.chance(_TRIPLES) else 1):
        row = np.prod(weights[chosen], axis=0)
        if row.sum() <= 0:
            break
        chosen.append(int(draw.random.choice(len(row), p=row / row.sum())))
    return tuple(drawable.names[i] for i in draw.shuffle(chosen))


def _orders(draw: Draw, drawable: DrawableNames, chain: Names, rise: int) -> _Orders:
    """The chain at random levels as the order to ask about, and its other orders; `rise` raises levels."""
    levels = tuple(
        min(5, max(drawable.least_level(name), int(draw.random.integers(2, 5))) + rise) for name in chain
    )
    target_order = ops(chain, levels)
    others = [order for order in permutations(target_order) if order != target_order]
    return _Orders(target_order, tuple(draw.shuffle(others)))


def _place(
    canvas: Canvas, draw: Draw, orders: _Orders, candidates: list[int], count: int
) -> tuple[dict[int, Ops], float] | None:
    """The target with the order to ask about, up to `count - 1` other regions, the target's least effect.

    None when the order is visible in fewer than two regions.
    """
    layers: dict[int, Ops] = {}
    failures = 0
    for index in [candidates[0], *draw.shuffle(candidates[1:])]:
        if len(layers) == count or failures == _PATIENCE:
            break
        if not canvas.disjoint_from(index, layers):
            continue
        # The target's order must differ from all orders to come, another region's only from the target's.
        turn = (len(layers) - 1) % len(orders.others)
        against = orders.others[: count - 1] if not layers else (orders.others[turn],)
        if _distinct(canvas, index, orders.target_order, against):
            layers[index] = orders.target_order if not layers else against[0]
        else:
            failures += 1
    if len(layers) < 2:
        return None
    target, *others = layers
    effects = [canvas.order_effect(target, orders.target_order, layers[other]) for other in others]
    return layers, round(min(effects), 3)


def _distinct(canvas: Canvas, index: int, target_order: Ops, others: tuple[Ops, ...]) -> bool:
    """Whether the order to ask about is visibly different from each of the others inside the region."""
    least = canvas.config.min_order_effect
    return all(canvas.order_effect(index, target_order, other) >= least for other in others)
