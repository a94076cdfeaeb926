"""`build --until STAGE`: shards up to a stage and no dataset, which a later build anywhere reuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from annotation.regions.interface import PROPOSERS
from flows.cli import main
from flows.engine.build import build, build_until
from flows.engine.overrides import Overrides, configure
from tests.conftest import write_photographs, write_tiny_config

NAMES = ["coffee", "china"]


@pytest.fixture
def config(tmp_path: Path, prefect_url: str) -> Path:
    """A configuration whose store is shared by builds of several output folders."""
    write_photographs(tmp_path / "images", NAMES)
    return write_tiny_config(
        tmp_path / "tiny.yaml", tmp_path / "images", tmp_path / "out", f"store: {tmp_path / 'store'}\n"
    )


def test_a_stage_that_this_build_has_no_job_of(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(config), "--until", "pictures", "--json"]) == 0
    assert "regions" not in json.loads(capsys.readouterr().out.splitlines()[-1])["stages"]


def test_another_machine_goes_on_from_the_same_store(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_until(configure(config, Overrides(out=tmp_path / "gpu")), "regions")
    assert [(stage, count.new, count.reused) for stage, count in first.shards.items()] == [
        ("ingest", 2, 0),
        ("regions", 2, 0),
    ]
    assert first.counts["regions"] > 0
    assert not list((tmp_path / "store" / "distort").glob("**/*"))
    assert not (tmp_path / "gpu" / "datasets").exists()

    def refuse(*arguments: object) -> None:
        raise AssertionError("regions were made anew")

    monkeypatch.setattr("annotation.regions.proposers.graph.make", refuse)
    monkeypatch.setattr(PROPOSERS, "_made", {})
    outcome = build(configure(config, Overrides()))
    assert (outcome.shards["regions"].new, outcome.shards["regions"].reused) == (0, len(NAMES))
    assert outcome.shards["distort"].new == len(NAMES)
    assert outcome.manifest.quarantined == 0
    assert outcome.manifest.rows > 0


def test_the_summary_is_the_last_line(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(config), "--until", "regions", "--json"]) == 0
    *told, last = capsys.readouterr().out.splitlines()
    assert list(json.loads(last)["stages"]) == ["ingest", "regions"]
    assert not any("publish" in line for line in told)
    for new in (2, 0):
        assert main(["build", str(config), "--until", "ingest", "--json"]) == 0
        *told, last = capsys.readouterr().out.splitlines()
        summary = json.loads(last)
        assert summary["state"] == "until ingest"
        assert summary["dataset"] is None
        assert summary["shards"] == {"new": new, "reused": 2 - new}
        assert summary["stages"] == {"ingest": {"new": new, "reused": 2 - new}}
        assert "scan" in summary["seconds"]
        assert any("2 shards" in line or "2 reused" in line for line in told)
    assert main(["build", str(config), "--until", "ingest"]) == 0
    assert main(["plan", str(config), "--until", "ingest"]) == 0
    assert "nothing to do: all shards up to ingest already exist" in capsys.readouterr().out
    assert not (tmp_path / "out" / "datasets").exists()


def test_an_unknown_stage_is_wrong_use(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["build", str(config), "--until", "publish"])
    assert caught.value.code == 2
    assert "invalid choice: 'publish'" in capsys.readouterr().err


def test_too_many_failures_stop_it_as_any_build(config: Path, tmp_path: Path) -> None:
    (tmp_path / "images" / "bad.jpg").write_bytes(b"no picture")
    assert main(["build", str(config), "--until", "ingest"]) == 1
    settings = yaml.safe_load(config.read_text())
    settings["run"]["max_failure_rate"] = 0.5
    config.write_text(yaml.safe_dump(settings))
    assert build_until(configure(config, Overrides()), "ingest").quarantined == 1
