"""The command line `iqa-spider`: finds the command's file, parses, runs it, says an error in one line.

The command NAME is the file flows/commands/NAME.py; docs/adding-a-command.md says what it must have.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import takewhile
from types import ModuleType
from typing import Any, NoReturn

from schemas.errors import InputError, SpiderError
from schemas.plugins import PlugIns, suggest

COMMANDS = PlugIns("command", "flows.commands", functions=("add_arguments", "run"), texts=("GROUP", "HELP"))
GROUPS = {
    "build": "Build a dataset",
    "look": "Check a dataset and look at it",
    "export": "Export a dataset",
    "train": "Train a model",
    "ask": "Ask a model",
    "measure": "Measure a model",
}
"""The titles of `iqa-spider --help`, in their order."""
_NAME = "iqa-spider"


class _Parser(argparse.ArgumentParser):
    """Wrong use is one line, and a wrong name comes with the nearest right one."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but an unknown option is told before a missing argument, which it may be."""
        if self._subparsers is None:
            known = [name[2:] for name in self._option_string_actions if name.startswith("--")]
            for given in takewhile(lambda word: word != "--", args or ()):
                option = given.partition("=")[0].removeprefix("--")
                is_option = given.startswith("--") and " " not in given
                if is_option and not any(name.startswith(option) for name in known):
                    self.error(f"unknown option --{option}; {suggest(option, known, '--')}")
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            hint = suggest(str(value), map(str, action.choices))
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}; {hint}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; every expected error is one line on standard error."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if given and given[0] in ("-h", "--help"):
            _print_help()
            return 0
        command, options = parse(given)
        code: int = command.run(options)
        return code
    except SpiderError as error:
        _print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{_NAME}: stopped; run the same command again to continue", file=sys.stderr)
        return 1
    except BrokenPipeError:
        _drop_output()
        return 1


def parse(arguments: Sequence[str]) -> tuple[ModuleType, argparse.Namespace]:
    """The command and what it is given. Raises InputError, and SystemExit as argparse does."""
    if not arguments:
        raise InputError(f"give a command; {_NAME} --help lists them")
    name, *rest = arguments
    command = _load(name)
    parser = _Parser(prog=f"{_NAME} {name}", description=f"{command.HELP}.")
    command.add_arguments(parser)
    return command, parser.parse_args(rest)


def _load(name: str) -> ModuleType:
    command = COMMANDS.load(name)
    if command.GROUP not in GROUPS:
        what = f"its GROUP {command.GROUP!r} is unknown; {suggest(command.GROUP, GROUPS)}"
        raise InputError(f"{command.__file__}: {what}")
    return command


def _print_help() -> None:
    """The commands by what they are for; one that can't be loaded is named and keeps no other from use."""
    listed: dict[str, list[str]] = {group: [] for group in GROUPS}
    broken = []
    for name in COMMANDS.names():
        try:
            command = _load(name)
        except InputError as error:
            broken.append(error)
        else:
            listed[command.GROUP].append(f"  {name:<10} {command.HELP}")
    print(f"usage: {_NAME} COMMAND ...\n\nBuild, check and use image-quality datasets.")
    for group, lines in listed.items():
        print("\n".join(("", GROUPS[group], *lines)))
    print(f"\n{_NAME} COMMAND --help shows what a command takes.")
    for problem in broken:
        _print_error(problem)


def _print_error(error: SpiderError) -> None:
    print(f"{_NAME}: {' '.join(str(error).split())}", file=sys.stderr)


def _drop_output() -> None:
    """Nobody reads any more: what is still buffered goes nowhere, so that leaving doesn't fail on it."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
