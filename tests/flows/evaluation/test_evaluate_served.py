"""`evaluate --server` as typed: a dataset and published files, and what doesn't go with a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.engine.build import Outcome
from schemas.config import API_KEY_VARIABLE
from tests.inference.evaluation.chat_server import serving
from tests.inference.evaluation.published_files import write_q_bench


def said(question: str, request: dict[str, Any]) -> str:
    return "The area in the top left is blurred." if request.get("logprobs") else "A"


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["evaluate", *arguments, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out.splitlines()[-1])["evaluations"]
    return found


def test_a_dataset_and_its_baselines(
    tiny: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "secret-key")
    with serving(said) as server:
        place = ["--model", "m", "--server", server.url, "--data", str(tiny.folder), "--out", str(tmp_path)]
        model, *others = told(capsys, "spider", *place, "--limit", "12", "--baselines")
        asked = len(server.asked)
        assert asked >= 12
        assert any("logprobs" in request for request in server.asked)
        (again,) = told(capsys, "spider", *place, "--limit", "12")
        assert len(server.asked) == asked
    assert again == model
    assert [one["model"] for one in others] == ["center", "whole", "random", "noun"]
    assert (model["model"], model["errors"], model["settings"]["server"]) == ("m", {}, server.url)
    assert not any(b"secret-key" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_words_need_no_logprobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_q_bench(tmp_path / "data")
    with serving(said, logprobs=False) as server:
        place = ["--server", server.url, "--data", str(data), "--out", str(tmp_path / "out")]
        (found,) = told(capsys, "q-bench-a1", "--model", "m", *place)
    assert {m["measure"]: m["value"] for m in found["measured"]}["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["kadid10k", "--model", "m"], "load the model here"),
        (["spider", "--model", "oracle"], "a baseline"),
        (["spider", "--model", "noun"], "a baseline"),
        (["spider", "--model", "m", "--dtype", "float32"], "--dtype: with --server nothing uses it"),
        (["spider", "--model", "m", "--device", "cpu"], "--device: with --server nothing uses it"),
        (["spider", "--model", "m", "--revision", "x"], "--revision: with --server nothing uses it"),
        (["spider", "--model", "m", "--server", "http://me:secret@x/v1"], "has no user"),
        (["spider", "--model", "m", "--server", "http://x/v1?key=secret"], "has no user"),
        (["q-ground", "--model", "m", "--server", "ftp://x"], "isn't the address of a server"),
    ],
)
def test_what_does_not_go_with_a_server_is_one_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = [] if "--server" in arguments else ["--server", "http://127.0.0.1:9/v1"]
    place = ["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]
    assert main(["evaluate", *arguments, *server, *place]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert line in error
    assert "secret" not in error
    assert not list(tmp_path.iterdir())
