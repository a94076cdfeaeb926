"""`iqa-spider export`: a dataset in another program's format."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.arguments import add_dataset, add_quiet

GROUP = "export"
HELP = "Write a dataset in another program's format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from flows.dataset.export.formats import FORMATS

    add_dataset(parser)
    names = FORMATS.names()
    parser.add_argument(
        "--format", choices=names, metavar="FORMAT", required=True, help=f"one of {', '.join(names)}"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="write into this folder, which must not exist"
    )
    parser.add_argument("--split", help="export only this split")
    parser.add_argument("--task", action="append", default=[], help="export only this task (repeatable)")
    parser.add_argument(
        "--source", action="append", default=[], help="export only rows of this source (repeatable)"
    )
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    from flows.dataset.export.exporting import export
    from flows.progress import progress_for

    chosen = (options.split, options.task, options.source)
    written = export(
        options.dataset, options.format, options.out, *chosen, progress=progress_for(options.quiet)
    )
    print(f"{written.rows} rows, {written.pictures} pictures")
    print(options.out)
    return 0
