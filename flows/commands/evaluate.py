"""The command evaluate: a model on a benchmark, or two results compared."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flows.arguments import DTYPES, STRATEGIES, positive
from flows.evaluation.judge_server import add_judge_arguments, judge_of

BENCHMARKS = ("kadid10k", "q-bench-a1", "q-ground", "spider")
"""The benchmarks of flows.evaluation.evaluate, named here so that a typo is told at once."""
JUDGED = "spider"
"""The benchmark whose answers are texts that a judge can score."""


def add_evaluate(commands: Any) -> None:
    """Add it to the parsers of the command line."""
    evaluate = commands.add_parser("evaluate", help="measure a model on a benchmark, compare two results")
    parts = evaluate.add_subparsers(
        dest="benchmark", required=True, metavar="BENCHMARK", parser_class=type(evaluate)
    )
    for name in BENCHMARKS:
        one = parts.add_parser(name, help=f"measure a model on {name}")
        _add_setup(one)
        if name == JUDGED:
            add_judge_arguments(one)
        one.set_defaults(run=_evaluate)
    compare = parts.add_parser("compare", help="test whether B differs from A, item by item")
    compare.add_argument("a", metavar="A", type=Path, help="a folder that `evaluate` printed")
    compare.add_argument("b", metavar="B", type=Path, help="another one, of the same benchmark and data")
    compare.add_argument("--seed", metavar="N", type=int, default=0, help="the seed of the tests")
    compare.add_argument("--json", action="store_true", help="print results for programs as the last line")
    compare.set_defaults(run=_compare)


def _add_setup(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    baselines = "oracle, centre, whole, random, noun"
    add("--model", metavar="M", required=True, help=f"folder, adapter, hub name, or a baseline: {baselines}")
    add("--server", metavar="URL", help="ask the model behind this OpenAI-compatible server (.../v1) instead")
    add("--data", metavar="DIR", type=Path, required=True, help="the benchmark's files")
    add("--segmenter", metavar="S", default="graph", help="graph, or hub name or folder of a SAM")
    add("--strategy", choices=STRATEGIES, default="grid", help="from words to points")
    add("--revision", metavar="REV", help="of the model on the hub")
    add("--calibration", metavar="FILE", type=Path, help="temperatures that `calibrate` found for the model")
    add("--limit", metavar="N", type=positive, help="ask only the first N items")
    add("--baselines", action="store_true", help="run the baselines too, in one table")
    add("--out", metavar="DIR", type=Path, default=Path("evaluations"), help="results go in here")
    add("--seed", metavar="N", type=int, default=0, help="the seed of intervals and of chance")
    add(
        "--batch",
        metavar="N",
        type=positive,
        default=8,
        help="questions answered together, or requests in flight",
    )
    add("--max-tokens", metavar="N", type=positive, default=256, help="of an answer")
    add("--device", metavar="D", default="auto", help="cpu, cuda, cuda:1 (default: a GPU)")
    add("--dtype", choices=DTYPES, default="auto", help="of the model's weights")
    add("--json", action="store_true", help="print results for programs as the last line")


def _evaluate(options: argparse.Namespace) -> int:
    from flows.evaluation.evaluate import Wanted, print_done, run
    from flows.evaluation.models_under_test import Setup
    from flows.progress import progress_for

    setup = Setup(
        options.segmenter, options.strategy, options.max_tokens, options.device, options.dtype,
        options.batch, options.seed, options.revision, options.calibration,
        options.server,
    )  # fmt: skip
    wanted = Wanted(
        options.benchmark, options.model, options.data, options.out, setup, options.limit, options.baselines
    )
    if options.benchmark != JUDGED:
        print_done(run(wanted, progress=progress_for(False)), options.json)
        return 0
    with judge_of(options, options.out / "judge.sqlite") as judge:
        print_done(run(wanted, judge, progress_for(False)), options.json)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from flows.evaluation.evaluate import print_comparison

    print_comparison(options.a, options.b, options.seed, options.json)
    return 0
