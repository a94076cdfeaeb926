"""What each stage makes of one tiny input is the pinned output, or its VERSION was raised."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distortions.plans import PlannedSample
from flows.stages import distort
from tests.flows import pins


def pinned() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(pins.OUTPUTS.read_text(encoding="utf-8"))
    return found


def test_no_output_changes_without_a_new_version(tmp_path: Path) -> None:
    assert pins.complaint(pins.outputs(tmp_path), pinned()) is None


def test_a_stage_changed_by_hand_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One gray level more in one corner of each picture, and nothing else."""
    whole = distort.plan_samples

    def changed(*arguments: Any) -> Iterator[Any]:
        for outcome in whole(*arguments):
            if isinstance(outcome, PlannedSample):
                outcome.picture[0, 0, 0] ^= 1
            yield outcome

    monkeypatch.setattr(distort, "plan_samples", changed)
    line = pins.complaint(pins.outputs(tmp_path), pinned())
    assert line == "the output of distort changed: raise VERSION in flows/stages/distort.py"


def test_a_raised_version_asks_for_new_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {name: dict(values) for name, values in pinned().items()}
    found["merge"] |= {"version": found["merge"]["version"] + 1, "output": "0" * 64}
    assert pins.complaint(found, pinned()) == (
        "the VERSION of merge was raised: run `python -m tests.flows.pins` and commit what it writes"
    )
