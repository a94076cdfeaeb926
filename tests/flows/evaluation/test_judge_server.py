"""`evaluate` on published files and with a judge, as typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.engine.build import Outcome
from inference.evaluation.benchmarks.q_bench_a1 import QBenchA1
from inference.evaluation.judge import ROUNDS
from inference.evaluation.rubric import load_rubric
from schemas.dataset import read_rows, split_files
from tests.inference.evaluation.judge_server import JudgeServer, Request
from tests.inference.evaluation.published_files import write_q_bench

JUDGED = {task for name in ("0-10", "0-5") for task in load_rubric(name).tasks}


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The one evaluation of the last line that `evaluate ARGUMENTS --json` prints."""
    capsys.readouterr()
    assert main(["evaluate", *arguments, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out.splitlines()[-1])["evaluations"]
    assert isinstance(found, dict)
    return found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line that wrong use or unreadable input prints."""
    capsys.readouterr()
    assert main(["evaluate", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_the_truth_scores_best_on_published_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_q_bench(tmp_path / "data")
    place = ["--data", str(data), "--out", str(tmp_path / "out")]
    found = told(capsys, "q-bench-a1", "--model", "oracle", *place)
    assert found["items"] == 4
    assert {m["measure"]: m["value"] for m in found["measured"]} == {
        measure.name: float(measure.better == "higher") for measure in QBenchA1().measures
    }
    (data / "images" / "rocket.jpg").unlink()
    line = refused(capsys, "q-bench-a1", "--model", "oracle", *place)
    assert "1 of 3 files are missing, the first 'rocket.jpg'" in line


@pytest.mark.parametrize("name", ["q-bench-a1", "q-ground", "kadid10k"])
def test_a_folder_without_the_files_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert str(tmp_path) in refused(capsys, name, "--model", "oracle", "--data", str(tmp_path))


def test_a_judge_beside_the_datasets_own_scores(
    tiny: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for path, _ in split_files(tiny.folder, "test") for row in read_rows(path)]
    judged = [row for row in rows if row.task in JUDGED]
    assert len(judged) > 4

    def script(request: Request) -> str:
        """The highest score: reference and candidate of an oracle are the same."""
        prompt = request["messages"][-1]["content"]
        reference, candidate = (
            prompt.split(f"<{part}>\n")[1].split(f"\n</{part}>")[0] for part in ("reference", "candidate")
        )
        assert request["model"] == "judge-1"
        return "5" if reference.startswith(candidate.splitlines()[0]) else "0"

    place = ["--data", str(tiny.folder), "--out", str(tmp_path), "--model", "oracle"]
    with JudgeServer(script) as server:
        with_judge = ["--judge", server.url, "--judge-model", "judge-1"]
        found = told(capsys, "spider", *place, *with_judge)
        asked = len(server.requests)
        assert asked <= len(judged) * ROUNDS
        assert len({json.dumps(request) for request in server.requests}) == asked
        again = told(capsys, "spider", *place, *with_judge)
        assert len(server.requests) == asked
    assert again == found
    values = {(m["task"], m["measure"]): m["value"] for m in found["measured"]}
    assert values["grounding_hyd", "judge 0-5"] == 5.0
    assert values["global_description", "judge 0-10"] == 5.0
    assert ("referring_short", "judge 0-10") not in values
    assert found["judge"]["model"] == "judge-1"
    assert found["judge"]["rubrics"]["0-5"]["version"] == load_rubric("0-5").version
    assert found["judge_failures"] == {}


def test_only_the_dataset_takes_a_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["evaluate", "kadid10k", "--model", "oracle", *place, "--judge", "http://x/v1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--judge: no judge scores the answers to kadid10k" in line
    assert list(tmp_path.iterdir()) == []
