"""The commands of inference: evaluate."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flows.judging import add_judge_arguments, judge_of

BENCHMARKS = ("kadid10k", "q-bench-a1", "q-ground", "spider")
"""The benchmarks of flows.evaluate, named here so that a typo is told at once."""
JUDGED = "spider"
"""The benchmark whose answers are texts that a judge can score."""
STRATEGIES = ("paper", "grid", "proposal")


def add_inference_commands(commands: Any) -> None:
    """Add them to the parsers of the command line."""
    _add_evaluate(commands)


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="measure a model on a benchmark, compare two results")
    parts = evaluate.add_subparsers(
        dest="benchmark", required=True, metavar="BENCHMARK", parser_class=type(evaluate)
    )
    for name in BENCHMARKS:
        one = parts.add_parser(name, help=f"measure a model on {name}")
        one.add_argument(
            "--model", metavar="M", required=True,
            help="a folder, a name on the hub, or a baseline: oracle, centre, whole, random, noun",
        )  # fmt: skip
        one.add_argument("--data", metavar="DIR", type=Path, required=True, help="the benchmark's files")
        one.add_argument("--segmenter", metavar="S", default="graph", help="what turns points into masks")
        one.add_argument("--strategy", choices=STRATEGIES, default="grid", help="how words become points")
        one.add_argument("--limit", metavar="N", type=_positive, help="ask only the first N items")
        one.add_argument("--baselines", action="store_true", help="run the baselines too, in one table")
        one.add_argument(
            "--out", metavar="DIR", type=Path, default=Path("evaluations"), help="results go in here"
        )
        one.add_argument("--seed", metavar="N", type=int, default=0, help="the seed of intervals and chance")
        one.add_argument("--json", action="store_true", help="print results for programs as the last line")
        if name == JUDGED:
            add_judge_arguments(one)
        one.set_defaults(run=_evaluate)
    compare = parts.add_parser("compare", help="test whether B differs from A, item by item")
    compare.add_argument("a", metavar="A", type=Path, help="a folder that `evaluate` printed")
    compare.add_argument("b", metavar="B", type=Path, help="another one, of the same benchmark and data")
    compare.add_argument("--seed", metavar="N", type=int, default=0, help="the seed of the tests")
    compare.add_argument("--json", action="store_true", help="print results for programs as the last line")
    compare.set_defaults(run=_compare)


def _positive(text: str) -> int:
    value = int(text) if text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def _evaluate(options: argparse.Namespace) -> int:
    from flows.evaluate import Wanted, print_done, run

    wanted = Wanted(
        options.benchmark, options.model, options.data, options.out, options.segmenter, options.strategy,
        options.limit, options.baselines, options.seed,
    )  # fmt: skip
    if options.benchmark != JUDGED:
        print_done(run(wanted), options.json)
        return 0
    with judge_of(options, options.out / "judge.sqlite") as judge:
        print_done(run(wanted, judge), options.json)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from flows.evaluate import print_comparison

    print_comparison(options.a, options.b, options.seed, options.json)
    return 0
