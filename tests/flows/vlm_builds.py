"""Builds with a model for tests: a configuration, and what the servers' counts must be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import write_tiny_config
from tests.waiting import LAST_RESORT

FAKE = "tests.annotation.qa.vlm.truthful:answer"
CONTRADICT = "tests.annotation.qa.vlm.truthful:contradict"
BREAK_SCHEMA = "tests.annotation.qa.vlm.truthful:break_schema"


def write_vlm_config(
    path: Path,
    images: Path,
    out: Path,
    at: str,
    backend: str = "server",
    run: Mapping[str, Any] | None = None,
    **vlm: object,
) -> Path:
    """The tiny build with a model at the address `at`; `vlm` and `run` are more of their sections."""
    data = yaml.safe_load(write_tiny_config(path, images, out).read_text())
    data["annotate"] = {"backend": backend, "vlm": {"url": at, "deadline": LAST_RESORT} | vlm}
    data["run"] = {**data["run"], **(run or {})}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path
