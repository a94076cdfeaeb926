"""The commands of inference: ground, describe, refer, demo, calibrate; `evaluate` has a module of its own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.arguments import DTYPES, STRATEGIES, positive
from flows.commands.evaluate import add_evaluate

if TYPE_CHECKING:
    from inference.answers import Segmenter
    from inference.spider import Spider


def add_inference_commands(commands: Any) -> None:
    """Add them to the parsers of the command line."""
    ground = commands.add_parser("ground", help="ask a model about a picture and see where its answer points")
    ground.add_argument("image", metavar="IMAGE", type=Path)
    ground.add_argument("question", metavar="QUESTION")
    _add_model(ground)
    _add_output(ground)
    ground.set_defaults(run=_ground)

    describe = commands.add_parser("describe", help="have a model describe a picture's or region's quality")
    describe.add_argument("image", metavar="IMAGE", type=Path)
    describe.add_argument(
        "--region", metavar="REGION", help="a box x,y,w,h, a point x,y, or a picture file that masks it"
    )
    _add_name(describe)
    _add_model(describe)
    _add_output(describe)
    describe.set_defaults(run=_describe)

    refer = commands.add_parser("refer", help="have a model name what is wrong with a region of a picture")
    refer.add_argument("image", metavar="IMAGE", type=Path)
    region = refer.add_mutually_exclusive_group(required=True)
    region.add_argument("--box", metavar="X,Y,W,H", help="in pixels")
    region.add_argument("--point", metavar="X,Y", help="in pixels")
    region.add_argument("--mask", metavar="FILE", type=Path, help="a picture of its size, black elsewhere")
    refer.add_argument("--long", action="store_true", help="with levels and effects")
    _add_name(refer)
    _add_model(refer)
    _add_output(refer)
    refer.set_defaults(run=_refer)

    demo = commands.add_parser("demo", help="a page to try a model in the browser, on this machine alone")
    demo.add_argument("--port", metavar="N", type=_port, default=7860, help="of 127.0.0.1 (default: 7860)")
    _add_model(demo)
    demo.set_defaults(run=_demo)

    calibrate = commands.add_parser("calibrate", help="fit the temperatures of place words on held-out rows")
    calibrate.add_argument("dataset", metavar="DATASET", type=Path)
    calibrate.add_argument("--split", default="test", help="rows that the model wasn't trained on")
    calibrate.add_argument("--limit", metavar="N", type=positive, help="grounding rows at most")
    _add_local(calibrate)
    calibrate.add_argument("--strategy", choices=STRATEGIES[:2], default="grid", help="that reads them")
    calibrate.add_argument("--out", metavar="FILE", type=Path, required=True, help="for --calibration")
    calibrate.set_defaults(run=_calibrate)

    add_evaluate(commands)


def _add_local(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", metavar="M", required=True, help="hub name, folder, or folder of a trained adapter"
    )
    parser.add_argument("--revision", metavar="REV", help="of the model on the hub")
    parser.add_argument("--max-tokens", metavar="N", type=positive, default=256, help="of an answer")
    parser.add_argument("--device", metavar="D", default="auto", help="cpu, cuda, cuda:1 (default: a GPU)")
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="of the model's weights")


def _add_model(parser: argparse.ArgumentParser) -> None:
    _add_local(parser)
    parser.add_argument(
        "--server", metavar="URL", help="ask the model behind this OpenAI-compatible server (.../v1) instead"
    )
    parser.add_argument(
        "--segmenter", metavar="S", default="graph", help="graph, or hub name or folder of a SAM"
    )
    parser.add_argument("--strategy", choices=STRATEGIES, default="grid", help="from words to points")
    parser.add_argument(
        "--calibration", metavar="FILE", type=Path, help="temperatures that `calibrate` found for this model"
    )


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="WORDS", help="what the region shows (default: its look)")


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="PNG", type=Path, help="draw the result")
    parser.add_argument("--json", action="store_true", help="print the result for programs as the last line")


def _port(text: str) -> int:
    value = int(text) if text.isdigit() else 0
    if not 0 < value < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return value


def _segmenter(options: argparse.Namespace) -> Segmenter:
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


def _spider(options: argparse.Namespace, segmenter: Segmenter) -> Spider:
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


def _ground(options: argparse.Namespace) -> int:
    from flows.grounding.region_input import open_picture
    from flows.grounding.results import tell

    picture = open_picture(options.image)
    result = _spider(options, _segmenter(options)).ask(picture, options.question)
    tell(picture, result, None, options.json, options.out)
    return 0


def _describe(options: argparse.Namespace) -> int:
    from flows.grounding.questions import question_about
    from flows.grounding.region_input import open_picture, region_given
    from flows.grounding.results import tell

    picture = open_picture(options.image)
    segmenter = _segmenter(options)
    asked = None if options.region is None else region_given(segmenter, picture, options.region)
    question = question_about("whole" if asked is None else "region", picture, asked, options.name)
    result = _spider(options, segmenter).ask(picture, question)
    tell(picture, result, asked, options.json, options.out)
    return 0


def _refer(options: argparse.Namespace) -> int:
    from flows.grounding.questions import question_about
    from flows.grounding.region_input import open_mask, open_picture, region_at, region_in
    from flows.grounding.results import tell

    picture = open_picture(options.image)
    segmenter = _segmenter(options)
    if options.mask is not None:
        asked = open_mask(options.mask, picture.shape)
    elif options.box is not None:
        asked = region_in(segmenter.encode(picture), options.box)
    else:
        asked = region_at(segmenter.encode(picture), options.point)
    question = question_about("long" if options.long else "short", picture, asked, options.name)
    result = _spider(options, segmenter).ask(picture, question)
    tell(picture, result, asked, options.json, options.out)
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from flows.grounding.calibrate import fit_temperatures

    fit_temperatures(
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
    )
    return 0


def _demo(options: argparse.Namespace) -> int:
    from flows.grounding.open import serve_page

    serve_page(lambda: _spider(options, _segmenter(options)), options.port)
    return 0
