"""The ablation's runs answer test rows, and what was answered isn't asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.engine.build import Outcome
from flows.evaluation.ablation import evaluate_mixture
from inference.evaluation.local_model import LanguageModel
from tests.inference.evaluation.toys import save_talkative
from training.sft.train_config import TrainOptions


def test_a_runs_answers_are_scored_and_kept(
    tiny: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    ask = LanguageModel.ask

    def noted(self: LanguageModel, items: Any) -> Any:
        asked.extend(item.id for item in items)
        return ask(self, items)

    monkeypatch.setattr(LanguageModel, "ask", noted)
    save_talkative(tmp_path / "run" / "adapter")
    options = TrainOptions.model_validate(
        {
            "name": "toy", "out": tmp_path, "model": {"tiny": "internvl", "dtype": "float32"},
            "data": {"dataset": tiny.folder}, "run": {"steps": 1, "device": "cpu"},
        }
    )  # fmt: skip
    scores = evaluate_mixture(options, 5, max_tokens=8)
    found = scores(tmp_path / "run")
    assert len(asked) == 5
    assert found["all: no answer"] < 1.0
    assert {name.split(": ")[1] for name in found} & {"gIoU", "F1"}
    assert scores(tmp_path / "run") == found
    assert len(asked) == 5
