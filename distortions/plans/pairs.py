"""Which distortion classes may share a region, in which order, and from which level each can be seen
(pairs.yaml).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from itertools import combinations, permutations
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

LEVELS = 5


@cache
def _table() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("pairs.yaml").read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    known = set(table["classes"])
    groups = [*table["forbidden"], *table["exclusive"], *table["one_way"], list(table["least_level"])]
    unknown = sorted({name for group in groups for name in group} - known)
    if unknown:
        raise ValueError(f"pairs.yaml names unknown classes: {', '.join(unknown)}")
    return table


def classes() -> tuple[str, ...]:
    """The distortion classes the rules know, in the table's order."""
    return tuple(_table()["classes"])


def least_level(category: str) -> int:
    """The lowest level (1-5) at which a distortion of this class can be seen without the clean picture."""
    return int(_table()["least_level"].get(category, 1))


@cache
def follows(first: str, then: str) -> bool:
    """Whether a distortion of class `then` may be applied after one of class `first` in the same region.

    A class never follows itself. Raises ValueError for a class the rules don't know.
    """
    table = _table()
    for name in (first, then):
        if name not in table["classes"]:
            raise ValueError(
                f"unknown distortion class {name!r}; the rules know {', '.join(table['classes'])}"
            )
    if first == then:
        return False
    pair = {first, then}
    if any(pair == set(group) for group in table["forbidden"]):
        return False
    if any(pair <= set(group) for group in table["exclusive"]):
        return False
    return [then, first] not in table["one_way"]


def chain_allowed(categories: Sequence[str]) -> bool:
    """Whether the classes may be applied in this order: every earlier one may be followed by every later
    one.
    """
    return all(follows(first, then) for first, then in combinations(categories, 2))


def any_order_allowed(categories: Sequence[str]) -> bool:
    """Whether the classes may be applied in every order, as a question about the order needs."""
    return all(follows(first, then) for first, then in permutations(categories, 2))


def orders(categories: Sequence[str]) -> list[tuple[int, ...]]:
    """The allowed orders of these classes as index tuples, in lexicographic order; [] when they can't go
    together.
    """
    indices = permutations(range(len(categories)))
    return [order for order in indices if chain_allowed([categories[i] for i in order])]


def expected_order_effect(one: str, other: str) -> float:
    """How far apart the two orders of these classes usually are: a guess for drawing pairs, no
    measurement.
    """
    return float(_order_effects().get(frozenset((one, other)), _table()["order_effect_unknown"]))


@cache
def _order_effects() -> dict[frozenset[str], float]:
    return {frozenset((a, b)): float(value) for a, b, value in _table()["order_effect"]}


@cache
def partner_weights(categories: tuple[str, ...]) -> NDArray[np.float64]:
    """How likely name j is drawn as partner of name i for names of these classes: (N, N), rows sum to 1 or 0.

    Classes with few allowed partners would be drawn too seldom and their partners too often if partners were
    drawn uniformly. The allowed pairs are scaled so that, with i uniform, j is as near to uniform as the
    rules let it be (Sinkhorn and Knopp's alternating scaling of rows and columns,
    https://doi.org/10.2140/pjm.1967.21.343).
    """
    size = len(categories)
    weights = np.zeros((size, size))
    for i, j in combinations(range(size), 2):
        if orders([categories[i], categories[j]]):
            weights[i, j] = weights[j, i] = 1.0
    for _ in range(200):
        columns = weights.sum(axis=0)
        weights = np.divide(weights, columns, out=np.zeros_like(weights), where=columns > 0)
        rows = weights.sum(axis=1, keepdims=True)
        weights = np.divide(weights, rows, out=np.zeros_like(weights), where=rows > 0)
    weights.setflags(write=False)
    return weights
