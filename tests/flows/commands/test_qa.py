"""`qa stats` and `qa prune`: counts by model and prompts, what is dropped, and clear words for wrong use."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest

from annotation.chat.messages import Reply
from annotation.chat.reply_cache import ReplyCache, call_key
from flows.cli import main
from tests.annotation.chat.calls import call
from tests.conftest import run_cli

CONFIG = """
name: words
images: {bundled: true}
out: OUT
annotate: {backend: replay, vlm: {model: a/one}}
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Three replies of a/one to prompts v1, two of b/two to v2; those are ten days old."""
    path = tmp_path / "out" / "store" / "replies.sqlite"
    with ReplyCache(path) as opened:
        for i in range(5):
            model, prompts = ("a/one", "v1") if i < 3 else ("b/two", "v2")
            one = call(f"q{i}", model=model, prompt_version=prompts)
            opened.put(call_key(one), one, Reply("twelve bytes", "stop", 100, 10))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE replies SET created = ? WHERE model = 'b/two'", (time.time() - 864_000,))
    database.close()
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "build.yaml"
    path.write_text(CONFIG.replace("OUT", str(tmp_path / "out")), encoding="utf-8")
    return path


def stats(place: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    assert main(["qa", "stats", str(place), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    return {share["model"]: share["replies"] for share in told["shares"]}


def test_stats_for_people(cache: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["qa", "stats", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"cache    {cache}"
    assert lines[1].startswith("replies  5 in ")
    assert lines[2] == "tokens   500 asked, 50 answered"
    assert [line.split() for line in lines if line.startswith("model")] == [
        ["model", "a/one"],
        ["model", "b/two"],
    ]
    assert any(line.split() == ["prompt", "version", "v2"] for line in lines)


def test_stats_for_programs(cache: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stats(cache, capsys) == stats(config, capsys) == {"a/one": 3, "b/two": 2}
    assert main(["qa", "stats", str(cache), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["replies"], told["prompt_tokens"], told["completion_tokens"]) == (5, 500, 50)
    (old,) = [share for share in told["shares"] if share["model"] == "b/two"]
    assert old["bytes"] == 24
    assert 863_000 < time.time() - old["newest"] < 865_000


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (["--model", "a/one"], {"b/two": 2}),
        (["--prompt-version", "v2"], {"a/one": 3}),
        (["--older-than", "9.5"], {"a/one": 3}),
        (["--older-than", "11"], {"a/one": 3, "b/two": 2}),
        (["--model", "a/one", "--older-than", "9"], {"a/one": 3, "b/two": 2}),
        (["--older-than", "0"], {}),
    ],
)
def test_prune(
    cache: Path, config: Path, capsys: pytest.CaptureFixture[str], chosen: list[str], left: dict[str, int]
) -> None:
    assert main(["qa", "prune", str(config), *chosen]) == 0
    assert (
        f"dropped  {5 - sum(left.values())} replies; {sum(left.values())} are left" in capsys.readouterr().out
    )
    assert stats(cache, capsys) == left


def test_pruning_a_model_that_never_answered_says_which_did(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["qa", "prune", str(cache), "--model", "c/three"]) == 0
    assert "c/three is none of its models: a/one, b/two" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["qa"], 2, "required: COMMAND"),
        (["qa", "stats"], 2, "required: CONFIG_OR_CACHE"),
        (["qa", "stats", "{none}.yaml"], 2, "can't be read: No such file or directory"),
        (["qa", "stats", "{folder}"], 2, "can't be read: Is a directory"),
        (["qa", "stats", "{config}"], 2, "no reply cache there"),
        (["qa", "stats", "{grammar}"], 2, "'grammar' asks no model and keeps no replies"),
        (["qa", "stats", "{broken}"], 1, "the reply cache is damaged"),
        (["qa", "prune", "{config}"], 2, "--model, --prompt-version or --older-than"),
        (["qa", "prune", "{config}", "--older-than", "-1"], 2, "'-1' is not a number of days"),
        (["qa", "prune", "{config}", "--older-than", "nan"], 2, "'nan' is not a number of days"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    grammar, broken = tmp_path / "grammar.yaml", tmp_path / "broken.sqlite"
    grammar.write_text("name: words\nimages: {bundled: true}\nout: out\n")
    broken.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    places = {
        "none": tmp_path / "none",
        "folder": tmp_path,
        "config": config,
        "grammar": grammar,
        "broken": broken,
    }
    try:
        returned = main([argument.format(**places) for argument in arguments])
    except SystemExit as stop:
        returned = int(stop.code or 0)
    error = capsys.readouterr().err
    assert returned == code
    assert told in error
    assert len(error.splitlines()) == 1


def test_as_a_program(cache: Path) -> None:
    done = run_cli("qa", "stats", cache, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1])["replies"] == 5
