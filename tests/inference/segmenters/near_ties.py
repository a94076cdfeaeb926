"""An answer judged against another path's logits and scores; what float noise decides may fall either way."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.grounded_answer import Segmented
from inference.segmenters.select import choose

LOGIT_NOISE = 2e-2
"""A pixel whose logit is nearer to 0 may lie in the mask or not; logits reach some hundreds."""
SCORE_NOISE = 1e-4
"""Scores that differ by less are a tie."""


def assert_chosen(
    item: Segmented, logits: NDArray[np.float32], scores: NDArray[np.float32], pixels: NDArray[np.int64]
) -> None:
    """`item` is what the rule chooses of (C, H, W) logits and (C,) scores for (n, 2) x, y pixels."""
    possible = set()
    for level in (0.0, -LOGIT_NOISE, LOGIT_NOISE):
        for raised in np.vstack([np.zeros(len(scores)), np.eye(len(scores)) * SCORE_NOISE]):
            chosen = choose(logits > level, scores + raised, pixels)
            possible.add((chosen.candidate, chosen.fallback))
    assert (item.candidate, item.fallback) in possible
    assert_cut_at_zero(item.mask, logits[item.candidate])
    assert item.score == pytest.approx(min(1, max(0, scores[item.candidate])), abs=SCORE_NOISE)


def assert_cut_at_zero(mask: NDArray[np.bool_], logits: NDArray[np.float32]) -> None:
    """`mask` is where (H, W) logits are above 0."""
    differ = mask != (logits > 0)
    assert (np.abs(logits[differ]) <= LOGIT_NOISE).all()
    assert np.count_nonzero(differ) <= 0.001 * mask.size


def assert_same_answer(item: Segmented, other: Segmented) -> None:
    """Both paths chose the same, or two candidates that tie."""
    assert item.score == pytest.approx(other.score, abs=SCORE_NOISE)
    if item.candidate == other.candidate:
        assert np.count_nonzero(item.mask != other.mask) <= 0.001 * item.mask.size
