"""Crafted dialogues: each wrong one is caught by the check named for it, each right one passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from annotation.qa import check_dialogue
from schemas.records import Message
from tests.annotation.qa.samples import region

DATA = Path(__file__).parent / "data"
SCENES: dict[str, Any] = yaml.safe_load((DATA / "scenes.yaml").read_text())
RIGHT: list[dict[str, Any]] = yaml.safe_load((DATA / "right.yaml").read_text())
WRONG: list[dict[str, Any]] = yaml.safe_load((DATA / "wrong.yaml").read_text())


def failures(case: dict[str, Any]) -> list[tuple[str, str]]:
    scene = SCENES[case["scene"]]
    regions = [
        region(int(key[1:]), label, cell, list(distortions.items()), strength)
        for key, (label, cell, strength, distortions) in scene["regions"].items()
    ]
    messages = [
        Message(role="user" if i % 2 == 0 else "assistant", content=text)
        for i, text in enumerate(case["turns"])
    ]
    whole = bool(scene.get("whole", False))
    targets = [case["target"]] if "target" in case else []
    found = check_dialogue(case["task"], messages, regions, targets, whole, scene.get("order_effect"))
    return [(failure.name, failure.reason) for failure in found]


@pytest.mark.parametrize("case", RIGHT, ids=[f"{c['scene']}-{c['task']}-{i}" for i, c in enumerate(RIGHT)])
def test_right_answers_pass(case: dict[str, Any]) -> None:
    assert failures(case) == []


@pytest.mark.parametrize("case", WRONG, ids=[f"{c['fails']}-{c['task']}-{i}" for i, c in enumerate(WRONG)])
def test_wrong_answers_are_caught_by_name(case: dict[str, Any]) -> None:
    assert case["fails"] in [name for name, _ in failures(case)]


def test_there_are_enough_of_both() -> None:
    assert len(RIGHT) >= 60
    assert len(WRONG) >= 60
