"""Parts of the printed scripts that all trainers share: comments, the export of rows, long commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.sft.train_config import TrainOptions

EXPORT = "export"
"""The export's folder below a run's `out`."""


def export_folder(options: TrainOptions) -> Path:
    """Where the script writes the rows."""
    return options.out / EXPORT


def export_command(options: TrainOptions) -> str:
    """The command that writes the run's rows as ShareGPT, unless they already exist."""
    data, folder = options.data, export_folder(options)
    words = ["iqa-spider", "export", str(data.dataset), "--format", "sharegpt", "--out", str(folder)]
    for task in data.tasks or ():
        words += ["--task", task]
    for source in data.sources or ():
        words += ["--source", source]
    return f"[ -d {shlex.quote(str(folder))} ] || {shlex.join(words)}"


def describe_ignored(options: TrainOptions) -> list[str]:
    """The options that no other trainer gets, as sentences."""
    sentences = [
        "Rows that contain special tokens of the chat template are not left out.",
        f"Evaluation takes the whole split, not {options.data.eval_rows} rows of it."
        if options.data.eval_split
        else "",
        "data.mixture (weights and caps) is not carried over: every row comes once per epoch."
        if options.data.mixture.mixture() is not None
        else "",
    ]
    return [sentence for sentence in sentences if sentence]


def comment_lines(sentences: Sequence[str], width: int = 100) -> list[str]:
    """Sentences as lines that start with "# "; each starts on a new line and wraps onto the next."""
    lines: list[str] = []
    for sentence in sentences:
        line = "#"
        for word in sentence.split():
            if len(line) + 1 + len(word) > width:
                lines.append(line)
                line = "#  "
            line += f" {word}"
        lines.append(line)
    return lines


def environment_command(folder: str, program: str, requirements: Sequence[str]) -> str:
    """A command that creates an environment and installs into it, unless its program already exists."""
    packages = shlex.join(requirements)
    make = f"python3 -m venv {folder} && {folder}/bin/python -m pip install {packages}"
    return f"[ -x {folder}/bin/{program} ] || {{ {make}; }}"


def command_lines(
    variables: Mapping[str, str], program: Sequence[str], flags: Mapping[str, str | Sequence[str]]
) -> list[str]:
    """A command over several lines: variables first, then one flag per line.

    The words of the program and flags are quoted here, a sequence as several words; variables must be quoted.
    """
    parts = [f"{name}={value}" for name, value in variables.items()]
    parts.append(shlex.join(program))
    for name, value in flags.items():
        parts.append(f"    --{name} {shlex.join([value] if isinstance(value, str) else value)}")
    return [f"{part} \\" for part in parts[:-1]] + [parts[-1]]
