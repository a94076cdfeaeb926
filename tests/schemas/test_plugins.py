"""Plug-ins by file name: the listing, the modules, and a one-line error for a wrong name or a broken file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import InputError
from schemas.plugins import PlugIns, suggest

COLORS = PlugIns("color", "palette_of_tests.colors", functions=("make",), texts=("HELP",))
GOOD = 'HELP = "A color."\ndef make(): return NAME\nNAME = "{name}"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    colors = tmp_path / "palette_of_tests" / "colors"
    colors.mkdir(parents=True)
    (colors.parent / "__init__.py").write_text("raise RuntimeError('listing must not import')\n")
    (colors / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield colors
    for name in [name for name in sys.modules if name.startswith("palette_of_tests")]:
        del sys.modules[name]


def importable(folder: Path) -> Path:
    (folder.parent / "__init__.py").write_text("")
    return folder


def test_names_are_the_listing_and_import_nothing(folder: Path) -> None:
    (folder / "red.py").write_text("raise RuntimeError")
    (folder / "dark_blue.py").write_text("")
    (folder / "_shared.py").write_text("")
    (folder / ".#red.py").write_text("")
    (folder / "notes.txt").write_text("")
    (folder / "__pycache__").mkdir()
    (folder / "empty").mkdir()
    (folder / "light_green").mkdir()
    (folder / "light_green" / "__init__.py").write_text("")
    assert COLORS.names() == ("dark-blue", "light-green", "red")
    assert not [name for name in sys.modules if name.startswith("palette_of_tests")]


@pytest.mark.parametrize("place", ["dark_blue.py", "dark-blue.py", "dark_blue/__init__.py"])
def test_a_file_or_folder_is_loaded_by_its_name(folder: Path, place: str) -> None:
    path = importable(folder) / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(GOOD.format(name=place))
    assert COLORS.load("dark-blue").make() == place


def test_a_wrong_name_gets_the_nearest_one_or_all(folder: Path) -> None:
    for name in ("red", "dark_blue", "green"):
        (importable(folder) / f"{name}.py").write_text(GOOD)
    with pytest.raises(InputError, match=r"^unknown color 'dark-bleu'; did you mean 'dark-blue'\?$"):
        COLORS.check("dark-bleu")
    with pytest.raises(InputError, match=r"^unknown color 'Dark_Blue'; did you mean 'dark-blue'\?$"):
        COLORS.load("Dark_Blue")
    with pytest.raises(InputError, match=r"^unknown color 'x'; available: dark-blue, green, red$"):
        COLORS.load("x")
    COLORS.check("red")


@pytest.mark.parametrize("name", ["../red", "red.py", "", ".", "__init__", "_shared"])
def test_an_invalid_name_is_unknown(folder: Path, name: str) -> None:
    (importable(folder) / "red.py").write_text(GOOD)
    (folder / "_shared.py").write_text(GOOD)
    with pytest.raises(InputError, match=r"^unknown color "):
        COLORS.load(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make(:\n", r"can't load this color: SyntaxError: .* \(red\.py, line 1\); fix the file"),
        ("import not_installed_here", "ModuleNotFoundError: No module named 'not_installed_here'; fix"),
        ("raise ValueError('no')", "can't load this color: ValueError: no; fix"),
        ('HELP = "A color."', "this color needs a function `make`; add it"),
        ('HELP = "A color."\nmake = 3', "this color needs a function `make`; add it"),
        ("def make(): ...", "this color needs a text `HELP`; add it"),
        ('HELP = " "\ndef make(): ...', "this color needs a text `HELP`; add it"),
    ],
)
def test_a_broken_file_names_itself(folder: Path, text: str, message: str) -> None:
    path = importable(folder) / "red.py"
    path.write_text(text)
    (folder / "green.py").write_text(GOOD)
    with pytest.raises(InputError, match=message) as caught:
        COLORS.load("red")
    assert str(caught.value).startswith(f"{path}: ")
    assert COLORS.load("green").HELP == "A color."


def test_a_package_that_is_not_there_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^the package 'no_such_package_here' isn't installed"):
        PlugIns("color", "no_such_package_here.colors").names()


def test_a_suggestion_without_any_name() -> None:
    assert suggest("x", []) == "available: none"
