"""One tiny dataset for all tests that look at a finished one, and what `verify` says of damaged copies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from flows.cli import main
from flows.engine.build import Outcome, build
from flows.engine.overrides import Overrides, configure
from schemas.foreign_text import escape_hidden
from tests.conftest import photograph, write_tiny_config
from tests.flows import damage


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Outcome:
    """A dataset of two small photographs, one in each split; not to be changed.

    The files are BMP: without compression their bytes, which decide splits and seeds, are those everywhere.
    """
    place = tmp_path_factory.mktemp("tiny")
    (place / "images").mkdir()
    for name in ("coffee", "china"):
        Image.fromarray(photograph(name, 192)).save(place / "images" / f"{name}.bmp")
    config = write_tiny_config(place / "tiny.yaml", place / "images", place / "out")
    outcome = build(configure(config, Overrides()))
    assert all(count > 0 for count in outcome.manifest.splits.values())
    return outcome


class Verdict:
    """What `verify --json` says: exit code, fault lines and the faults of the last line."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        capsys.readouterr()
        self.code = main(["verify", str(folder), "--json"])
        *self.lines, last = capsys.readouterr().out.splitlines()
        self.summary = json.loads(last)
        assert self.code == (1 if self.summary["faults"] else 0)
        assert self.summary["ok"] == (self.code == 0)
        if self.code:
            told = [f"{f['kind']}: {f['place']}: {f['what']}" for f in self.summary["faults"]]
            assert self.lines == [escape_hidden(line) for line in told]

    def kinds(self) -> set[str]:
        return {fault["kind"] for fault in self.summary["faults"]}

    def of(self, kind: str) -> list[str]:
        return [line for line in self.lines if line.startswith(f"{kind}: ")]


@pytest.fixture
def dataset(tiny: Outcome, tmp_path: Path) -> Path:
    """A copy of the tiny dataset to damage."""
    return damage.copy_dataset(tiny.folder, tmp_path / "dataset")


@pytest.fixture
def verdict(dataset: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], Verdict]:
    """Verifies the copy when called."""
    return lambda: Verdict(dataset, capsys)


@pytest.fixture(scope="session")
def rows(tiny: Outcome) -> list[damage.Values]:
    """The rows of the tiny dataset with their pictures."""
    return damage.all_rows(tiny.folder)
