"""Tiny models for all tests of training, one of a family, with the commonest part of Qwen's vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from training.sft.tiny import save_tiny

RANKS = 20_000
"""Byte pairs of the vocabulary: an eighth, so that the head, most of a tiny model's work, takes an eighth."""


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a family's tiny model, made once; not to be changed."""

    @cache
    def folder(family: str) -> str:
        place = tmp_path_factory.mktemp("base") / family
        save_tiny(family, place, ranks=RANKS)
        return str(place)

    return folder
