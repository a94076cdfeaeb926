"""One tiny model that says something, for all tests of evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.inference.evaluation.toys import save_talkative


@pytest.fixture(scope="session")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2.5-VL's folder; not to be changed."""
    folder: Path = tmp_path_factory.mktemp("talkative")
    save_talkative(folder)
    return folder
