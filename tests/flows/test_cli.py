"""The command line: what it prints, what it returns, and that `plan` leaves no trace."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from flows import commands
from flows.cli import COMMANDS as COMMAND_FILES
from flows.cli import main
from flows.engine.build import Outcome
from schemas.records import TASKS
from tests.conftest import run_cli, write_photographs, write_tiny_config
from tests.flows import damage
from tests.waiting import LAST_RESORT

COMMANDS = {
    "Build a dataset": ["build", "plan", "qa", "schedule"],
    "Check a dataset and look at it": ["digest", "report", "show", "verify"],
    "Export a dataset": ["export", "recipes", "regions"],
    "Train a model": ["ablation", "proof", "train"],
    "Ask a model": ["app", "describe", "ground", "refer"],
    "Measure a model": ["calibrate", "evaluate"],
}
NAMES = [name for names in COMMANDS.values() for name in names]


def exit_code(*arguments: str | Path) -> int:
    """What a shell would see."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_help_groups_the_commands_by_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--help") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    blocks = [block.splitlines() for block in captured.out.split("\n\n")]
    listed = {title: [line.split()[0] for line in lines] for title, *lines in blocks if title in COMMANDS}
    assert listed == COMMANDS
    assert sorted(NAMES) == sorted(path.stem for path in Path(commands.__path__[0]).glob("[a-z]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(name, "--help") == 0
    assert f"usage: iqa-spider {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_has_help(name: str) -> None:
    """No bare argument, and no fragment such as "of an answer": its first word begins a phrase."""
    parser = argparse.ArgumentParser()
    COMMAND_FILES.load(name).add_arguments(parser)
    pending = [parser]
    while pending:
        for action in pending.pop()._actions:
            if isinstance(action, argparse._SubParsersAction):
                pending += action.choices.values()
                continue
            assert action.help, action.dest
            assert action.help.split()[0] not in ("of", "for", "with", "from", "to", "that", "as", "in"), (
                action.help
            )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give a command; iqa-spider --help lists them"),
        (["bulid"], "unknown command 'bulid'; did you mean 'build'?"),
        (["--quiet"], "unknown command '--quiet'"),
        (["xyz"], "unknown command 'xyz'; available: ablation, app, build, "),
        (["recipes", "pakc"], "invalid choice: 'pakc'; did you mean 'pack'?"),
        (["export", "d", "--out", "x", "--format", "lava"], "invalid choice: 'lava'; did you mean 'llava'?"),
        (["build", "c.yaml", "--until", "regoins"], "invalid choice: 'regoins'; did you mean 'regions'?"),
        (
            ["build", "c.yaml", "--worker=2", "--unitl", "x"],
            "unknown option --unitl; did you mean '--until'?",
        ),
        (["schedule", "c.yaml", "--corn", "0 3 * * *"], "unknown option --corn; did you mean '--cron'?"),
        (["schedule", "c.yaml", "--cron", "0 3 * * *", "--json"], "unknown option --json"),
        (["build"], "required: CONFIG"),
        (["build", "c.yaml", "--limit", "0"], "--limit: '0' is not a whole number above 0"),
        (["build", "c.yaml", "--limit", "-3"], "--limit"),
        (["build", "c.yaml", "--workers", "two"], "--workers: 'two' is not a whole number above 0"),
        (["build", "c.yaml", "--workers", "²"], "--workers"),
        (["build", "c.yaml", "--runner", "treads"], "invalid choice: 'treads'; did you mean 'thread'?"),
        (["build", "c.yaml", "--seed", "x"], "--seed: invalid int value: 'x'"),
        (["build", "c.yaml", "--colour", "red"], "unknown option --colour; available: --help, --images, "),
        (["build", "none.yaml"], "none.yaml: can't read this configuration: No such file or directory"),
        (["plan", "none.yaml"], "none.yaml: can't read this configuration"),
        (["schedule", "none.yaml"], "required: --cron"),
        (["schedule", "none.yaml", "--cron", "* * * * *"], "none.yaml: can't read this configuration"),
        (["verify"], "required: DATASET"),
        (
            ["verify", "nowhere"],
            "nowhere: not a dataset (no manifest.json); give the folder that `build` printed",
        ),
        (["digest", "nowhere"], "nowhere: not a dataset"),
        (["report", "nowhere"], "nowhere: not a dataset"),
        (["show", "nowhere", "x"], "required: -o/--output"),
        (["show", "nowhere", "x", "-o", "x.png"], "nowhere: not a dataset"),
        (["report", "a\nb"], "not a dataset"),
    ],
)
def test_wrong_use_is_one_line_and_2(
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("iqa-spider")
    assert captured.err.count("\n") == 1
    assert told in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", ["-1", str(2**63)])
def test_seed_out_of_range(tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: str) -> None:
    config = write_tiny_config(tmp_path / "tiny.yaml", tmp_path, tmp_path / "out")
    assert exit_code("plan", config, f"--seed={seed}") == 2
    assert capsys.readouterr().err == f"iqa-spider: --seed {seed}: give a number from 0 to 2^63 - 1\n"


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with size and time of change."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return found


def last_json(text: str) -> dict[str, object]:
    loaded = json.loads(text.splitlines()[-1])
    assert isinstance(loaded, dict)
    return loaded


def place_of(tiny: Outcome) -> Path:
    """The folder with the tiny build's configuration, photographs and output."""
    return tiny.folder.parents[2]


def test_plan_before_a_build_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photographs(tmp_path / "images", ["chelsea", "coffee"])
    config = write_tiny_config(tmp_path / "tiny.yaml", tmp_path / "images", tmp_path / "out")
    before = listing(tmp_path)
    assert exit_code("plan", config, "--json") == 0
    assert listing(tmp_path) == before
    out = capsys.readouterr().out
    assert out.startswith("2 photographs, 0 exact duplicates, 0 that can't be used\n")
    summary = last_json(out)
    assert summary["photographs"] == 2
    assert summary["dataset"] is None
    stages = summary["stages"]
    assert isinstance(stages, dict)
    assert list(stages) == ["ingest", "regions", "distort", "annotate", "merge", "publish"]
    assert stages["ingest"]["new"] == 2
    assert all(stage["reused"] == 0 for stage in stages.values())


def test_plan_after_a_build_finds_everything_and_writes_nothing(
    tiny: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    place = place_of(tiny)
    before = listing(place)
    assert exit_code("plan", place / "tiny.yaml", "--json") == 0
    assert listing(place) == before
    out = capsys.readouterr().out
    assert f"nothing to do: {tiny.folder.resolve()} already exists" in out
    summary = last_json(out)
    assert summary["shards"] == {"new": 0, "reused": sum(count.new for count in tiny.shards.values())}
    assert summary["dataset"] == str(tiny.folder)


def test_plan_of_a_change_tells_what_would_be_made(tiny: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    place = place_of(tiny)
    before = listing(place)
    assert exit_code("plan", place / "tiny.yaml", "--seed", "9", "--json") == 0
    assert listing(place) == before
    stages = last_json(capsys.readouterr().out)["stages"]
    assert isinstance(stages, dict)
    assert stages["ingest"]["new"] == stages["regions"]["new"] == 0
    assert stages["distort"]["new"] == stages["annotate"]["new"] == 2


def test_last_line_of_a_build_is_its_summary(tiny: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("build", place_of(tiny) / "tiny.yaml", "--json") == 0
    out = capsys.readouterr().out
    assert "nothing changed" in out
    assert f"report   {(tiny.folder / 'report.html').resolve()}\n" in out
    summary = last_json(out)
    documented = {"dataset", "digest", "rows", "tasks", "splits", "shards", "quarantined", "seconds"}
    assert set(summary) == documented | {"state", "stages"}
    assert summary["dataset"] == str(tiny.folder)
    assert summary["digest"] == tiny.manifest.digest
    assert summary["rows"] == tiny.manifest.rows
    tasks, splits, seconds = summary["tasks"], summary["splits"], summary["seconds"]
    assert isinstance(tasks, dict)
    assert isinstance(splits, dict)
    assert isinstance(seconds, dict)
    assert set(tasks) == set(TASKS)
    assert sum(tasks.values()) == sum(splits.values()) == summary["rows"]
    assert summary["shards"] == {"new": 0, "reused": sum(count.new for count in tiny.shards.values())}
    assert summary["quarantined"] == 0
    assert all(isinstance(value, float) for value in seconds.values())
    assert summary["state"] == "nothing changed"


def test_digest_is_the_manifests(tiny: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("digest", tiny.folder) == 0
    assert capsys.readouterr().out == f"{tiny.manifest.digest}\n"
    dataset = damage.copy_dataset(tiny.folder, tmp_path / "dataset")
    for path in damage.shards(dataset):
        damage.write(path, damage.read(path)[::-1])
    assert exit_code("digest", dataset) == 0
    assert capsys.readouterr().out == f"{tiny.manifest.digest}\n"
    damage.drop_row(dataset, damage.all_rows(dataset)[0]["id"])
    assert exit_code("digest", dataset) == 0
    assert capsys.readouterr().out != f"{tiny.manifest.digest}\n"


def test_digest_of_a_damaged_dataset_is_one_line(
    tiny: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = damage.copy_dataset(tiny.folder, tmp_path / "dataset")
    first = damage.all_rows(dataset)[0]["id"]
    damage.edit_row(dataset, first, lambda values: values["images"][0].update(bytes=b"no picture"))
    assert exit_code("digest", dataset) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert f"row {first} can't be read; see `iqa-spider verify`" in captured.err


def test_report_prints_totals_and_place(
    tiny: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("report", tiny.folder) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"rows     {tiny.manifest.rows} (")
    assert out.endswith(f"report   {(tiny.folder / 'report.html').resolve()}\n")
    dataset = damage.copy_dataset(tiny.folder, tmp_path / "dataset")
    (dataset / "report.html").unlink()
    assert exit_code("report", dataset) == 2
    assert "the dataset's report is gone" in capsys.readouterr().err


def test_show_draws_a_row_of_every_task(
    tiny: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_task = {values["task"]: values for values in damage.all_rows(tiny.folder)}
    for task, values in by_task.items():
        path = tmp_path / f"{task}.png"
        assert exit_code("show", tiny.folder, values["id"], "-o", path) == 0
        assert capsys.readouterr().out == f"{path}\n"
        drawn = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        assert drawn is not None
        photograph = cv2.imdecode(np.frombuffer(values["images"][0]["bytes"], np.uint8), cv2.IMREAD_COLOR_RGB)
        assert photograph is not None
        assert drawn.shape[0] > photograph.shape[0]
        assert drawn.shape[1] > photograph.shape[1]
        assert len(np.unique(drawn.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32))) > 500
        assert drawn.std() > 10


def test_show_what_is_not_there(tiny: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("show", tiny.folder, "no-such-row", "-o", tmp_path / "x.png") == 2
    assert "no row 'no-such-row'; ids are in the column 'id'" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
    some = damage.all_rows(tiny.folder)[0]["id"]
    assert exit_code("show", tiny.folder, some, "-o", tmp_path / "none" / "x.png") == 2
    assert "can't be written: No such file or directory; give another -o" in capsys.readouterr().err


@pytest.mark.parametrize("data", [None, b"no picture"])
def test_show_of_a_broken_picture_is_one_line(
    tiny: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes | None
) -> None:
    dataset = damage.copy_dataset(tiny.folder, tmp_path / "dataset")
    some = damage.all_rows(dataset)[0]["id"]
    damage.edit_row(dataset, some, lambda values: values["images"][0].update(bytes=data))
    assert exit_code("show", dataset, some, "-o", tmp_path / "x.png") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_show_of_a_broken_mask_is_one_line(
    tiny: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = damage.copy_dataset(tiny.folder, tmp_path / "dataset")
    some = next(v["id"] for v in damage.all_rows(dataset) if v["target_region_ids"])

    def cut(values: damage.Values) -> None:
        for region in values["regions"]:
            region["mask"]["counts"] = region["mask"]["counts"][:-1]

    damage.edit_row(dataset, some, cut)
    assert exit_code("show", dataset, some, "-o", tmp_path / "x.png") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_closed_pipe_is_no_traceback(tiny: Outcome) -> None:
    """`iqa-spider report ... | head -0` and the like."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", "report", str(tiny.folder)],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LAST_RESORT,
            check=False,
        )
    assert "Traceback" not in done.stderr


def test_as_a_process(tiny: Outcome) -> None:
    done = run_cli("verify", tiny.folder)
    assert done.returncode == 0
    assert done.stdout.startswith("ok: ")
    assert run_cli("verify", tiny.folder.parent).returncode == 2
