"""The commands of training: train, ablation, proof."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import InputError

if TYPE_CHECKING:
    from training.sft.options import TrainOptions


OTHERS = ("ms-swift", "llama-factory")
"""The names of training.backends.BACKENDS, written here so that a typo is told at once."""


def add_training_commands(commands: Any) -> None:
    """Add them to the parsers of the command line."""
    train = commands.add_parser(
        "train", help="fine-tune a vision-language model on a dataset; goes on by itself"
    )
    train.add_argument("config", metavar="CONFIG", type=Path, help="the run's YAML file")
    way = train.add_mutually_exclusive_group()
    way.add_argument("--check", action="store_true", help="look at rows, tokens, memory; train nothing")
    way.add_argument(
        "--merge", metavar="DIR", type=Path, help="write the trained model as a plain checkpoint"
    )
    way.add_argument("--print", action="store_true", help="print a script for the trainer --backend names")
    train.add_argument(
        "--backend",
        choices=("trl", *OTHERS),
        default="trl",
        help="the trainer (default: trl, in this process)",
    )
    train.set_defaults(run=_train)
    ablation = commands.add_parser(
        "ablation", help="train on ours, with each other source, with all; compare on held-out rows"
    )
    ablation.add_argument("config", metavar="CONFIG", type=Path, help="a run's YAML file, without sources")
    ablation.add_argument(
        "--answers",
        metavar="N",
        type=_whole,
        default=200,
        help="test rows that each run answers and the benchmark spider scores (default: 200; 0 for none)",
    )
    ablation.set_defaults(run=_ablation)

    proof = commands.add_parser(
        "proof", help="build, train a tiny model and measure its points on photographs held back"
    )
    proof.add_argument("config", metavar="CONFIG", type=Path, help="the proof's YAML file")
    proof.add_argument("--out", metavar="DIR", type=Path, help="put everything in this folder")
    proof.set_defaults(run=_proof)


def _whole(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or above")
    return int(text)


def _train(options: argparse.Namespace) -> int:
    from training.sft.options import load_options

    run = load_options(options.config)
    if options.print or options.backend in OTHERS:
        return _print(options, run)
    from training.backends import check_trains_here

    check_trains_here(run, options.config)
    _check_installed()
    if options.check:
        from training.sft.checking import check

        print("\n".join(check(run)))
        return 0
    if options.merge is not None:
        from training.sft.saving import ADAPTER, merge

        merge(run.out / ADAPTER, options.merge, run.model.dtype)
        print(options.merge)
        return 0
    from training.sft.run import train

    done = train(run)
    if os.environ.get("RANK", "0") != "0":
        return 0
    left_out = ", ".join(f"{count} {reason}" for reason, count in done.unfit.items()) or "none"
    print(f"{done.steps} steps, rows left out: {left_out}")
    print(done.adapter)
    return 0


def _print(options: argparse.Namespace, run: TrainOptions) -> int:
    from training.backends import BACKENDS

    backend = options.backend
    if backend not in BACKENDS:
        raise InputError(f"--print needs --backend {' or '.join(BACKENDS)}")
    if not options.print:
        raise InputError(f"{backend} trains in an environment of its own; add --print and run what it prints")
    print(BACKENDS[backend](run, options.config), end="")
    return 0


def _ablation(options: argparse.Namespace) -> int:
    from training.sft.options import load_options

    run = load_options(options.config)
    from training.backends import check_trains_here

    check_trains_here(run, options.config)
    _check_installed()
    from training.sft.ablation import RESULT, ablation, markdown

    evaluations = []
    if options.answers:
        from flows.evaluation.ablation import answered

        evaluations.append(answered(run, options.answers))
    found = ablation(run, evaluations)
    if os.environ.get("RANK", "0") == "0":
        print(markdown(found))
        print(run.out / RESULT)
    return 0


def _proof(options: argparse.Namespace) -> int:
    from flows.proof.options import load_proof

    proof = load_proof(options.config)
    _check_installed()
    if options.out is not None:
        proof = proof.model_copy(update={"out": options.out})
    from flows.progress import progress_for
    from flows.proof.run import RESULT, lines, run_proof

    result = run_proof(proof, progress_for(False))
    print("\n".join(lines(result)))
    print(proof.out / RESULT)
    return 0 if result["proved"] else 1


def _check_installed() -> None:
    """Raises InputError when a package that training needs isn't there."""
    missing = [
        name for name in ("torch", "transformers", "peft", "tensorboard", "trl") if find_spec(name) is None
    ]
    if missing:
        raise InputError(f"training needs {', '.join(missing)}; pip install 'iqa-spider[train]'")
