"""`iqa-spider refer`: what is wrong with a region, in a model's words."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.arguments import (
    add_answer_output,
    add_model,
    add_picture,
    add_region_name,
    print_answer,
    read_model,
    read_segmenter,
)

GROUP = "ask"
HELP = "Have a model name what is wrong with a region of a picture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser)
    region = parser.add_mutually_exclusive_group(required=True)
    region.add_argument("--box", metavar="X,Y,W,H", help="the region in this box, in pixels")
    region.add_argument("--point", metavar="X,Y", help="the region at this point, in pixels")
    region.add_argument(
        "--mask",
        metavar="FILE",
        type=Path,
        help="the region that this picture masks: of the same size, black outside the region",
    )
    parser.add_argument(
        "--long", action="store_true", help="ask for levels and effects too, not for the names alone"
    )
    add_region_name(parser)
    add_model(parser)
    add_answer_output(parser)


def run(options: argparse.Namespace) -> int:
    from flows.grounding.questions import question_about
    from flows.grounding.region_input import open_mask, open_picture, region_at, region_in

    picture = open_picture(options.image)
    segmenter = read_segmenter(options)
    if options.mask is not None:
        asked = open_mask(options.mask, picture.shape)
    elif options.box is not None:
        asked = region_in(segmenter.encode(picture), options.box)
    else:
        asked = region_at(segmenter.encode(picture), options.point)
    question = question_about("long" if options.long else "short", picture, asked, options.name)
    result = read_model(options, segmenter).ask(picture, question)
    print_answer(options, picture, result, asked)
    return 0
