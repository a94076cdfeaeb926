"""Text in pictures: the letters, lines of a width, and foreign text with nothing hidden in it."""

from __future__ import annotations

import importlib.util
import unicodedata
from functools import cache
from pathlib import Path

from PIL import ImageFont

_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, limit: int = 0, keep_lines: bool = False) -> str:
    """`text` with nothing hidden: control characters, bidi marks, lone surrogates become escapes such as \\n.

    With `keep_lines` line breaks stay. Longer than `limit` characters (0: no limit) is cut with an ellipsis.
    """
    if limit and len(text) > limit:
        text = text[: limit - 1].rstrip() + "…"
    return "".join(_visible_character(c, keep_lines) for c in text)


def _visible_character(c: str, keep_lines: bool) -> str:
    code = ord(c)
    if c == "\n" and keep_lines:
        return c
    if c in _SHORT:
        return _SHORT[c]
    if c in _BIDI or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return c


def wrap(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines of `text` no wider than `width` pixels; words that are wider are cut. At least one line."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in visible(paragraph).split():
            longer = f"{line} {word}" if line else word
            if font.getlength(longer) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            *full, line = _cut(word, font, width)
            lines.extend(full)
        lines.append(line)
    return lines


def _cut(word: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """The word in pieces no wider than `width` pixels, at least one letter each."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and font.getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


@cache
def typeface(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as Matplotlib ships it: the same letters on every machine."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("Matplotlib's fonts are missing; install matplotlib")
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    folder = Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / name), size)
