"""`iqa-spider proof`: that a model trained on data built here learns to ground."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.arguments import add_quiet

GROUP = "train"
HELP = "Build data, train a tiny model and measure it on photographs held back"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the proof's YAML file")
    parser.add_argument("--out", metavar="DIR", type=Path, help="keep everything in this folder")
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    from flows.proof.proof_config import load_proof

    proof = load_proof(options.config)
    from training.sft.installed import check_installed

    check_installed()
    if options.out is not None:
        proof = proof.model_copy(update={"out": options.out})
    from flows.progress import progress_for
    from flows.proof.proof_run import RESULT, format_lines, run_proof

    result = run_proof(proof, progress_for(options.quiet))
    print("\n".join(format_lines(result)))
    print(proof.out / RESULT)
    return 0 if result["proved"] else 1
