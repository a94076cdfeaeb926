"""`iqa-spider build`: make a dataset, or the first stages of one."""

from __future__ import annotations

import argparse
import json

from flows.arguments import add_build, add_json, add_quiet, add_until, read_build

GROUP = "build"
HELP = "Build a dataset; what already exists is reused"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_build(parser)
    add_until(parser)
    add_quiet(parser)
    add_json(parser, "a summary")


def run(options: argparse.Namespace) -> int:
    config = read_build(options)
    from flows.engine.build import build, build_until
    from flows.engine.build_summary import outcome_lines, stopped_lines
    from flows.progress import progress_for

    progress = progress_for(options.quiet)
    if options.until is not None:
        stopped = build_until(config, options.until, options.limit, progress)
        lines, summary = stopped_lines(stopped), stopped.summary()
    else:
        outcome = build(config, options.limit, progress)
        lines, summary = outcome_lines(outcome), outcome.summary()
    print("\n".join(lines))
    if options.json:
        print(json.dumps(summary))
    return 0
