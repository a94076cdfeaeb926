"""`iqa-spider regions`: the regions of a build as the files of Semantic-Segment-Anything."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.arguments import add_configuration, read_build

GROUP = "export"
HELP = "Write a build's regions as files of other tools"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_configuration(parser)
    parser.add_argument(
        "--ssa-json",
        metavar="DIR",
        type=Path,
        required=True,
        help="write one NAME_semantic.json for each photograph into this folder, as SSA does",
    )


def run(options: argparse.Namespace) -> int:
    config = read_build(options)
    from flows.engine.regions_export import write_ssa_files

    written = write_ssa_files(config, options.limit, options.ssa_json)
    print(f"{written} files in {options.ssa_json.resolve()}")
    return 0
