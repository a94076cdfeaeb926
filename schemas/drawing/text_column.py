"""A column of text in a picture: its colors, lines and bubbles, on a canvas that grows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from schemas.drawing.lettering import typeface, wrap

Color = tuple[int, int, int]

PAPER: Color = (255, 253, 248)
INK: Color = (29, 27, 24)
MUTED: Color = (95, 90, 81)
ACCENT: Color = (13, 92, 99)
BUBBLE: Color = (238, 232, 219)
LINE: Color = (221, 214, 200)
WHITE: Color = (255, 255, 255)
DARK: Color = (24, 24, 24)


class Column:
    """Writes downward on a canvas of fixed width that grows as needed; `y` is where the next line starts."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.y = 0
        self.image = Image.new("RGB", (width, 512), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def space(self, pixels: int) -> None:
        """Leave vertical space."""
        self.y += pixels

    def line(self, text: str, size: int, color: Color, bold: bool = False, indent: int = 0) -> None:
        """Text, wrapped over as many lines as it needs."""
        letters = typeface(size, bold)
        for line in wrap(text, letters, self.width - indent):
            self.ensure_room(step(size))
            self.draw.text((indent, self.y), line, font=letters, fill=color)
            self.y += step(size)

    def bubble(self, text: str, is_question: bool, gap: int) -> None:
        """A turn of a dialogue, questions on the right and answers on the left, followed by `gap` pixels."""
        letters = typeface(16)
        lines = wrap(text, letters, self.width - 68)
        wide = max(round(letters.getlength(line)) for line in lines) + 28
        high = len(lines) * step(16) + 20
        self.ensure_room(high + gap)
        left = self.width - wide - 1 if is_question else 0
        box = (left, self.y, left + wide, self.y + high)
        if is_question:
            self.draw.rounded_rectangle(box, 12, fill=BUBBLE)
        else:
            self.draw.rounded_rectangle(box, 12, outline=ACCENT, width=2)
        for k, line in enumerate(lines):
            self.draw.text((left + 14, self.y + 10 + k * step(16)), line, font=letters, fill=INK)
        self.y += high + gap

    def ensure_room(self, pixels: int) -> None:
        """Grow the canvas until it has this much room below `y`."""
        if self.y + pixels > self.image.height:
            grown = Image.new("RGB", (self.width, max(2 * self.image.height, self.y + pixels)), PAPER)
            grown.paste(self.image, (0, 0))
            self.image, self.draw = grown, ImageDraw.Draw(grown)

    def to_array(self) -> NDArray[np.uint8]:
        """What was written: (H, width, 3) uint8 RGB."""
        return np.asarray(self.image.crop((0, 0, self.width, max(1, self.y))), np.uint8)


def step(size: int) -> int:
    """Pixels from one line of text of this size to the next."""
    return round(size * 1.42)
