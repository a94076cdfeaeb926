"""`iqa-spider train`: stage one, here or as another trainer's run."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from flows.arguments import add_quiet
from schemas.errors import InputError

if TYPE_CHECKING:
    from schemas.plugins import PlugIns
    from training.sft.train_config import TrainOptions

GROUP = "train"
HELP = "Fine-tune a vision-language model on a dataset; resumes automatically"
HERE = "trl"
"""The trainer that runs in this process."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the run's YAML file")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--check", action="store_true", help="look at rows, tokens and memory, without training")
    way.add_argument(
        "--merge",
        metavar="DIR",
        type=Path,
        help="write the trained model into this folder, as a plain checkpoint",
    )
    way.add_argument("--print", action="store_true", help="print a script that runs the trainer of --backend")
    parser.add_argument(
        "--backend",
        choices=(HERE, *trainers().names()),
        default=HERE,
        help=f"the trainer (default: {HERE}, in this process)",
    )
    add_quiet(parser)


def trainers() -> PlugIns:
    """The other trainers: files that write a training run as a shell script."""
    from schemas.plugins import PlugIns

    return PlugIns("trainer", "training.backends.trainers", functions=("script",))


def run(options: argparse.Namespace) -> int:
    from training.sft.train_config import load_options

    run = load_options(options.config)
    if options.print or options.backend != HERE:
        return _print(options, run)
    from training.backends.families import check_trains_here
    from training.sft.installed import check_installed

    check_trains_here(run, options.config)
    check_installed()
    if options.check:
        from training.sft.check_run import check_run

        print("\n".join(check_run(run)))
        return 0
    if options.merge is not None:
        from training.sft.saving import ADAPTER, merge

        merge(run.out / ADAPTER, options.merge, run.model.dtype)
        print(options.merge)
        return 0
    from flows.progress import progress_for
    from training.sft.fine_tune import train

    done = train(run, progress=progress_for(options.quiet))
    if os.environ.get("RANK", "0") != "0":
        return 0
    left_out = ", ".join(f"{count} {reason}" for reason, count in done.unfit.items()) or "none"
    print(f"{done.steps} steps, rows left out: {left_out}")
    print(done.adapter)
    return 0


def _print(options: argparse.Namespace, run: TrainOptions) -> int:
    backend = options.backend
    if backend == HERE:
        raise InputError(f"--print needs --backend {' or '.join(trainers().names())}")
    if not options.print:
        raise InputError(f"{backend} trains in an environment of its own; add --print and run what it prints")
    print(trainers().load(backend).script(run, options.config), end="")
    return 0
