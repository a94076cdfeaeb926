"""Which distortion classes may share a region, in which order, and from which level each is visible."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from itertools import combinations, permutations
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from schemas.hashing import content_key

LEVELS = 5
_ROUNDS = 200
# Pairs whose order is visible less often than this are not worth an attempt.
_SELDOM = 0.3


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


def rules_digest() -> str:
    """Hash of the table in pairs.yaml: part of a distort shard's key, so that new rules give new samples."""
    return content_key(_table())


def classes() -> tuple[str, ...]:
    """The distortion classes the rules know, in the table's order."""
    return tuple(_table()["classes"])


def least_level(category: str) -> int:
    """The lowest level (1-5) at which a distortion of this class is visible without the clean picture."""
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
    """Whether the classes may be applied in this order: each later one may follow each earlier one."""
    return all(follows(first, then) for first, then in combinations(categories, 2))


def any_order_allowed(categories: Sequence[str]) -> bool:
    """Whether the classes may be applied in every order, as a question about the order needs."""
    return all(follows(first, then) for first, then in permutations(categories, 2))


def orders(categories: Sequence[str]) -> list[tuple[int, ...]]:
    """The allowed orders of these classes as index tuples, in lexicographic order; [] if there are none."""
    indices = permutations(range(len(categories)))
    return [order for order in indices if chain_allowed([categories[i] for i in order])]


def order_visible(one: str, other: str) -> float:
    """How often the order of two distortions of these classes is visible, 0 to 1: a guess, to draw pairs."""
    return _order_visible().get(frozenset((one, other)), float(_table()["order_visible_unknown"]))


@cache
def _order_visible() -> dict[frozenset[str], float]:
    return {frozenset((a, b)): float(share) for a, b, share in _table()["order_visible"]}


def balance_weights(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale (N, N) non-negative weights so that rows and columns sum to 1, as nearly as their zeros allow.

    With i drawn uniformly and j from row i, j is then as close to uniform as possible (Sinkhorn and Knopp's
    alternating scaling, https://doi.org/10.2140/pjm.1967.21.343). Rows of zeros stay.
    """
    scaled = weights.copy()
    for _ in range(_ROUNDS):
        columns = scaled.sum(axis=0)
        scaled = np.divide(scaled, columns, out=np.zeros_like(scaled), where=columns > 0)
        rows = scaled.sum(axis=1, keepdims=True)
        scaled = np.divide(scaled, rows, out=np.zeros_like(scaled), where=rows > 0)
    return scaled


@cache
def order_weights(categories: tuple[str, ...]) -> NDArray[np.float64]:
    """How likely name j is drawn to share an order question with name i: (N, N), rows sum to 1 or 0.

    0 where one of the two orders is not allowed or the order is seldom visible.
    """
    size = len(categories)
    weights = np.zeros((size, size))
    for i, j in combinations(range(size), 2):
        if any_order_allowed([categories[i], categories[j]]):
            share = order_visible(categories[i], categories[j])
            weights[i, j] = weights[j, i] = share if share >= _SELDOM else 0.0
    weights = balance_weights(weights)
    weights.setflags(write=False)
    return weights


@cache
def partner_weights(categories: tuple[str, ...]) -> NDArray[np.float64]:
    """How likely name j is drawn as partner of name i for names of these classes: (N, N), rows sum to 1 or 0.

    Classes with few allowed partners would be drawn too seldom and their partners too often if partners were
    drawn uniformly, so `balance_weights` evens out the allowed pairs.
    """
    size = len(categories)
    weights = np.zeros((size, size))
    for i, j in combinations(range(size), 2):
        if orders([categories[i], categories[j]]):
            weights[i, j] = weights[j, i] = 1.0
    weights = balance_weights(weights)
    weights.setflags(write=False)
    return weights
