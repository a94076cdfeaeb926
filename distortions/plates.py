"""Generates docs/distortions.md: each type at its five levels, its level table, the plot of strengths.

Run `python -m distortions.plates` from the root (a minute or two); it rewrites docs/img and the part of the
page between the two markers. `--names` draws only some types and leaves the plot and the page unchanged.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from distortions.fit_levels import BANDS, CALIBRATED_ON, HELD_OUT, photographs
from distortions.frame import Image
from distortions.injection import apply
from distortions.perceptual import strengths
from distortions.registry import LEVELS, Entry, catalog, read_table, resolve
from schemas.hashing import derived_seed

SIDE = 384
PATCH_WIDTH, PATCH_HEIGHT = 208, 156
STRIP_BYTES = 40_000
BEGIN, END = "<!-- begin: written by python -m distortions.plates -->", "<!-- end -->"
_SHOWN_SIDE = 512
_GAP, _CAPTION = 4, 20
_QUALITIES = (90, 84, 78, 70, 60, 50, 40, 30, 20)
_NAMES = (*CALIBRATED_ON, *HELD_OUT)
# The patch's left upper corner in each photograph at a short side of 384 pixels.
_CORNERS = {
    "astronaut": (88, 10),
    "chelsea": (130, 70),
    "coffee": (230, 60),
    "rocket": (170, 105),
    "motorcycle": (230, 150),
    "china": (110, 40),
    "flower": (130, 60),
}
# The photograph that shows a class best; other classes use the first one.
_SHOWN_ON = {
    "blur": "motorcycle",
    "noise": "astronaut",
    "compression": "china",
    "brighten": "coffee",
    "darken": "astronaut",
    "contrast_strengthen": "china",
    "contrast_weaken": "china",
    "saturate_strengthen": "flower",
    "saturate_weaken": "flower",
    "oversharpen": "motorcycle",
    "pixelate": "motorcycle",
    "quantization": "coffee",
    "chroma": "motorcycle",
    "spatial": "motorcycle",
    "weather": "motorcycle",
}
_REGION_TEXT = {
    "none": "local: a pixel depends on its surroundings alone",
    "mask": "global: its statistics are taken over the region's pixels",
    "box": "global: coded over the region's bounding box and some context",
}


def strip(entry: Entry, photograph: Image, corner: tuple[int, int]) -> Image:
    """The clean patch and the five levels side by side with captions, (h, w, 3) uint8 RGB.

    The whole photograph is distorted and measured; only the patch at `corner` (left, top) is shown.
    """
    made = [apply(photograph, entry.name, level, seed=1) for level in LEVELS]
    measured = strengths(photograph, made)
    captions = [
        "reference",
        *(f"level {n}: {value:.2f}" for n, value in zip(LEVELS, measured, strict=True)),
    ]
    left, top = corner
    cell = PATCH_WIDTH + _GAP
    canvas = Pillow.new("RGB", (6 * cell - _GAP, PATCH_HEIGHT + 2 * _CAPTION), "white")
    draw = ImageDraw.Draw(canvas)
    bold, plain = _font("bold", 14), _font("normal", 12)
    draw.text((2, 2), f"{entry.name}  ({entry.phrase})", fill="black", font=bold)
    for i, (picture, caption) in enumerate(zip([photograph, *made], captions, strict=True)):
        patch = picture[top : top + PATCH_HEIGHT, left : left + PATCH_WIDTH]
        canvas.paste(Pillow.fromarray(np.ascontiguousarray(patch)), (i * cell, _CAPTION))
        draw.text((i * cell + 2, _CAPTION + PATCH_HEIGHT + 3), caption, fill="black", font=plain)
    return np.array(canvas, dtype=np.uint8)


def encode_webp(picture: Image) -> bytes:
    """WebP of the highest quality that takes at most 40 kB, else of the lowest quality tried."""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        Pillow.fromarray(picture).save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() <= STRIP_BYTES:
            break
    return buffer.getvalue()


def measured_strengths(entries: Sequence[Entry], pictures: Sequence[Image]) -> NDArray[np.float64]:
    """Strength of each entry, level and picture, averaged over the entry's draws: (entries, 5, pictures).

    Drawn from other seeds than those used to set the levels.
    """
    rows = []
    for entry in entries:
        print(f"measuring {entry.name}", file=sys.stderr)
        by_picture = []
        for number, picture in enumerate(pictures):
            seeds = [derived_seed(0, "plates", str(number), str(draw)) for draw in range(entry.draws)]
            made = [apply(picture, entry.name, level, seed) for level in LEVELS for seed in seeds]
            by_picture.append(np.reshape(strengths(picture, made), (len(LEVELS), -1)).mean(axis=1))
        rows.append(np.array(by_picture).T)
    return np.stack(rows)


def plot(entries: Sequence[Entry], values: NDArray[np.float64]) -> Figure:
    """Strength by type and level over the five bands, from (entries, 5, pictures) measured strengths.

    A solid dot is the mean over the photographs that set the levels, which come first, a hollow dot the mean
    over the others; a line spans all.
    """
    figure = Figure(figsize=(10, 2.2 + 0.21 * len(entries)), layout="constrained")
    axes = figure.add_subplot()
    colors = ("#2c7bb6", "#4dac26", "#e6a700", "#e66101", "#b2182b")
    for (low, high), color, level in zip(BANDS, colors, LEVELS, strict=True):
        axes.axvspan(low, high, color=color, alpha=0.13, lw=0)
        axes.text((low + high) / 2, -1.4, f"level {level}", ha="center", va="center", color=color, size=9)
    set_on = len(CALIBRATED_ON)
    for index, color in enumerate(colors):
        shown = values[:, index]
        places = np.arange(len(entries)) + 0.12 * (index - 2)
        axes.hlines(places, shown.min(axis=1), shown.max(axis=1), color=color, alpha=0.35, lw=1.2)
        axes.plot(shown[:, :set_on].mean(axis=1), places, "o", color=color, ms=4)
        axes.plot(shown[:, set_on:].mean(axis=1), places, "o", color=color, ms=4, mfc="white")
    axes.set_yticks(np.arange(len(entries)), [entry.name for entry in entries], size=8)
    axes.set_ylim(len(entries) - 0.4, -2.2)
    axes.set_xlim(0, BANDS[-1][1])
    axes.set_xlabel(
        f"strength, mean-opinion points lost: mean over the {set_on} photographs that set the levels (full), "
        f"over {values.shape[2] - set_on} others (hollow), range of all (line)",
        size=8,
    )
    axes.grid(axis="y", alpha=0.25, lw=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def section(entries: Sequence[Entry]) -> str:
    """The page's generated part: classes, and each entry's picture, extent, levels, aliases and source."""
    blocks = ["| class | types |", "|---|---|"]
    classes: dict[str, list[Entry]] = {}
    for entry in entries:
        classes.setdefault(entry.category, []).append(entry)
    for name, members in classes.items():
        blocks.append(
            f"| [{name}](#{name}) | {', '.join(f'[`{e.name}`](#{e.name.lower()})' for e in members)} |"
        )
    for name, members in classes.items():
        blocks += ["", f"## {name}"]
        for entry in members:
            blocks += ["", *_entry_lines(entry)]
    return "\n".join(blocks) + "\n"


def _entry_lines(entry: Entry) -> list[str]:
    shown: list[Mapping[str, float | str]] = [entry.parameters(level, _SHOWN_SIDE) for level in LEVELS]
    constant = [f"{k} {_text(v)}" for k, v in shown[0].items() if all(row[k] == v for row in shown)]
    scaled = [name for name in entry.lengths if name in shown[0]]
    facts = [f"`{entry.operation}`", _REGION_TEXT[entry.statistics]]
    if scaled:
        facts.append(f"scales with the picture: {', '.join(scaled)}")
    if constant:
        facts.append(f"the same at all levels: {', '.join(constant)}")
    lines = [
        f"### {entry.name}",
        "",
        f"![{entry.phrase}, level 1 to 5](img/{entry.name}.webp)",
        "",
        f"{entry.phrase[0].upper()}{entry.phrase[1:]}. {'; '.join(facts)}.",
        "",
        "| levels | 1 | 2 | 3 | 4 | 5 |",
        "|---|---|---|---|---|---|",
        _row(f"at a short side of {_SHOWN_SIDE}", shown),
    ]
    lines += [_row(f"`{alias}`, at {table.side}", table.parameters) for alias, table in entry.aliases.items()]
    lines += [_row(head, rows) for head, rows in _shared_aliases(entry)]
    return [*lines, "", f"Source: {entry.source}."]


def _shared_aliases(entry: Entry) -> list[tuple[str, list[Mapping[str, float | str]]]]:
    """Peers' scales that are this entry at some of their levels: titles and parameters, empty elsewhere."""
    found = []
    for alias in read_table("catalog.yaml").get("by_level", {}):
        parts = [resolve(alias, level) for level in LEVELS]
        rows = [
            part.tables[0].parameters[level - 1] if part.name == entry.name else {}
            for part, level in zip(parts, LEVELS, strict=True)
        ]
        if any(rows):
            found.append((f"`{alias}`, at {parts[0].tables[0].side}, its own levels", rows))
    return found


def _row(head: str, rows: Sequence[Mapping[str, float | str]]) -> str:
    """One table row: the parameters that change with the level, or all if none does."""
    filled = [row for row in rows if row]
    changing = [k for k in filled[0] if any(row[k] != filled[0][k] for row in filled)] or list(filled[0])
    cells = ["; ".join(f"{k} {_text(row[k])}" for k in changing) if row else "-" for row in rows]
    return f"| {head} | {' | '.join(cells)} |"


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _font(weight: str, size: int) -> ImageFont.FreeTypeFont:
    path = font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight=weight))
    return ImageFont.truetype(path, size)


def write_page(page: Path, text: str) -> None:
    """Put `text` between the page's markers. Raises ValueError when they are missing."""
    old = page.read_text(encoding="utf-8")
    if old.count(BEGIN) != 1 or old.count(END) != 1:
        raise ValueError(f"{page} must contain the lines {BEGIN!r} and {END!r} once each")
    before, rest = old.split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder with distortions.md")
    parser.add_argument("--names", nargs="*", help="draw only these types")
    options = parser.parse_args(arguments)
    entries = [entry for entry in catalog() if not options.names or entry.name in options.names]
    pictures = dict(zip(_NAMES, photographs(SIDE, _NAMES), strict=True))
    folder: Path = options.docs / "img"
    folder.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        shown = _SHOWN_ON.get(entry.category, _NAMES[0])
        data = encode_webp(strip(entry, pictures[shown], _CORNERS[shown]))
        (folder / f"{entry.name}.webp").write_bytes(data)
        print(f"{entry.name}: {len(data) / 1000:.0f} kB", file=sys.stderr)
    if not options.names:
        known = {f"{entry.name}.webp" for entry in entries}
        for stale in folder.glob("*.webp"):
            if stale.name not in known:
                stale.unlink()
        figure = plot(entries, measured_strengths(entries, list(pictures.values())))
        options_png: dict[str, Any] = {"dpi": 100, "pil_kwargs": {"optimize": True}}
        figure.savefig(folder / "strength.png", **options_png)
        write_page(options.docs / "distortions.md", section(entries))
    return 0


if __name__ == "__main__":
    sys.exit(main())
