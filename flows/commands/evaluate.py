"""`iqa-spider evaluate`: measure a model on a benchmark, or compare two results."""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from flows.arguments import add_json, add_model, add_quiet, positive
from schemas.errors import InputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from inference.evaluation.judge import Judge

GROUP = "measure"
HELP = "Measure a model on a benchmark, or compare two results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from inference.evaluation.benchmarks import BENCHMARKS

    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name in BENCHMARKS.names():
        one = commands.add_parser(name, help=f"measure a model on {name}")
        _add_measuring(one)
        one.set_defaults(run_evaluation=_evaluate)
    compare = commands.add_parser("compare", help="test whether B differs from A, item by item")
    compare.add_argument("a", metavar="A", type=Path, help="a folder that `evaluate` printed")
    compare.add_argument("b", metavar="B", type=Path, help="another one, of the same benchmark and data")
    compare.add_argument(
        "--seed", metavar="N", type=int, default=0, help="the seed of the tests' draws (default: 0)"
    )
    add_json(compare, "the results")
    compare.set_defaults(run_evaluation=_compare)


def run(options: argparse.Namespace) -> int:
    code: int = options.run_evaluation(options)
    return code


def _add_measuring(parser: argparse.ArgumentParser) -> None:
    from flows.evaluation.judge_server import API_KEY
    from schemas.choices import BASELINES

    add_model(parser, f", or a baseline: {', '.join(BASELINES)}")
    add = parser.add_argument
    add("--data", metavar="DIR", type=Path, required=True, help="the folder with the benchmark's files")
    add("--limit", metavar="N", type=positive, help="ask only the first N items")
    add("--baselines", action="store_true", help="measure the baselines too, in the same table")
    add(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("evaluations"),
        help="keep results in this folder (default: evaluations)",
    )
    add(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="the seed of the intervals' draws and of the baseline `random` (default: 0)",
    )
    add(
        "--batch",
        metavar="N",
        type=positive,
        default=8,
        help="answer N questions together, or keep N requests in flight (default: 8)",
    )
    add_quiet(parser)
    add_json(parser, "the results")
    judge = parser.add_argument_group(
        "judge", f"a model that scores written answers by a rubric; the API key is taken from {API_KEY}"
    )
    judge.add_argument(
        "--judge", metavar="URL", help="the address of an OpenAI-compatible server; it ends in /v1"
    )
    judge.add_argument("--judge-model", metavar="NAME", help="the judge's name on that server")
    judge.add_argument(
        "--rubric",
        metavar="NAME",
        action="append",
        help="0-10 (descriptions), 0-5 (grounding) or a YAML file; repeatable (default: both)",
    )


def _evaluate(options: argparse.Namespace) -> int:
    from flows.evaluation.evaluate import Wanted, result_lines, run
    from flows.evaluation.models_under_test import Setup
    from flows.progress import progress_for
    from inference.evaluation.benchmarks import benchmark_of

    setup = Setup(
        options.segmenter, options.strategy, options.max_tokens, options.device, options.dtype,
        options.batch, options.seed, options.revision, options.calibration,
        options.server,
    )  # fmt: skip
    wanted = Wanted(
        options.benchmark, options.model, options.data, options.out, setup, options.limit, options.baselines
    )
    judged = benchmark_of(options.benchmark).judged
    with _judge(options, judged) as judge:
        done = run(wanted, judge, progress_for(options.quiet))
    print("\n".join(result_lines(done)))
    if options.json:
        told = [{"folder": str(one.folder), **one.summary.model_dump(mode="json")} for one in done]
        print(json.dumps({"evaluations": told}))
    return 0


def _judge(options: argparse.Namespace, judged: bool) -> AbstractContextManager[Judge | None]:
    """The judge that the options ask for, None without `--judge`; its replies lie in the results' folder.

    Raises InputError for options that don't fit together and for a rubric that can't be read.
    """
    given = [name for name in ("judge", "judge_model", "rubric") if getattr(options, name) is not None]
    if not given:
        return nullcontext()
    option = f"--{given[0].replace('_', '-')}"
    if not judged:
        raise InputError(
            f"{option}: no judge scores the answers to {options.benchmark}; leave the judge's options out"
        )
    if options.judge is None:
        raise InputError(f"{option} needs --judge URL; give it too")
    if options.judge_model is None:
        raise InputError("--judge needs --judge-model NAME; give the model's name on that server")
    from flows.evaluation.judge_server import served

    return served(options.judge, options.judge_model, options.rubric, options.out / "judge.sqlite")


def _compare(options: argparse.Namespace) -> int:
    from flows.evaluation.evaluate import compare_results, comparison_lines

    compared = compare_results(options.a, options.b, options.seed)
    print("\n".join(comparison_lines(compared)))
    if options.json:
        found = compared.found
        told = {
            "a": str(options.a), "b": str(options.b), "items": found.items, "only_a": found.only_a,
            "only_b": found.only_b, "compared": [one.model_dump(mode="json") for one in found.compared],
        }  # fmt: skip
        print(json.dumps(told))
    return 0
