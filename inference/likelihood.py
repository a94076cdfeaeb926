"""How likely a place is meant by the words of an answer, from what was read of each axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CELLS = np.array([1 / 6, 1 / 2, 5 / 6])
"""Centers of the three classes of an axis, in unit coordinates: where centroids of what is called so lie."""
SPREAD = 0.14
"""Standard deviation around them along an axis that the answer names: that of an even spread over a third is
.1, and distortions move the borders of a picture's regions, so also their centroids.
"""
UNNAMED = 0.2
"""The same around the middle along an axis that the answer doesn't name: "on the left" is said of what lies
about halfway up, else the answer had said more.
"""


def along(
    at: NDArray[np.float64], weights: NDArray[np.float64] | None, stands: NDArray[np.float64] = CELLS
) -> NDArray[np.float64]:
    """Likelihood (n,), not normalized, of unit coordinates (n,) along one axis.

    `weights` (3,) are the classes' probabilities, None for an axis that the answer doesn't name; `stands`
    (3,) is where each class is expected.
    """
    if weights is None:
        return np.asarray(np.exp(-0.5 * ((at - 0.5) / UNNAMED) ** 2))
    return np.asarray(weights @ np.exp(-0.5 * ((at[None] - stands[:, None]) / SPREAD) ** 2))
