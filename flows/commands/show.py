"""`iqa-spider show`: one row as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.arguments import add_dataset
from schemas.errors import InputError, SampleError

GROUP = "look"
HELP = "Draw one row as a picture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    parser.add_argument("row_id", metavar="ROW_ID", help="the row's id, as in the column 'id'")
    parser.add_argument(
        "-o", "--output", metavar="PNG", type=Path, required=True, help="write the picture to this file"
    )


def run(options: argparse.Namespace) -> int:
    from flows.dataset.row_picture import draw_row
    from schemas.dataset import find_row
    from schemas.pictures import encode, load_png

    row, pictures = find_row(options.dataset, options.row_id)
    try:
        drawn = encode(draw_row(row, [load_png(data) for data in pictures]))
    except (SampleError, ValueError) as error:
        what = f"row {row.id} can't be drawn: {error}; see `iqa-spider verify`"
        raise InputError(f"{options.dataset}: {what}") from error
    try:
        options.output.write_bytes(drawn)
    except OSError as error:
        raise InputError(f"{options.output}: can't be written: {error.strerror}; give another -o") from error
    print(options.output)
    return 0
