"""Temperatures: recovered from answers that are too sure, kept with their model, refused for another."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from inference.calibration import Example, calibrate, examples, expected_calibration_error, load, save
from inference.place_tokens import Vocabulary
from inference.points import class_probabilities
from inference.words import CLASSES
from schemas.errors import InputError
from schemas.hashing import rng
from tests.inference import tokenizers
from tests.inference.test_points import spoken

TEMPERATURE = 2.5


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.of(tokenizers.qwen())


def too_sure(vocabulary: Vocabulary, rows: int) -> list[Example]:
    """Examples whose truth is drawn from their own probabilities at TEMPERATURE: an overconfident model's."""
    draw = rng(0, "too sure")
    found = []
    for k in range(rows):
        axis = ("horizontal", "vertical")[k % 2]
        logits = np.full(vocabulary.columns.size, -60.0, np.float32)
        for name in CLASSES[axis]:  # type: ignore[index]
            logits[vocabulary.classes[name][:2]] = draw.normal(0, 5, 2)
        likely = class_probabilities(logits, vocabulary, axis, TEMPERATURE)  # type: ignore[arg-type]
        truth = CLASSES[axis][int(draw.choice(3, p=likely))]  # type: ignore[index]
        found.append(Example(axis, logits, int(vocabulary.classes[truth][0]), truth))  # type: ignore[arg-type]
    return found


def test_the_temperature_of_overconfident_answers_is_found(vocabulary: Vocabulary) -> None:
    found = calibrate(too_sure(vocabulary, 1200), vocabulary, "a/model@main", "prompts-1")
    for fit in (found.horizontal, found.vertical):
        assert fit.rows == 600
        assert fit.temperature == pytest.approx(TEMPERATURE, rel=0.2)
        assert fit.nll < fit.nll_before - 0.05
        assert fit.ece < 0.06 < fit.ece_before
    assert found.temperatures.of("vertical") == found.vertical.temperature


def test_paper_leaves_the_center_out(vocabulary: Vocabulary) -> None:
    rows = too_sure(vocabulary, 200)
    found = calibrate(rows, vocabulary, "m", "p", "paper")
    assert found.horizontal.rows == sum(r.axis == "horizontal" and r.truth != "center" for r in rows)
    assert 0 < found.horizontal.rows < 100


def test_nothing_to_fit_leaves_temperature_one(vocabulary: Vocabulary) -> None:
    found = calibrate([], vocabulary, "m", "p")
    assert (found.horizontal.temperature, found.vertical.rows, found.vertical.ece) == (1.0, 0, 0.0)


def test_examples_take_the_named_axes(vocabulary: Vocabulary) -> None:
    answer = spoken(tokenizers.qwen(), vocabulary, "The wall on the left, not on the right.", {" left": 1.0})
    (found,) = examples(answer, vocabulary, "top left")
    assert (found.axis, found.truth) == ("horizontal", "left")
    answer = spoken(tokenizers.qwen(), vocabulary, "The wall in the center.")
    assert [(e.axis, e.truth) for e in examples(answer, vocabulary, "bottom")] == [
        ("horizontal", "center"), ("vertical", "bottom"),
    ]  # fmt: skip
    assert examples(spoken(tokenizers.qwen(), vocabulary, "It is sharp."), vocabulary, "left") == []
    with pytest.raises(ValueError, match="not a place"):
        examples(answer, vocabulary, "somewhere")


def test_a_file_keeps_it(vocabulary: Vocabulary, tmp_path: Path) -> None:
    found = calibrate(too_sure(vocabulary, 100), vocabulary, "a/model@main", "prompts-1")
    path = tmp_path / "deep" / "temperatures.json"
    save(found, path)
    assert load(path, "a/model@main", "prompts-1", "grid") == found
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    for wrong, word in (
        (("b", "prompts-1", "grid"), "model"), (("a/model@main", "prompts-2", "grid"), "prompt"),
        (("a/model@main", "prompts-1", "paper"), "strategy"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"was made for {word}"):
            load(path, *wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda told: told.pop("model"), "model"),
        (lambda told: told["horizontal"].update(temperature=0), "horizontal.temperature"),
        (lambda told: told["horizontal"].update(temperature="NaN"), "horizontal.temperature"),
        (lambda told: told.update(more=1), "more"),
        (lambda told: told.update(format=2), "format"),
    ],
)
def test_a_file_that_says_nonsense_is_refused(
    vocabulary: Vocabulary, tmp_path: Path, change: object, told: str
) -> None:
    content = json.loads(calibrate([], vocabulary, "m", "p").model_dump_json())
    assert callable(change)
    change(content)
    path = tmp_path / "t.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"t\.json: {told}"):
        load(path, "m", "p", "grid")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[" * 100_000, b"{}" * 100_000, b"null"])
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"t\.json"):
        load(path, "m", "p", "grid")
    with pytest.raises(InputError, match=r"missing\.json"):
        load(tmp_path / "missing.json", "m", "p", "grid")


def test_the_calibration_error_by_hand() -> None:
    confidence, correct = [0.95, 0.95, 0.55, 0.55, 0.1], [1, 1, 1, 0, 0]
    by_hand = (2 * abs(1.0 - 0.95) + 2 * abs(0.5 - 0.55) + 1 * abs(0.0 - 0.1)) / 5
    assert expected_calibration_error(confidence, correct, bins=10) == pytest.approx(by_hand)
    assert expected_calibration_error([1.0, 0.0], [1, 0]) == 0.0
    assert math.isnan(expected_calibration_error([], []))
    with pytest.raises(ValueError, match="from 0 to 1"):
        expected_calibration_error([1.01], [1])
