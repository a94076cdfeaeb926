"""`iqa-spider describe`: the quality of a picture or of one region, in a model's words."""

from __future__ import annotations

import argparse

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
HELP = "Have a model describe the quality of a picture or region"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser)
    parser.add_argument(
        "--region",
        metavar="REGION",
        help="the region: a box x,y,w,h or a point x,y in pixels, or a picture file that masks it",
    )
    add_region_name(parser)
    add_model(parser)
    add_answer_output(parser)


def run(options: argparse.Namespace) -> int:
    from flows.grounding.questions import question_about
    from flows.grounding.region_input import open_picture, region_given

    picture = open_picture(options.image)
    segmenter = read_segmenter(options)
    asked = None if options.region is None else region_given(segmenter, picture, options.region)
    question = question_about("whole" if asked is None else "region", picture, asked, options.name)
    result = read_model(options, segmenter).ask(picture, question)
    print_answer(options, picture, result, asked)
    return 0
