"""`iqa-spider digest`: what tells whether two datasets have the same rows."""

from __future__ import annotations

import argparse

from flows.arguments import add_dataset

GROUP = "look"
HELP = "Compute a dataset's digest from its rows and pixels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)


def run(options: argparse.Namespace) -> int:
    from flows.dataset.verify import computed_digest

    print(computed_digest(options.dataset))
    return 0
