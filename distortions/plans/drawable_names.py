"""The distortions a configuration allows: canonical names with their classes, and chains drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from distortions import Op, UnknownDistortion, catalog, resolve
from distortions.plans import pairs
from distortions.plans.draw import Draw
from schemas.errors import InputError

Names = tuple[str, ...]
LevelChoice = tuple[int, ...]


@dataclass(frozen=True)
class DrawableNames:
    """Names as operations take them (canonical, or a peer's alias) with their classes, index by index."""

    names: Names
    categories: tuple[str, ...]

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Probability of each partner of each name, see `pairs.partner_weights`."""
        return pairs.partner_weights(self.categories)

    def category(self, name: str) -> str:
        return self.categories[self.names.index(name)]

    def least_level(self, name: str) -> int:
        """The lowest level at which `name` is visible without the clean picture."""
        return pairs.least_level(self.category(name))

    def chain(self, draw: Draw, first: str, length: int) -> Names:
        """`first` with up to `length - 1` partners of other classes, in an allowed order drawn at random.

        Shorter if no partner is allowed. A third operation is drawn like a second one, from those
        allowed with both.
        """
        chosen = [self.names.index(first)]
        while len(chosen) < length:
            weights = np.prod(self.weights[chosen], axis=0)
            for j in np.flatnonzero(weights):
                if not pairs.orders([self.categories[i] for i in (*chosen, int(j))]):
                    weights[j] = 0.0
            if weights.sum() <= 0:
                break
            chosen.append(int(draw.random.choice(len(weights), p=weights / weights.sum())))
        orders = pairs.orders([self.categories[i] for i in chosen])
        order = orders[int(draw.random.integers(len(orders)))]
        return tuple(self.names[chosen[i]] for i in order)


def select_names(names: Sequence[str] | None) -> DrawableNames:
    """The catalog's names, or these, one for each distortion.

    A peer's alias stays an alias, so that its levels are the peer's own; the records of a plan have the
    canonical name. Raises InputError for an unknown name, an empty list, or a distortion given twice.
    """
    if names is None:
        return DrawableNames(tuple(e.name for e in catalog()), tuple(e.category for e in catalog()))
    if not names:
        raise InputError("distort.names is an empty list; name at least one distortion or leave the key out")
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        try:
            entry = resolve(name)
        except UnknownDistortion as error:
            raise InputError(f"distort.names: {error}") from error
        if entry.name in found:
            raise InputError(
                f"distort.names: {name!r} and {found[entry.name][0]!r} are the same distortion; keep one"
            )
        found[entry.name] = (name, entry.category)
    chosen = [found[name] for name in sorted(found)]
    return DrawableNames(tuple(name for name, _ in chosen), tuple(category for _, category in chosen))


def ops(names: Names, levels: LevelChoice) -> tuple[Op, ...]:
    """The operations of a chain at these levels."""
    return tuple(Op(name, level) for name, level in zip(names, levels, strict=True))
