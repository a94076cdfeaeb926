"""The direction of imports, who knows Prefect and Parquet, and a command line that starts without either."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import LAST_RESORT

ROOT = Path(__file__).parents[1]
ALLOWED: dict[str, tuple[str, ...]] = {
    "schemas": ("schemas",),
    "distortions": ("schemas", "distortions"),
    "annotation": ("schemas", "distortions", "annotation"),
    "flows": ("schemas", "distortions", "annotation", "flows", "training", "inference"),
    "training": ("schemas", "training"),
    "inference": ("schemas", "annotation", "inference"),
}
"""What the modules of each package may import of ours."""
RESERVED = {"prefect": "flows", "pyarrow": "schemas"}
"""Libraries that one package alone knows."""
PRESENT = tuple(package for package in ALLOWED if (ROOT / package).is_dir())


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, wherever in the file; a name from a package counts as its part."""
    return imports_of(path.read_text(encoding="utf-8"), path.relative_to(ROOT).parts[:-1])


def imports_of(text: str, parents: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) + 1 - node.level] if node.level else ()
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func)
            if called in ("importlib.import_module", "import_module", "__import__"):
                first = node.args[0]
                told = first.values[0] if isinstance(first, ast.JoinedStr) else first
                yield node.lineno, str(told.value) if isinstance(told, ast.Constant) else ""


def below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_the_walk_sees_every_form_of_import() -> None:
    text = """
import flows.cli as x, os
from flows import build
from . import a
from .b import c
from ..d import e
def later():
    import prefect
    importlib.import_module("flows.publish")
    importlib.import_module(f"flows.{name}")
if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile
"""
    assert [name for _, name in sorted(imports_of(text, ("p", "q")))] == [
        "flows.cli", "os", "flows.build", "p.q.a", "p.q.b.c", "p.d.e", "prefect", "flows.publish", "flows.",
        "pyarrow.parquet.ParquetFile",
    ]  # fmt: skip


@pytest.mark.parametrize("package", PRESENT)
def test_imports_go_one_way(package: str) -> None:
    assert modules(package)
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules(package)
        for line, name in imported(path)
        if name.split(".")[0] in (*ALLOWED, "tests", "benchmarks")
        and not any(below(name, allowed) for allowed in ALLOWED[package])
    ]
    assert wrong == []


@pytest.mark.parametrize("library", RESERVED)
def test_one_package_alone_knows_a_library(library: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for package in PRESENT
        for path in modules(package)
        for line, name in imported(path)
        if below(name, library) and package != RESERVED[library]
    ]
    assert wrong == []


def test_parquet_is_not_read_through_another_library() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.attr}"
        for package in PRESENT
        if package != "schemas"
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("read_parquet", "to_parquet", "scan_parquet")
    ]
    assert wrong == []


FLOWS: dict[str, tuple[str, ...]] = {
    "arguments": ("engine", "grounding", "progress", "stages", "workers"),
    "configuration_page": ("proof",),
    "progress": (),
    "workers": (),
    "sources": ("workers",),
    "stages": ("sources", "workers"),
    "dataset": ("progress", "sources", "stages", "workers"),
    "engine": ("dataset", "progress", "sources", "stages", "workers"),
    "grounding": ("progress",),
    "evaluation": ("grounding", "progress"),
    "proof": ("dataset", "engine", "evaluation", "grounding", "progress", "sources", "stages", "workers"),
    "commands": (
        *("arguments", "dataset", "engine", "evaluation", "grounding", "progress", "proof", "sources"),
        *("stages", "workers"),
    ),
    "cli": ("arguments", "commands"),
}
"""What the rooms of flows may import of one another: a room imports downwards only."""


def room_of(name: str) -> str:
    """The room of flows that a dotted name lies in, "" for flows itself."""
    return name.split(".")[1] if "." in name else ""


def test_every_room_of_flows_is_known_here() -> None:
    rooms = {path.relative_to(ROOT / "flows").parts[0].removesuffix(".py") for path in modules("flows")}
    assert rooms - {"__init__"} == set(FLOWS)


@pytest.mark.parametrize("room", FLOWS)
def test_rooms_of_flows_import_downwards(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules("flows")
        if path.relative_to(ROOT / "flows").parts[0].removesuffix(".py") == room
        for line, name in imported(path)
        if below(name, "flows") and room_of(name) not in (room, *FLOWS[room])
    ]
    assert wrong == []


def test_only_the_engine_names_prefect() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules("flows")
        if path.relative_to(ROOT / "flows").parts[0] != "engine"
        for line, name in imported(path)
        if below(name, "prefect")
    ]
    assert wrong == []


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def graph_of_imports() -> dict[str, set[str]]:
    """Which of our modules each one imports, anywhere in its text: at the top, deferred, or for types."""
    known = {dotted(path): path for package in PRESENT for path in modules(package)}
    graph: dict[str, set[str]] = {}
    for module, path in known.items():
        graph[module] = set()
        for _, name in imported(path):
            target = next((part for part in (name, name.rpartition(".")[0]) if part in known), None)
            if target is not None and target != module:
                graph[module].add(target)
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import one another, directly or by way of others (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in sorted(graph[module]):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return found


def test_a_circle_would_be_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert circles(graph_of_imports()) == []


PLUG_INS = (
    "annotation/qa/backends",
    "annotation/regions/labellers",
    "annotation/regions/proposers",
    "flows/commands",
    "flows/dataset/export/formats",
    "flows/stages/given",
    "flows/stages/importers",
    "inference/evaluation/benchmarks",
    "inference/segmenters",
    "training/backends/trainers",
)
"""Folders whose files are named by what a user types; such a name may be that of another module."""


def test_no_file_name_stands_twice() -> None:
    places: dict[str, list[str]] = {}
    for package in PRESENT:
        for path in modules(package):
            where = path.relative_to(ROOT)
            if path.name != "__init__.py" and str(where.parent) not in PLUG_INS:
                places.setdefault(path.name, []).append(str(where))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_every_package_is_known_here() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests", "benchmarks"} <= set(ALLOWED)


def loaded(code: str) -> set[str]:
    """Top-level modules from outside the standard library in a process that ran `code`."""
    report = "print('MODULES', *{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}\n{report}"],
        cwd=ROOT, capture_output=True, text=True, timeout=LAST_RESORT, check=True,
    )  # fmt: skip
    *_, last = done.stderr.splitlines()
    marker, *names = last.split()
    assert marker == "MODULES"
    return {name for name in names if name not in sys.stdlib_module_names and name != "__main__"}


HELP = """
import flows.cli
try:
    flows.cli.main(ARGUMENTS)
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["build", "--help"], ["evaluate", "--help"], ["nonsense"], ["build"]]
)
def test_the_command_line_starts_with_the_standard_library_alone(arguments: list[str]) -> None:
    assert loaded(HELP.replace("ARGUMENTS", repr(arguments))) <= set(ALLOWED)


LIGHT = ("flows.arguments", "schemas.errors")


def test_a_command_imports_nothing_of_ours_when_it_is_listed() -> None:
    """At their tops the files of commands import the arguments and the errors alone."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
        for path in sorted((ROOT / "flows" / "commands").glob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for _, name in imports_of(ast.unparse(node), ("flows", "commands"))
        if name.split(".")[0] in ALLOWED and not any(below(name, light) for light in LIGHT)
    ]
    assert wrong == []


PRINTING = ("flows/arguments.py", "flows/engine/schedule.py", "flows/progress.py")
"""What prints beside commands: their shared part, scheduled builds (processes of their own), and progress."""


def test_only_commands_print() -> None:
    """Library functions return lines or take a progress. Scripts, which run by themselves, print too."""
    printing = {
        path.relative_to(ROOT).as_posix()
        for package in PRESENT
        for path in modules(package)
        if 'if __name__ == "__main__":' not in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stdout.write")
    }
    assert {path for path in printing if not path.startswith("flows/commands/")} == set(PRINTING)


def test_a_typo_is_told_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    config = tmp_path / "broken.yaml"
    config.write_text("nonsense: 1\n")
    found = loaded(HELP.replace("ARGUMENTS", repr(["plan", str(config)])))
    assert not found & {"prefect", "pyarrow", "cv2", "skimage", "matplotlib", "torch", "pandas"}
