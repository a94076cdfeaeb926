"""`iqa-spider ground`: a question about a picture, and where the answer points."""

from __future__ import annotations

import argparse

from flows.arguments import (
    add_answer_output,
    add_model,
    add_picture,
    print_answer,
    read_model,
    read_segmenter,
)

GROUP = "ask"
HELP = "Ask a model about a picture and see where its answer points"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser)
    parser.add_argument("question", metavar="QUESTION", help="the question, in quotes")
    add_model(parser)
    add_answer_output(parser)


def run(options: argparse.Namespace) -> int:
    from flows.grounding.region_input import open_picture

    picture = open_picture(options.image)
    result = read_model(options, read_segmenter(options)).ask(picture, options.question)
    print_answer(options, picture, result)
    return 0
