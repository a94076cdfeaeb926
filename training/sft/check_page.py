"""Renders the page of `train --check`: tokens by task, and a row of each task as the model sees it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from schemas.html_pages import own_file, page_templates
from training.sft.encode_rows import IGNORED


@dataclass(frozen=True)
class CheckedRow:
    """A row on the page: the row itself and its encoded tensors."""

    row: dict[str, Any]
    found: dict[str, Any]


def render_page(
    title: str,
    table: Sequence[Sequence[str]],
    lines: Sequence[str],
    rows: Sequence[CheckedRow],
    processor: Any,
) -> str:
    """The page as HTML. `table` starts with its header row; `lines` are shown verbatim."""
    head, *body = table
    template = page_templates("training.sft").get_template("page.html")
    return template.render(
        title=title,
        style=own_file("training.sft", "page.css"),
        head=head,
        body=body,
        lines=lines,
        sections=[_row_section(row, processor) for row in rows],
    )


def _row_section(shown: CheckedRow, processor: Any) -> dict[str, Any]:
    """The values of a row's section in the template."""
    row, found = shown.row, shown.found
    sides = [f"{picture.width} x {picture.height}" for picture in row["images"]]
    whole = len(sides) == 1 or "image_grid_thw" in found
    pictures = [
        {
            "png": _encode_png(picture),
            "caption": f"{picture.width} x {picture.height} pixels"
            + (f", from {sides[number]}" if whole else " (a tile)"),
        }
        for number, picture in enumerate(restore_pictures(found, processor))
    ]
    return {
        "task": row["task"],
        "row_id": row["id"],
        "shapes": ", ".join(f"{key} {' x '.join(map(str, value.shape))}" for key, value in found.items()),
        "pictures": pictures,
        "text": _text_pieces(found, processor),
    }


def _text_pieces(found: dict[str, Any], processor: Any) -> list[tuple[str, str, int]]:
    """The row's text in pieces (kind, text, number of tokens).

    The kind is "trained", "plain", or "repeated": a token more than three times in a row, written once.
    """
    trains = [label != IGNORED for label in found["labels"][0].tolist()]
    pieces: list[tuple[str, list[int]]] = []
    for (token, trained), same in groupby(zip(found["input_ids"][0].tolist(), trains, strict=True)):
        count = len(list(same))
        kind = "trained" if trained else "repeated" if count > 3 else "plain"
        if not pieces or pieces[-1][0] != kind or kind == "repeated":
            pieces.append((kind, []))
        pieces[-1][1].extend([token] * count)
    decode = processor.tokenizer.decode
    return [
        (
            kind,
            decode(tokens[:1] if kind == "repeated" else tokens, clean_up_tokenization_spaces=False),
            len(tokens),
        )
        for kind, tokens in pieces
    ]


def restore_pictures(found: dict[str, Any], processor: Any) -> list[Any]:
    """A row's pictures as the processor left them, as PIL images: one for each picture or tile.

    Undoes the scaling of values and the cut into patches (Qwen2VLImageProcessor in transformers: time, rows
    and columns of merged patches, patches in them, channels, frames, pixels).
    """
    import numpy as np
    from PIL import Image

    if "pixel_values" not in found:
        return []
    images = processor.image_processor
    values = found["pixel_values"].float().numpy()
    if "image_grid_thw" in found:
        side, merge, frames = images.patch_size, images.merge_size, images.temporal_patch_size
        arrays, start = [], 0
        for _, high, wide in found["image_grid_thw"].tolist():
            patches = values[start : start + high * wide]
            start += high * wide
            cut = patches.reshape(high // merge, wide // merge, merge, merge, -1, frames, side, side)
            ordered = cut[..., 0, :, :].transpose(4, 0, 2, 5, 1, 3, 6)
            arrays.append(ordered.reshape(-1, high * side, wide * side))
    else:
        arrays = list(values)
    mean, spread = (
        np.asarray(part, np.float32)[:, None, None] for part in (images.image_mean, images.image_std)
    )
    return [
        Image.fromarray(
            np.clip((array * spread + mean) * 255 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)
        )
        for array in arrays
    ]


def _encode_png(picture: Any) -> bytes:
    stored = io.BytesIO()
    picture.save(stored, "PNG")
    return stored.getvalue()
