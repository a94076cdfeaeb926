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
Levels = tuple[int, ...]


@dataclass(frozen=True)
class Vocabulary:
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
        """The lowest level at which `name` can be seen without the clean picture."""
        return pairs.least_level(self.category(name))

    def chain(self, draw: Draw, first: str, length: int) -> Names:
        """`first` with up to `length - 1` partners of other classes, in an allowed order drawn at random.

        Shorter where no partner is allowed. A third operation is drawn like a second one, among those that go
        with both.
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


def vocabulary(names: Sequence[str] | None) -> Vocabulary:
    """The catalogue's names, or those given, one for each distortion.

    A peer's alias stays an alias, so that its levels are the peer's own; the records a plan writes hold the
    canonical name. Raises InputError for an unknown name, an empty list, and a distortion named twice.
    """
    if names is None:
        return Vocabulary(tuple(e.name for e in catalog()), tuple(e.category for e in catalog()))
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
    return Vocabulary(tuple(name for name, _ in chosen), tuple(category for _, category in chosen))


def ops(names: Names, levels: Levels) -> tuple[Op, ...]:
    """The operations of a chain at these levels."""
    return tuple(Op(name, level) for name, level in zip(names, levels, strict=True))
