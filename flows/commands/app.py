"""`iqa-spider app`: a page in the browser to try a model with."""

from __future__ import annotations

import argparse
from functools import partial

from flows.arguments import add_model, read_model, read_segmenter

GROUP = "ask"
HELP = "Try a model on a page in the browser, on this machine only"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", metavar="N", type=_port, default=7860, help="the port on 127.0.0.1 (default: 7860)"
    )
    add_model(parser)


def run(options: argparse.Namespace) -> int:
    from flows.grounding.open import serve_page

    say = partial(print, flush=True)
    serve_page(lambda: read_model(options, read_segmenter(options)), options.port, say)
    return 0


def _port(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if not 0 < value < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return value
