"""The text column of a drawn result: question, answer with its position words marked, heat maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from schemas.drawing.lettering import typeface, wrap
from schemas.drawing.text_column import ACCENT, DARK, INK, LINE, MUTED, PAPER, Color, Column, step
from schemas.foreign_text import escape_hidden

MARKS: tuple[Color, ...] = (
    (255, 210, 31), (90, 200, 250), (255, 128, 171), (120, 220, 120), (255, 159, 64), (190, 150, 255),
)  # fmt: skip
"""The colors of groundings, in order: light, so that dark text is read on them, and told apart when colors
are seen weakly by their numbers.
"""
_CELL = 34


class Panel(Column):
    """The column of a result."""

    def asked(self, text: str) -> None:
        """The question."""
        self.bubble(text, is_question=True, gap=12)

    def answered(self, text: str, spans: Sequence[tuple[int, int]]) -> None:
        """The answer, in a bubble at the left; each span of its characters is marked in its own color."""
        letters = typeface(16)
        lines = _marked_lines(text, spans, letters, self.width - 68)
        wide = max([round(sum(letters.getlength(part) for part, _ in line)) for line in lines] + [24]) + 28
        high = len(lines) * step(16) + 20
        self.ensure_room(high + 18)
        box = (0, self.y, wide, self.y + high)
        self.draw.rounded_rectangle(box, 12, outline=ACCENT, width=2)
        for k, line in enumerate(lines):
            x, y = 14.0, self.y + 10 + k * step(16)
            for part, mark in line:
                length = letters.getlength(part)
                if mark is not None:
                    area = (x - 2, y - 1, x + length + 1, y + step(16) - 3)
                    self.draw.rounded_rectangle(area, 4, fill=MARKS[mark % len(MARKS)])
                self.draw.text((x, y), part, font=letters, fill=INK)
                x += length
        self.y += high + 18

    def grounding(self, k: int, title: str, cells: NDArray[np.float64], lines: Sequence[str]) -> None:
        """A numbered place: its words, its 3x3 map, and what was read."""
        indent = 3 * _CELL + 16
        titles = wrap(title, typeface(15, bold=True), self.width - indent - 34)
        small = [part for line in lines for part in wrap(line, typeface(13), self.width - indent)]
        high = max(3 * _CELL + 2, len(titles) * step(15) + 4 + len(small) * step(13))
        self.ensure_room(high + 18)
        self._map(cells, MARKS[k % len(MARKS)])
        x, y = indent, self.y
        self.draw.ellipse((x, y, x + 24, y + 24), fill=MARKS[k % len(MARKS)], outline=DARK, width=2)
        number = str(k + 1)
        self.draw.text((x + 12, y + 12), number, font=typeface(13, bold=True), fill=DARK, anchor="mm")
        for row, line in enumerate(titles):
            at = (indent + 34, y + 2 + row * step(15))
            self.draw.text(at, line, font=typeface(15, bold=True), fill=INK)
        y += max(28, len(titles) * step(15)) + 4
        for row, line in enumerate(small):
            self.draw.text((indent, y + row * step(13)), line, font=typeface(13), fill=MUTED)
        self.y += high + 18

    def _map(self, cells: NDArray[np.float64], color: Color) -> None:
        """Nine cells with their percentages, the fuller the likelier."""
        most = max(float(cells.max()), 1e-9)
        for row in range(3):
            for column in range(3):
                share = float(cells[row, column])
                weight = (share / most) ** 0.7
                fill = _mixed(PAPER, color, weight)
                x, y = column * _CELL, self.y + row * _CELL
                self.draw.rectangle((x, y, x + _CELL, y + _CELL), fill=fill, outline=LINE)
                text = f"{100 * share:.0f}" if share >= 0.005 else "·"
                at = (x + _CELL / 2, y + _CELL / 2)
                tone = INK if weight > 0.35 else MUTED
                self.draw.text(at, text, font=typeface(12, bold=weight > 0.99), fill=tone, anchor="mm")
        box = (0, self.y, 3 * _CELL, self.y + 3 * _CELL)
        self.draw.rectangle(box, outline=MUTED, width=1)


def _mixed(first: Color, second: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _marked_lines(
    text: str, spans: Sequence[tuple[int, int]], letters: ImageFont.FreeTypeFont, width: float
) -> list[list[tuple[str, int | None]]]:
    """Lines of parts, each part with the number of the span it lies in."""
    lines: list[list[tuple[str, int | None]]] = [[]]
    used = 0.0
    for word, mark in _words(text, spans):
        if word == "\n":
            lines.append([])
            used = 0.0
            continue
        for piece in wrap(word, letters, width) if word.strip() else [word]:
            length = letters.getlength(piece)
            if used + length > width and piece.strip():
                lines.append([])
                used = 0.0
            if used == 0.0 and not piece.strip():
                continue
            if lines[-1] and lines[-1][-1][1] == mark:
                lines[-1][-1] = (lines[-1][-1][0] + piece, mark)
            else:
                lines[-1].append((piece, mark))
            used += length
    return lines


def _words(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[str, int | None]]:
    """The text in words, spaces and line breaks, none of which crosses the end of a span."""
    owner: list[int | None] = [None] * len(text)
    for k, (start, end) in reversed(list(enumerate(spans))):
        owner[start:end] = [k] * (min(end, len(text)) - min(start, len(text)))
    parts: list[tuple[str, int | None]] = []
    kind = ""
    for letter, mark in zip(text, owner, strict=True):
        now = "\n" if letter == "\n" else " " if letter.isspace() else "w"
        shown = letter if now == "\n" else " " if now == " " else escape_hidden(letter)
        if parts and now == kind != "\n" and parts[-1][1] == mark:
            parts[-1] = (parts[-1][0] + shown, mark)
        else:
            parts.append((shown, mark))
        kind = now
    return parts
