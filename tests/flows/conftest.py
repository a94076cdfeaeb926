"""One tiny dataset for all tests that look at a finished one."""

from __future__ import annotations

import pytest

from flows.build import Outcome, build
from flows.options import Overrides, configure
from tests.conftest import write_photographs, write_tiny_config


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Outcome:
    """A dataset of three small photographs, at least one in each split; not to be changed."""
    place = tmp_path_factory.mktemp("tiny")
    write_photographs(place / "images", ["chelsea", "coffee", "china"])
    config = write_tiny_config(place / "tiny.yaml", place / "images", place / "out")
    outcome = build(configure(config, Overrides()))
    assert all(count > 0 for count in outcome.manifest.splits.values())
    return outcome
