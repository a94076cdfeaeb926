"""`iqa-spider calibrate`: the temperatures that make a model's place words mean what they say."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.arguments import add_dataset, add_local_model, add_quiet, positive

GROUP = "measure"
HELP = "Fit the temperatures of a model's place words on held-out rows"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from schemas.choices import CALIBRATED_STRATEGIES

    add_dataset(parser)
    parser.add_argument(
        "--split",
        default="test",
        help="the split of rows the model wasn't trained on (default: test)",
    )
    parser.add_argument("--limit", metavar="N", type=positive, help="use at most N grounding rows")
    add_local_model(parser)
    parser.add_argument(
        "--strategy",
        choices=CALIBRATED_STRATEGIES,
        default="grid",
        help="the strategy to fit them for (default: grid)",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="write the temperatures to this file; pass it to --calibration",
    )
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    from flows.grounding.calibrate import fit_temperatures
    from flows.progress import progress_for

    lines = fit_temperatures(
        options.dataset,
        options.split,
        options.limit,
        options.out,
        model=options.model,
        revision=options.revision,
        strategy=options.strategy,
        max_tokens=options.max_tokens,
        device=options.device,
        dtype=options.dtype,
        progress=progress_for(options.quiet),
    )
    print("\n".join(lines))
    print(options.out)
    return 0
