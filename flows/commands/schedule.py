"""`iqa-spider schedule`: build again and again at set times."""

from __future__ import annotations

import argparse
from functools import partial

from flows.arguments import add_build, add_quiet, read_build

GROUP = "build"
HELP = "Run a build at set times until stopped"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_build(parser)
    parser.add_argument(
        "--cron", required=True, help='the times to build at, in UTC: five fields, for example "0 3 * * *"'
    )
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    config = read_build(options)
    from flows.engine.schedule import serve

    serve(config, options.limit, options.cron, partial(print, flush=True), options.quiet)
    return 0
