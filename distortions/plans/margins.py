"""How far the target's strength must lead, given how many regions compete and how large they are."""

from __future__ import annotations

import math

from schemas.config import DistortConfig

# Strength predicts a mean opinion with this error (RMSE on KADID-10k) on a region that is large enough.
_ERROR = 0.42
# From this share of the picture up, regions are compared without additional error; at 2% the strength is .24
# too low with a standard deviation of .60 (measured against the same distortion on the whole picture).
_LARGE = 0.05
_SMALL, _SMALL_BIAS, _SMALL_ERROR = 0.02, 0.24, 0.60


def required_lead(target_share: float, other_share: float, distorted: int, config: DistortConfig) -> float:
    """The least difference of strength between the target and another distorted region.

    Shares are areas over the picture's area (0-1], `distorted` the number of distorted regions. Regions of 5%
    and more need `margin_two` or, with three or more of them, `margin_many`. A smaller region's strength is
    less certain: the margin grows with the standard error of the difference, so that the answer stays
    equally likely to be right, plus the possible difference of the two regions' biases.
    """
    base = config.margin_two if distorted == 2 else config.margin_many
    target, other = _smallness(target_share), _smallness(other_share)
    spread = math.sqrt(1 + (_SMALL_ERROR**2) * (target**2 + other**2) / (2 * _ERROR**2))
    return base * spread + _SMALL_BIAS * abs(target - other)


def _smallness(share: float) -> float:
    """0 for a region of 5% and more, 1 at 2%, growing with the logarithm below."""
    if share >= _LARGE:
        return 0.0
    return math.log(_LARGE / max(share, 1e-6)) / math.log(_LARGE / _SMALL)
