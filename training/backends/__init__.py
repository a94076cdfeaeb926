"""Runs of other trainers, written from the same options: a shell script that a person reads and starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from training.backends import llama_factory, ms_swift
from training.backends.families import check_trains_here
from training.sft.options import TrainOptions

BACKENDS: dict[str, Callable[[TrainOptions, Path], str]] = {
    "ms-swift": ms_swift.script,
    "llama-factory": llama_factory.script,
}
"""By the name on the command line: options and their file -> the text of a POSIX shell script."""

__all__ = ["BACKENDS", "check_trains_here"]
