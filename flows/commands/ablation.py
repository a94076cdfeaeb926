"""`iqa-spider ablation`: what each source of data adds."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from flows.arguments import add_quiet

GROUP = "train"
HELP = "Train on four mixtures of the sources and compare on held-out rows"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", type=Path, help="a run's YAML file, without sources")
    parser.add_argument(
        "--answers",
        metavar="N",
        type=_whole,
        default=200,
        help="have each run answer N test rows, scored by the benchmark spider (default: 200; 0 for none)",
    )
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    from training.sft.train_config import load_options

    run = load_options(options.config)
    from training.backends.families import check_trains_here
    from training.sft.installed import check_installed

    check_trains_here(run, options.config)
    check_installed()
    from flows.progress import progress_for
    from training.sft.ablation_table import RESULT, format_markdown, run_ablation

    progress = progress_for(options.quiet)
    evaluations = []
    if options.answers:
        from flows.evaluation.ablation import evaluate_mixture

        evaluations.append(evaluate_mixture(run, options.answers, progress=progress))
    found = run_ablation(run, evaluations, progress)
    if os.environ.get("RANK", "0") == "0":
        print(format_markdown(found))
        print(run.out / RESULT)
    return 0


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or above")
    return int(text)
