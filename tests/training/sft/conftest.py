"""Tiny models for all training tests, one per family, with the most frequent part of Qwen's vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from training.sft.tiny import save_tiny

RANKS = 20_000
"""Byte pairs kept: an eighth, so that the head, most of a tiny model's work, takes an eighth of the time."""


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Returns the folder of a family's tiny model, saved once; don't modify it."""

    @cache
    def folder(family: str) -> str:
        place = tmp_path_factory.mktemp("base") / family
        save_tiny(family, place, ranks=RANKS)
        return str(place)

    return folder
