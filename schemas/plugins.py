"""Plug-ins by file name: each file in a kind's folder is one plug-in; the folder listing is the registry.

    PROPOSERS = PlugIns("region proposer", "annotation.regions.proposers", functions=("make",))
    PROPOSERS.names()        # ("graph", "sam", ...): a listing, nothing is imported
    PROPOSERS.load("sam")    # the module, or a one-line error about the name or the file

A file `q_bench.py`, or a folder `q_bench` with an `__init__.py`, is called `q-bench`; files whose names start
with `_` or `.` are ignored. Standard library only: the command line lists its commands with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from schemas.errors import InputError


@dataclass(frozen=True)
class PlugIns:
    """One kind of plug-in: its name for people, the package that is its folder, and the module attributes
    each file must have: `functions` are called, `texts` are non-empty strings.
    """

    kind: str
    package: str
    functions: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def names(self) -> tuple[str, ...]:
        """The names of all plug-ins of this kind, sorted. Imports nothing."""
        return tuple(sorted(self._files()))

    def check(self, name: str) -> None:
        """Raises InputError with the nearest names when there is no such plug-in. Imports nothing."""
        self._file(name)

    def load(self, name: str) -> ModuleType:
        """The module of a plug-in.

        Raises InputError for an unknown name, and with the file and the error for a file that can't be
        imported or lacks what its kind must have.
        """
        path = self._file(name)
        try:
            module = import_module(f"{self.package}.{path.stem}")
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise InputError(
                f"{self._source(path)}: can't load this {self.kind}: {what}; fix the file or remove it"
            ) from error
        for wanted in self.functions:
            if not callable(getattr(module, wanted, None)):
                raise InputError(
                    f"{self._source(path)}: this {self.kind} needs a function `{wanted}`; add it"
                )
        for wanted in self.texts:
            if not isinstance(value := getattr(module, wanted, None), str) or not value.strip():
                raise InputError(f"{self._source(path)}: this {self.kind} needs a text `{wanted}`; add it")
        return module

    def _file(self, name: str) -> Path:
        files = self._files()
        if name not in files:
            raise InputError(f"unknown {self.kind} {name!r}; {suggest(name, files)}")
        return files[name]

    def _files(self) -> dict[str, Path]:
        """The file or folder of each name."""
        return {
            path.stem.replace("_", "-"): path
            for path in sorted(self._folder().iterdir())
            if path.stem[0] not in "_." and (path.suffix == ".py" or (path / "__init__.py").is_file())
        }

    def _folder(self) -> Path:
        """The package's folder, found without importing the packages above it."""
        top, *below = self.package.split(".")
        spec = find_spec(top)
        if spec is None or not spec.submodule_search_locations:
            raise InputError(f"the package {top!r} isn't installed; install iqa-spider again")
        return Path(spec.submodule_search_locations[0]).joinpath(*below)

    def _source(self, path: Path) -> Path:
        return path if path.suffix == ".py" else path / "__init__.py"


def suggest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """What to do about an unknown name: "did you mean 'verify'?", or a list of the known names.

    `prefix` is put before each name.
    """
    import difflib

    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{prefix}{close[0]}'?"
    return f"available: {', '.join(prefix + one for one in names) or 'none'}"
