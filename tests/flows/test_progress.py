"""Progress: bars on a terminal, lines elsewhere, nothing with `--quiet` or from a library function."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows import progress
from flows.dataset.verify import verify
from flows.engine.build import Outcome
from flows.progress import BarMeter, LineMeter, duration, progress_for
from schemas.meter import SILENT, Meter
from tests.conftest import run_cli, write_photographs, write_tiny_config
from tests.flows.terminals import at_a_terminal

BAR = "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * 5
HIDDEN_CURSOR, SHOWN_CURSOR = "\x1b[?25l", "\x1b[?25h"
WORK = """
import sys, time
from flows.progress import progress_for
begin = progress_for(False)
with begin("distort", 5, 2) as meter:
    for number in range(3):
        time.sleep(0.2)
        meter.step()
        meter.note(f"note {number}")
        print(f"out {number}")
    FAIL
"""


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


def test_lines_come_every_15_seconds_and_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with LineMeter("distort", 12, 2) as meter:
        for _ in range(10):
            clock.now += 4
            meter.step()
    assert capsys.readouterr().err.splitlines() == [
        "distort   12 shards: 4/10 made, 2 reused, about 24 s left",
        "distort   12 shards: 8/10 made, 2 reused, about 8 s left",
        "distort   12 shards: 10/10 made, 2 reused in 40 s",
    ]


def test_what_is_found_on_the_way_changes_the_counts(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with LineMeter("oracle", 10, 0, "items", "answered") as meter:
        clock.now += 20
        meter.step(2, 1, 3)
        meter.step(0, 4, 0)
    assert capsys.readouterr().err.splitlines() == [
        "oracle    7 items: 2/6 answered, 1 reused, about 40 s left",
        "oracle    7 items: 2/2 answered, 5 reused in 20 s",
    ]


def test_one_shard_and_work_without_reuse(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with LineMeter("verify", 1, done="checked") as meter:
        clock.now += 75
        meter.note("a note")
        meter.step()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a note"
    assert lines[-1] == "verify    1 shard: 1/1 checked in 1 min 15 s"


def test_an_error_ends_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with LineMeter("verify", 2) as meter:
            meter.step()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert capsys.readouterr().err == ""


def test_the_forms_by_what_standard_error_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress_for(True) is SILENT is Meter
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert progress_for(False) is LineMeter
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert progress_for(False) is LineMeter
    monkeypatch.setenv("TERM", "xterm")
    assert progress_for(False) is BarMeter


def test_a_bar_gives_place_to_the_line() -> None:
    shown = at_a_terminal("-c", WORK.replace("FAIL", "pass"))
    assert shown.code == 0
    assert shown.out == "out 0\nout 1\nout 2\n"
    assert BAR in shown.terminal
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.terminal)
    for told in (r"\b1/3 made, 2 reused ", r" \d+\.\d (shards/s|s/shard) ", r" \d+:\d\d:\d\d left", "note 2"):
        assert re.search(told, text)
    assert shown.terminal.index(HIDDEN_CURSOR) < shown.terminal.index(SHOWN_CURSOR)
    last = shown.terminal.splitlines()[-1]
    assert re.search(r"distort   5 shards: 3/3 made, 2 reused in (\d+ min )?\d+ s$", last)


def test_an_error_takes_the_bar_away() -> None:
    shown = at_a_terminal("-c", WORK.replace("FAIL", "raise SystemExit('iqa-spider: no')"))
    assert shown.code == 1
    assert shown.terminal.rindex(BAR) < shown.terminal.rindex(SHOWN_CURSOR)
    assert shown.terminal.splitlines()[-1].endswith("iqa-spider: no")
    assert " reused in " not in shown.terminal


def test_a_terminal_that_draws_no_bars_gets_lines() -> None:
    shown = at_a_terminal("-c", WORK.replace("FAIL", "pass"), term="dumb")
    assert BAR not in shown.terminal
    assert re.fullmatch(
        r"(note \d\r\n){3}distort   5 shards: 3/3 made, 2 reused in (\d+ min )?\d+ s\r\n", shown.terminal
    )


def test_a_build_draws_bars_on_a_terminal_and_writes_lines_elsewhere(
    tmp_path: Path, prefect_url: str
) -> None:
    write_photographs(tmp_path / "images", ["chelsea", "coffee"], long_side=160)
    config = write_tiny_config(tmp_path / "tiny.yaml", tmp_path / "images", tmp_path / "out")
    stages = ("ingest", "regions", "distort", "annotate", "merge", "publish")
    shown = at_a_terminal("-m", "flows.cli", "build", config)
    assert shown.code == 0
    assert shown.out.startswith("rows     ")
    assert BAR in shown.terminal
    for stage in stages:
        assert re.search(rf"{stage} +\d shards?: \d/\d made, 0 reused in \d+ s", shown.terminal)

    done = run_cli("build", config, "--out", tmp_path / "elsewhere")
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert [line.split()[0] for line in lines] == list(stages)
    assert all(re.search(r"^\w+ +\d shards?: \d/\d made, 0 reused in \d+ s$", line) for line in lines)


def test_a_library_function_prints_nothing(tiny: Outcome, capfd: pytest.CaptureFixture[str]) -> None:
    assert verify(tiny.folder) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "told"), [(8.4, "8 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (59.6, "1 min 00 s")]
)
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told
