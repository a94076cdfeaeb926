"""Arguments that several commands take, and what they mean. Imports the standard library alone."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.choices import DTYPES, RUNNERS, STRATEGIES

if TYPE_CHECKING:
    from flows.grounding.region_input import RgbImage
    from inference.grounded_answer import Result, Segmenter
    from inference.spider import Spider
    from schemas.config import BuildConfig
    from schemas.masks import BoolMask


def positive(text: str) -> int:
    """A whole number above 0. Raises ArgumentTypeError."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """The option of every command that shows its progress."""
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """The option of a command that can end with a line for programs."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON in the last line")


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """The folder of a dataset."""
    parser.add_argument("dataset", metavar="DATASET", type=Path, help="the dataset's folder")


def add_build(parser: argparse.ArgumentParser) -> None:
    """A build's configuration and what takes the place of some of its keys; see `read_build`."""
    add_configuration(parser)
    parser.add_argument(
        "--workers",
        metavar="N",
        type=positive,
        help="work on N shards at the same time (default: one for each core)",
    )
    parser.add_argument("--runner", choices=RUNNERS, help="where shards are made")
    parser.add_argument("--seed", metavar="N", type=int, help="the seed of every random draw")


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """A build's configuration, its photographs and its folder."""
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the build's YAML file")
    parser.add_argument("--images", metavar="DIR", type=Path, help="take the photographs from this folder")
    parser.add_argument("--out", metavar="DIR", type=Path, help="keep datasets and the store in this folder")
    parser.add_argument("--limit", metavar="N", type=positive, help="use only N photographs")


def read_build(options: argparse.Namespace) -> BuildConfig:
    """The configuration that `add_build` or `add_configuration` asked for. Raises InputError."""
    from flows.engine.overrides import Overrides, configure

    given = vars(options)
    overrides = Overrides(
        options.images, options.out, given.get("workers"), given.get("runner"), given.get("seed")
    )
    return configure(options.config, overrides)


def add_until(parser: argparse.ArgumentParser) -> None:
    """The stage that a build ends after; a dataset is made by the last two, so they can't be chosen."""
    from flows.stages.table import STAGES

    before = STAGES[: STAGES.index("merge")]
    parser.add_argument(
        "--until", choices=before, metavar="STAGE", help=f"stop after this stage: {', '.join(before)}"
    )


def add_local_model(parser: argparse.ArgumentParser, or_else: str = "") -> None:
    """A model that runs on this machine."""
    what = "a name on the hub, a folder, or the folder of a trained adapter"
    parser.add_argument("--model", metavar="M", required=True, help=f"the model: {what}{or_else}")
    parser.add_argument("--revision", metavar="REV", help="the model's revision on the hub")
    parser.add_argument(
        "--max-tokens",
        metavar="N",
        type=positive,
        default=256,
        help="maximum tokens per answer (default: 256)",
    )
    parser.add_argument(
        "--device",
        metavar="D",
        default="auto",
        help="cpu, cuda, or one GPU such as cuda:1 (default: a GPU if there is one)",
    )
    parser.add_argument(
        "--dtype", choices=DTYPES, default="auto", help="the precision of the model's weights (default: auto)"
    )


def add_model(parser: argparse.ArgumentParser, or_else: str = "") -> None:
    """A model here or behind a server, and the way from its words to masks."""
    add_local_model(parser, or_else)
    parser.add_argument(
        "--server",
        metavar="URL",
        help="ask the model of this name on an OpenAI-compatible server instead; the address ends in /v1",
    )
    parser.add_argument(
        "--segmenter",
        metavar="S",
        default="graph",
        help="what turns points into masks: graph, or a SAM's name on the hub or folder (default: graph)",
    )
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="grid",
        help="how the words of an answer become points (default: grid)",
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        type=Path,
        help="the temperatures that `calibrate` found for this model",
    )


def add_picture(parser: argparse.ArgumentParser) -> None:
    """The picture that a question is about."""
    parser.add_argument("image", metavar="IMAGE", type=Path, help="the picture's file")


def read_segmenter(options: argparse.Namespace) -> Segmenter:
    """The segmenter that `add_model` asked for. Raises InputError, also for what can't go with a server."""
    from flows.grounding.open import check_server, open_segmenter

    check_server(
        options.server,
        revision=options.revision,
        device=options.device,
        dtype=options.dtype,
        segmenter=options.segmenter,
        with_calibration=options.calibration is not None,
    )
    return open_segmenter(options.segmenter, options.device)


def read_model(options: argparse.Namespace, segmenter: Segmenter) -> Spider:
    """The model that `add_model` asked for, in front of its segmenter. Raises InputError."""
    from flows.grounding.open import open_spider

    return open_spider(
        options.model,
        revision=options.revision,
        server=options.server,
        segmenter=segmenter,
        strategy=options.strategy,
        max_tokens=options.max_tokens,
        device=options.device,
        dtype=options.dtype,
        calibration=options.calibration,
    )


def add_region_name(parser: argparse.ArgumentParser) -> None:
    """How a question calls its region."""
    parser.add_argument(
        "--name", metavar="WORDS", help="call the region this in the question (default: by its look)"
    )


def add_answer_output(parser: argparse.ArgumentParser) -> None:
    """Where an answer goes; see `print_answer`."""
    parser.add_argument("--out", metavar="PNG", type=Path, help="draw the result into this file")
    add_json(parser, "the result")


def print_answer(
    options: argparse.Namespace, picture: RgbImage, result: Result, asked: BoolMask | None = None
) -> None:
    """Draw a result where `--out` is given, and print it; `asked` is the region in question.

    Raises InputError for a file that can't be written.
    """
    import json

    from flows.grounding.results import as_json, result_lines, write_picture

    if options.out is not None:
        from inference.drawing import draw_result

        write_picture(options.out, draw_result(picture, result, asked))
    print("\n".join(result_lines(result, picture.shape)))
    if options.json:
        print(json.dumps(as_json(result, picture.shape, asked)))
