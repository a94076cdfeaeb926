"""A command, an export format or a benchmark is one file more, dropped into a copy of the packages and used;
a broken one names itself.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.engine.build import Outcome
from tests.conftest import write_photographs
from tests.package_copies import ROOT, Copy


def documented(page: str, start: str) -> str:
    """The file that a page of the documentation shows, by its first words."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return start + text.partition(f"```python\n{start}")[2].partition("```")[0]


COUNT = documented("adding-a-command.md", '"""`iqa-spider count`')
DAY_OR_NIGHT = documented("adding-a-benchmark.md", '"""Whether a model')
IDS = documented("exports.md", '"""The ids')


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("packages"))


def test_a_command_is_a_file(copy: Copy, tiny: Outcome) -> None:
    copy.write("flows/commands/count.py", COUNT)
    assert "  count      Count a dataset's rows\n" in copy.run("--help").stdout
    rows = tiny.manifest.rows
    assert copy.run("count", tiny.folder, "--json").stdout == f'{rows}\n{{"rows": {rows}}}\n'
    typo = copy.run("coutn", tiny.folder)
    assert (typo.returncode, typo.stderr) == (
        2,
        "iqa-spider: unknown command 'coutn'; did you mean 'count'?\n",
    )


def test_an_export_format_is_a_file(copy: Copy, tiny: Outcome, tmp_path: Path) -> None:
    copy.write("flows/dataset/export/formats/row_ids.py", IDS)
    assert "row-ids" in copy.run("export", "--help").stdout
    done = copy.run("export", tiny.folder, "--format", "row-ids", "--out", tmp_path / "ids", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert len((tmp_path / "ids" / "ids.txt").read_text().split()) == tiny.manifest.rows
    typo = copy.run("export", tiny.folder, "--format", "row-id", "--out", tmp_path / "x")
    assert typo.returncode == 2
    assert "invalid choice: 'row-id'; did you mean 'row-ids'?" in typo.stderr


def test_a_benchmark_is_a_file(copy: Copy, tmp_path: Path) -> None:
    copy.write("inference/evaluation/benchmarks/day_or_night.py", DAY_OR_NIGHT)
    write_photographs(tmp_path, ["coffee", "rocket"], long_side=64)
    (tmp_path / "labels.csv").write_text("file,answer\ncoffee.bmp,day\nrocket.bmp,night\n")
    place = ["--data", tmp_path, "--out", tmp_path / "out"]
    done = copy.run("evaluate", "day-or-night", "--model", "oracle", *place, "--json")
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout.splitlines()[-1])["evaluations"]
    measured = {(one["task"], one["measure"]): one["value"] for one in told["measured"]}
    assert measured["day or night", "accuracy"] == 1.0
    again = copy.run("evaluate", "compare", told["folder"], told["folder"])
    assert again.returncode == 0, again.stderr
    typo = copy.run("evaluate", "day-and-night", "--model", "oracle", *place)
    assert typo.returncode == 2
    assert "invalid choice: 'day-and-night'; did you mean 'day-or-night'?" in typo.stderr
    judged = copy.run("evaluate", "day-or-night", "--model", "oracle", *place, "--judge", "http://x/v1")
    assert (judged.returncode, judged.stderr.count("\n")) == (2, 1)
    assert "no judge scores the answers to day-or-night" in judged.stderr
    nowhere = copy.run("evaluate", "day-or-night", "--model", "oracle", "--data", tmp_path / "none")
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (2, 1)
    assert "labels.csv" in nowhere.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def run(:", "can't load this command: SyntaxError: "),
        ("import not_installed_here", "can't load this command: ModuleNotFoundError: "),
        (COUNT.replace("def run(", "def go("), "this command needs a function `run`; add it"),
        (COUNT.replace('GROUP = "look"', ""), "this command needs a text `GROUP`; add it"),
        (COUNT.replace('"look"', '"lok"'), "its GROUP 'lok' is unknown; did you mean 'look'?"),
    ],
)
def test_a_broken_command_names_itself_and_breaks_no_other(
    copy: Copy, tiny: Outcome, text: str, told: str
) -> None:
    path = copy.write("flows/commands/broken.py", text)
    try:
        used, shown, other = copy.run("broken"), copy.run("--help"), copy.run("digest", tiny.folder)
    finally:
        path.unlink()
    assert used.returncode == 2
    for done in (used, shown):
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"iqa-spider: {path}: ")
        assert told in line
    assert shown.returncode == 0
    assert "  verify     " in shown.stdout
    assert "broken" not in shown.stdout
    assert (other.stdout, other.stderr) == (f"{tiny.manifest.digest}\n", "")


def test_a_broken_export_format_names_itself(copy: Copy, tiny: Outcome, tmp_path: Path) -> None:
    path = copy.write("flows/dataset/export/formats/broken.py", "1 / 0")
    try:
        done = copy.run("export", tiny.folder, "--format", "broken", "--out", tmp_path / "x")
        other = copy.run("export", tiny.folder, "--format", "llava", "--out", tmp_path / "llava")
    finally:
        path.unlink()
    assert done.returncode == 2
    what = "can't load this export format: ZeroDivisionError: division by zero; fix the file or remove it"
    assert done.stderr == f"iqa-spider: {path}: {what}\n"
    assert not (tmp_path / "x").exists()
    assert other.returncode == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("make = None", "this benchmark needs a function `make`; add it"),
        ("def make(): return object()", "what `make` gives lacks name, needs_logits, judged, "),
        (DAY_OR_NIGHT, "calls itself 'day-or-night'; name it 'broken' as its file"),
    ],
)
def test_a_broken_benchmark_names_itself(copy: Copy, tmp_path: Path, text: str, told: str) -> None:
    path = copy.write("inference/evaluation/benchmarks/broken.py", text)
    try:
        done = copy.run("evaluate", "broken", "--model", "oracle", "--data", tmp_path)
    finally:
        path.unlink()
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"iqa-spider: {path}: ")
    assert told in line
