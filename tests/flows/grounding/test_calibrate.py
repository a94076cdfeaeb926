"""Temperatures from a model's answers to grounding rows, the file that keeps them, and who may use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cli import main
from flows.grounding.calibrate import Asked, ask_rows, fitted, grounding_rows, shares_inside
from flows.grounding.open import open_spider
from inference.calibration import save
from inference.points import ONE, Temperatures
from inference.segmenters import make_segmenter
from schemas import masks
from schemas.errors import InputError
from schemas.pictures import encode
from schemas.records import Message
from tests.conftest import photograph
from tests.inference.scripted import Scripted, vocabulary
from tests.inference.small import folder_of
from tests.schemas import rows as make
from tests.training.published import Entry, publish

PLACES = ("top left", "right", "bottom right", "left", "center")


class Sure(Scripted):
    """Says each row's place, sure of it; every third answer is wrong, and as sure."""

    def __init__(self) -> None:
        said = ["top left", "right", "top left", "left", "center", "bottom left"]
        super().__init__(*(f"It looks worst at the {place} of the picture." for place in said), sure=12.0)
        self.vocabulary = vocabulary()


def entries(count: int) -> list[Entry]:
    picture = encode(np.ascontiguousarray(photograph("coffee", 64)))
    found: list[Entry] = []
    for number in range(count):
        row = make.row(f"row-{number:03d}")
        region = row.regions[0].model_copy(update={"position": PLACES[number % len(PLACES)]})
        update: dict[str, Any] = {
            "task": "grounding_hyd",
            "regions": [region],
            "messages": [Message(role="user", content=f"Where? {number}"), *row.messages[1:]],
        }
        if number % 7 == 6:
            update |= {"whole_image": True, "target_region_ids": []}
        elif number % 7 == 5:
            update |= {"task": "referring_short"}
        found.append((row.model_copy(update=update), [] if number % 7 == 4 else [picture]))
    return found


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("data") / "rows", entries(28), split="test")


def test_rows_about_one_region_are_asked(dataset: Path) -> None:
    rows = grounding_rows(dataset, "test", None)
    kept = [number for number in range(28) if number % 7 < 4]
    wanted = {f"Where? {number}": PLACES[number % 5] for number in kept}
    assert {row.question: row.place for row in rows} == wanted
    assert len(rows) == len(wanted)
    assert rows[0].picture.shape[1] == 64
    assert len(grounding_rows(dataset, "test", 3)) == 3
    with pytest.raises(InputError, match="no rows in the split"):
        grounding_rows(dataset, "train", None)


def test_a_model_that_is_too_sure_is_cooled(dataset: Path) -> None:
    source: Any = Sure()
    rows = grounding_rows(dataset, "test", None)
    found = fitted(source, rows, ask_rows(source, rows), "grid")
    assert found.model == "scripted"
    for fit in (found.horizontal, found.vertical):
        assert fit.temperature > 2
        assert fit.nll < fit.nll_before
        assert fit.rows > 3
    silent: Any = Scripted("It is sharp.")
    with pytest.raises(InputError, match="names no place"):
        fitted(silent, rows, ask_rows(silent, rows), "grid")


@pytest.mark.parametrize("strategy", ["paper", "grid"])
def test_points_are_counted_at_each_temperature(strategy: Any) -> None:
    """So hot that nothing is sure, the paper's point moves to the middle; the grid's falls back to the words.

    An answer without a place counts as one outside.
    """
    picture = photograph("coffee", 64)
    where = np.zeros(picture.shape[:2], bool)
    where[: where.shape[0] // 3, : where.shape[1] // 3] = True
    rows = [Asked(picture, "Where?", "top left", masks.encode(where))] * 2
    source: Any = Scripted("It is the top left.", "Nothing is wrong.", sure=12.0)
    spoken = ask_rows(source, rows)
    sure, unsure = shares_inside(rows, spoken, strategy, (ONE, Temperatures(1e6, 1e6)))
    assert sure == 0.5
    assert unsure == (0.0 if strategy == "paper" else 0.5)


def test_the_file_serves_its_model_alone(dataset: Path, tmp_path: Path) -> None:
    folder = str(folder_of("qwen2.5-vl"))
    source: Any = Sure()
    source.name = folder
    rows = grounding_rows(dataset, "test", None)
    found = fitted(source, rows, ask_rows(source, rows), "grid")
    path = tmp_path / "calibration.json"
    save(found, path)
    given: dict[str, Any] = {
        "revision": None, "server": None, "segmenter": make_segmenter("graph"), "max_tokens": 5,
        "device": "cpu", "dtype": "auto", "calibration": path,
    }  # fmt: skip
    for strategy in ("grid", "proposal"):
        spider = open_spider(folder, strategy=strategy, **given)  # type: ignore[arg-type]
        assert spider.temperatures.horizontal == found.horizontal.temperature
    with pytest.raises(InputError, match="was made for strategy"):
        open_spider(folder, strategy="paper", **given)
    with pytest.raises(InputError, match="was made for model"):
        open_spider("another", strategy="grid", **given)


def test_the_command_says_when_nothing_is_read(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["calibrate", str(dataset), "--model", str(folder_of("qwen2.5-vl")), "--limit", "2"]
    out = tmp_path / "c.json"
    assert main([*command, "--max-tokens", "4", "--out", str(out)]) == 2
    assert "names no place" in capsys.readouterr().err
    assert not out.exists()


def test_the_command_writes_the_file(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sure(*_: Any) -> Sure:
        return Sure()

    monkeypatch.setattr("inference.sources.ModelSource", sure)
    out = tmp_path / "c.json"
    command = ["calibrate", str(dataset), "--model", str(folder_of("qwen2.5-vl")), "--out", str(out)]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("horizontal temperature ")
    assert lines[2].startswith("points     0.")
    assert lines[2].endswith("rows")
    assert lines[-1] == str(out)
    assert out.is_file()
