"""`iqa-spider recipes pack` and `recipes rebuild`: a dataset without its pictures, and back."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from flows.arguments import add_dataset, add_quiet, positive

GROUP = "export"
HELP = "Pack a dataset without its pictures, or rebuild one from its pack"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="recipe", required=True, metavar="COMMAND")

    pack = commands.add_parser("pack", help="write a dataset's rows and recipes to one file")
    add_dataset(pack)
    pack.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help="write the pack to this file"
    )
    add_quiet(pack)
    pack.set_defaults(run_recipe=_pack)

    rebuild = commands.add_parser("rebuild", help="rebuild the dataset of a pack from its photographs")
    rebuild.add_argument("pack", metavar="FILE", type=Path, help="the file that `recipes pack` wrote")
    source = rebuild.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--images",
        metavar="DIR",
        type=Path,
        help="take the photographs from this folder; names don't matter",
    )
    source.add_argument("--bundled", action="store_true", help="take the bundled photographs")
    rebuild.add_argument("--out", metavar="DIR", type=Path, required=True, help="the dataset's new folder")
    rebuild.add_argument(
        "--workers", metavar="N", type=positive, help="run N processes (default: one for each core)"
    )
    add_quiet(rebuild)
    rebuild.set_defaults(run_recipe=_rebuild)


def run(options: argparse.Namespace) -> int:
    code: int = options.run_recipe(options)
    return code


def _pack(options: argparse.Namespace) -> int:
    from flows.dataset.recipes.pack import pack
    from flows.progress import progress_for

    rows = pack(options.dataset, options.output, progress_for(options.quiet))
    size = options.output.stat().st_size
    print(f"{options.output}  {rows} rows, {size} bytes, {size / max(rows, 1):.0f} a row")
    return 0


def _rebuild(options: argparse.Namespace) -> int:
    """Rows that differ are printed, a line each, and make the exit code 1."""
    from flows.dataset.recipes.rebuild import rebuild
    from flows.progress import progress_for
    from schemas.config import ImagesConfig

    images = ImagesConfig(bundled=True) if options.bundled else ImagesConfig(folder=options.images)
    workers = options.workers or os.cpu_count() or 1
    outcome = rebuild(options.pack, images, options.out, workers, progress_for(options.quiet))
    for row_id, why in outcome.differing.items():
        print(f"{row_id}: {why}")
    if outcome.differing:
        print(f"{len(outcome.differing)} of {outcome.rows} rows differ; {options.out} was not written")
        return 1
    print(f"ok: {outcome.rows} rows, digest {outcome.digest}")
    print(f"dataset  {options.out}")
    return 0
