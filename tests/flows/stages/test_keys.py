"""Every job key of the reference builds is the pinned one: stores made before are reused whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.sections import HOW, LABEL
from tests.flows import pins, reference_builds
from tests.schemas.any_section import changes


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


@pytest.mark.parametrize("name", ["merged", "coco", "vlm-replay"])
def test_keys_say_nothing_of_how_the_work_is_done(name: str, tmp_path: Path) -> None:
    config = reference_builds.write_config(name, tmp_path)
    held = {key for key, roles, _ in changes(config) if HOW in roles or LABEL in roles}
    assert {"run.runner", "run.workers", "name"} <= held
    for key in held:
        config = next(changed for other, _, changed in changes(config) if other == key)
    assert config.run.runner != "serial"
    assert pins.keys_of(config) == json.loads(pins.KEYS.read_text(encoding="utf-8"))[name]
