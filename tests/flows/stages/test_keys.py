"""Every job key of the reference builds is the pinned one: stores made before are reused whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flows import pins, reference_builds


@pytest.mark.parametrize("name", ["demo", *reference_builds.SECTIONS])
def test_job_keys_are_the_pinned_ones(name: str, tmp_path: Path) -> None:
    pinned: dict[str, list[str]] = json.loads(pins.KEYS.read_text(encoding="utf-8"))[name]
    found = pins.keys(name, tmp_path)
    assert list(found) == list(pinned)
    changed = next((stage for stage in pinned if found[stage] != pinned[stage]), None)
    assert changed is None, (
        f"the job keys of {changed} changed: shards made before are lost; undo it, or raise VERSION in "
        f"{pins.file_of(str(changed))} and run `python -m tests.flows.pins`"
    )
