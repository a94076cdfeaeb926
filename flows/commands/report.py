"""`iqa-spider report`: a dataset's totals, and where its page is."""

from __future__ import annotations

import argparse

from flows.arguments import add_dataset
from schemas.errors import InputError

GROUP = "look"
HELP = "Print a dataset's totals and where its report is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)


def run(options: argparse.Namespace) -> int:
    from flows.engine.build_summary import manifest_lines
    from schemas.dataset import load_manifest

    path = options.dataset / "report.html"
    manifest = load_manifest(options.dataset)
    if not path.is_file():
        raise InputError(f"{path}: the dataset's report is gone; build again")
    print("\n".join(manifest_lines(manifest)))
    print(f"report   {path.resolve()}")
    return 0
