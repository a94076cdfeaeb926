"""What `train --check` says before a run: tokens by task, what trains, memory, a row as the model sees it."""

from __future__ import annotations

import base64
import html
import io
import statistics
from collections import Counter
from typing import Any

from schemas.errors import InputError
from training.sft.options import TrainOptions
from training.sft.rows import IGNORED, UnfitRow, encoded
from training.sft.run import Prepared, prepare

SAMPLE = 64
PAGE = "check.html"


def check(options: TrainOptions, sample: int = SAMPLE) -> list[str]:
    """Encode a sample of rows, write `out/check.html`, return lines for people. Raises InputError."""
    from training.sft.feed import reader_of
    from training.sft.groups import adapted, grouped, layout_of, table
    from training.sft.saving import load_base

    prepared = prepare(options)
    rows = reader_of(options.data, options.data.split, options.seed, 0, 1)
    lengths: dict[str, list[tuple[int, int]]] = {}
    unfit: Counter[str] = Counter()
    page = None
    for number, row in enumerate(rows):
        if number == sample:
            break
        try:
            found = encoded(row, prepared.processor, prepared.marks, options.run.max_tokens)
        except UnfitRow as error:
            unfit[error.reason] += 1
            continue
        trained = int((found["labels"] != IGNORED).sum())
        lengths.setdefault(row["task"], []).append((found["input_ids"].shape[1], trained))
        page = page or _page(row, found, prepared)
    if page is None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in unfit.items())
        raise InputError(f"{options.data.dataset}: none of the first rows can be trained on: {reasons}")
    lines = [f"{'task':<22} {'rows':>5} {'tokens':>8} {'longest':>8} {'trained':>8}"]
    for task, pairs in sorted(lengths.items()):
        tokens, trained_tokens = zip(*pairs, strict=True)
        lines.append(
            f"{task:<22} {len(pairs):>5} {statistics.mean(tokens):>8.0f} {max(tokens):>8} "
            f"{statistics.mean(trained_tokens):>8.0f}"
        )
    lines.append("left out: " + (", ".join(f"{n} {reason}" for reason, n in unfit.items()) or "none"))
    base = load_base(options.model, prepared.base, options.model.dtype)
    layout = layout_of(base)
    model = adapted(base, options.lora, options.rates)
    lines += [table(model, layout, options.rates), _memory(model, grouped(model, layout))]
    options.out.mkdir(parents=True, exist_ok=True)
    place = options.out / PAGE
    place.write_text(page, encoding="utf-8")
    return [*lines, str(place)]


def _memory(model: Any, groups: dict[str, list[tuple[str, Any]]]) -> str:
    """Weights as they are stored, and 12 bytes a trained weight: its gradient and AdamW's two moments."""
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    trained = sum(parameter.numel() for part in groups.values() for _, parameter in part)
    return (
        f"memory   {weights / 1e9:.2f} GB weights + {trained * 12 / 1e9:.2f} GB gradients and AdamW on each "
        "device, activations not counted"
    )


def _page(row: dict[str, Any], found: dict[str, Any], prepared: Prepared) -> str:
    """One row as HTML: its tokens' text, the trained ones marked, and its pictures."""
    tokenizer = prepared.processor.tokenizer
    pieces: list[tuple[bool, list[int]]] = []
    for token, label in zip(found["input_ids"][0].tolist(), found["labels"][0].tolist(), strict=True):
        if not pieces or pieces[-1][0] != (label != IGNORED):
            pieces.append((label != IGNORED, []))
        pieces[-1][1].append(token)
    text = ""
    for trained, tokens in pieces:
        words = html.escape(tokenizer.decode(tokens, clean_up_tokenization_spaces=False))
        text += f"<mark>{words}</mark>" if trained else words
    shapes = ", ".join(
        f"{html.escape(key)} {tuple(value.shape)}" for key, value in found.items() if hasattr(value, "shape")
    )
    pictures = "".join(f'<img src="{_data_uri(picture)}" alt="picture">' for picture in row["images"])
    return (
        '<!doctype html><meta charset="utf-8"><title>A row as the model sees it</title>'
        "<style>body{font:16px sans-serif;max-width:60em;margin:2em auto}pre{white-space:pre-wrap}"
        "img{max-width:100%}</style>"
        f"<h1>{html.escape(row['id'])}</h1><p>Marked: what the loss is taken on.</p>{pictures}"
        f"<p>{shapes}</p><pre>{text}</pre>\n"
    )


def _data_uri(picture: Any) -> str:
    stored = io.BytesIO()
    picture.save(stored, "PNG")
    return "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode()
