"""The page of `train --check`: tokens by task, and a row of each task as the model sees it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any

from training.sft.rows import IGNORED


@dataclass(frozen=True)
class Shown:
    """A row on the page: the row itself and its encoded tensors."""

    row: dict[str, Any]
    found: dict[str, Any]


def page(
    title: str, table: Sequence[Sequence[str]], lines: Sequence[str], rows: Sequence[Shown], processor: Any
) -> str:
    """The page as HTML. `table` has its head first; `lines` are shown as they stand."""
    head, *body = table
    cells = "".join(f"<th>{html.escape(cell)}" for cell in head)
    for line in body:
        cells += "<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in line)
    said = html.escape("\n".join(lines))
    shown = "".join(_section(row, processor) for row in rows)
    style = (files("training.sft") / "page.css").read_text(encoding="utf-8")
    name = html.escape(title)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{name}: rows as the model sees them</title><style>{style}</style>"
        f"<h1>{name}</h1><p class=muted>Rows as the model sees them: text after the chat template, pictures "
        "after the processor. <mark>Marked</mark> is what the loss is taken on.</p>"
        f"<table><tr>{cells}</table><pre class=lines>{said}</pre>{shown}\n"
    )


def _section(shown: Shown, processor: Any) -> str:
    row, found = shown.row, shown.found
    sides = [f"{picture.width} x {picture.height}" for picture in row["images"]]
    figures = ""
    for number, picture in enumerate(seen_pictures(found, processor)):
        was = f", from {sides[number]}" if len(sides) == 1 or "image_grid_thw" in found else " (a tile)"
        alt = f"picture {number + 1} after the processor"
        figures += (
            f'<figure><img src="{_data_uri(picture)}" alt="{alt}">'
            f"<figcaption>{picture.width} x {picture.height} pixels{was}</figcaption></figure>"
        )
    shapes = ", ".join(
        f"{html.escape(key)} {' x '.join(map(str, value.shape))}" for key, value in found.items()
    )
    about = f"{html.escape(row['id'])} &middot; {shapes}"
    return (
        f"<section><h2>{html.escape(row['task'])}</h2><p class=muted>{about}</p><div class=beside>"
        f"<div>{figures or 'no picture'}</div><pre class=row>{_text(found, processor)}</pre></div></section>"
    )


def _text(found: dict[str, Any], processor: Any) -> str:
    """The tokens' text; what trains is marked, and a token that repeats itself is written once, counted."""
    trains = [label != IGNORED for label in found["labels"][0].tolist()]
    pieces: list[tuple[str, list[int]]] = []
    for (token, trained), same in groupby(zip(found["input_ids"][0].tolist(), trains, strict=True)):
        count = len(list(same))
        kind = "trained" if trained else "repeated" if count > 3 else "plain"
        if not pieces or pieces[-1][0] != kind or kind == "repeated":
            pieces.append((kind, []))
        pieces[-1][1].extend([token] * count)
    text = ""
    for kind, tokens in pieces:
        kept = tokens[:1] if kind == "repeated" else tokens
        words = html.escape(processor.tokenizer.decode(kept, clean_up_tokenization_spaces=False))
        if kind == "repeated":
            words = f"<span class=run>{words} &times; {len(tokens)}</span>"
        text += f"<mark>{words}</mark>" if kind == "trained" else words
    return text


def seen_pictures(found: dict[str, Any], processor: Any) -> list[Any]:
    """What a processor made of a row's pictures, as PIL pictures: one each, or one a tile.

    Undone are the cut into patches (Qwen2VLImageProcessor in transformers: time, rows and columns of merged
    patches, patches in them, channels, frames, pixels) and the scaling of values.
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


def _data_uri(picture: Any) -> str:
    stored = io.BytesIO()
    picture.save(stored, "PNG")
    return "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode()
