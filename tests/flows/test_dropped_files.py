"""A command, an export format or a benchmark is one file more, dropped into a copy of the packages and used;
a broken one names itself.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.engine.build import Outcome
from tests.package_copies import Copy

COUNT = '''
"""`iqa-spider count`: how many rows a dataset has."""

GROUP = "look"
HELP = "Count a dataset's rows"


def add_arguments(parser):
    parser.add_argument("dataset")
    parser.add_argument("--double", action="store_true")


def run(options):
    from pathlib import Path

    from schemas.dataset import load_manifest

    print(load_manifest(Path(options.dataset)).rows * (2 if options.double else 1))
    return 0
'''
IDS = '''
"""One id a line."""


def make(folder, paths):
    return Ids(folder.file("ids.txt").open("w"))


class Ids:
    def __init__(self, file):
        self.file = file

    def add(self, row, pictures):
        self.file.write(row.id + "\\n")

    def close(self):
        self.file.close()
'''
LETTERS = '''
"""Whether the answer has an e."""

import numpy as np

from inference.evaluation.benchmark_interface import Item, Opened
from inference.evaluation.measures import mean


def make():
    return Letters()


class Letters:
    name = "has-an-e"
    needs_logits = False
    judged = False
    columns = ("right",)
    measures = (mean("right", "right"),)

    def open(self, data, limit):
        lines = (data / "truth.txt").read_text().split()[:limit]
        return Opened(lambda: iter([self._item(*pair) for pair in enumerate(lines)]), len(lines), "1")

    def _item(self, number, word):
        return Item(
            id=str(number), group=str(number), task="letters", questions=("Say a word.",),
            picture=lambda: np.zeros((8, 8, 3), np.uint8), reference=word,
        )

    def score(self, items, replies):
        return [{"right": float("e" in reply.text)} for reply in replies]
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("packages"))


def test_a_command_is_a_file(copy: Copy, tiny: Outcome) -> None:
    copy.write("flows/commands/count.py", COUNT)
    assert "  count      Count a dataset's rows\n" in copy.run("--help").stdout
    assert copy.run("count", tiny.folder, "--double").stdout == f"{2 * tiny.manifest.rows}\n"
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
    copy.write("inference/evaluation/benchmarks/has_an_e.py", LETTERS)
    (tmp_path / "truth.txt").write_text("green blue grey brown")
    place = ["--data", tmp_path, "--out", tmp_path / "out"]
    done = copy.run("evaluate", "has-an-e", "--model", "oracle", *place, "--json")
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout.splitlines()[-1])["evaluations"]
    assert [(one["measure"], one["value"]) for one in told["measured"] if one["task"] == "letters"] == [
        ("right", 0.75)
    ]
    again = copy.run("evaluate", "compare", told["folder"], told["folder"])
    assert again.returncode == 0, again.stderr
    typo = copy.run("evaluate", "has-an-a", "--model", "oracle", *place)
    assert typo.returncode == 2
    assert "invalid choice: 'has-an-a'; did you mean 'has-an-e'?" in typo.stderr
    judged = copy.run("evaluate", "has-an-e", "--model", "oracle", *place, "--judge", "http://x/v1")
    assert (judged.returncode, judged.stderr.count("\n")) == (2, 1)
    assert "no judge scores the answers to has-an-e" in judged.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def run(:", "this command can't be loaded: SyntaxError: "),
        ("import not_installed_here", "this command can't be loaded: ModuleNotFoundError: "),
        (COUNT.replace("def run(", "def go("), "a command needs a function `run`; add it"),
        (COUNT.replace('GROUP = "look"', ""), "a command needs a text `GROUP`; add it"),
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
    what = (
        "this export format can't be loaded: ZeroDivisionError: division by zero; mend the file or remove it"
    )
    assert done.stderr == f"iqa-spider: {path}: {what}\n"
    assert not (tmp_path / "x").exists()
    assert other.returncode == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("make = None", "a benchmark needs a function `make`; add it"),
        ("def make(): return object()", "what `make` gives lacks name, needs_logits, judged, "),
        (LETTERS, "calls itself 'has-an-e'; name it 'broken' as its file"),
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
