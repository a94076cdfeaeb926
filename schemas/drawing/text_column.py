"""A column of text in a picture: the colours of what is drawn, lines and bubbles, room that grows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from schemas.drawing.lettering import typeface, wrap

Colour = tuple[int, int, int]

PAPER: Colour = (255, 253, 248)
INK: Colour = (29, 27, 24)
MUTED: Colour = (95, 90, 81)
ACCENT: Colour = (13, 92, 99)
BUBBLE: Colour = (238, 232, 219)
LINE: Colour = (221, 214, 200)
WHITE: Colour = (255, 255, 255)
DARK: Colour = (24, 24, 24)


class Column:
    """Writes downwards on a canvas of a fixed width that grows as needed; `y` is where it stands."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.y = 0
        self.image = Image.new("RGB", (width, 512), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def space(self, pixels: int) -> None:
        """Leave some room."""
        self.y += pixels

    def line(self, text: str, size: int, colour: Colour, bold: bool = False, indent: int = 0) -> None:
        """Text over as many lines as it takes."""
        letters = typeface(size, bold)
        for line in wrap(text, letters, self.width - indent):
            self.need(step(size))
            self.draw.text((indent, self.y), line, font=letters, fill=colour)
            self.y += step(size)

    def bubble(self, text: str, asked: bool, gap: int) -> None:
        """A turn of a dialogue, a question at the right and an answer at the left, and `gap` pixels."""
        letters = typeface(16)
        lines = wrap(text, letters, self.width - 68)
        wide = max(round(letters.getlength(line)) for line in lines) + 28
        high = len(lines) * step(16) + 20
        self.need(high + gap)
        left = self.width - wide - 1 if asked else 0
        box = (left, self.y, left + wide, self.y + high)
        if asked:
            self.draw.rounded_rectangle(box, 12, fill=BUBBLE)
        else:
            self.draw.rounded_rectangle(box, 12, outline=ACCENT, width=2)
        for k, line in enumerate(lines):
            self.draw.text((left + 14, self.y + 10 + k * step(16)), line, font=letters, fill=INK)
        self.y += high + gap

    def need(self, pixels: int) -> None:
        """Make sure of so much room below."""
        if self.y + pixels > self.image.height:
            grown = Image.new("RGB", (self.width, max(2 * self.image.height, self.y + pixels)), PAPER)
            grown.paste(self.image, (0, 0))
            self.image, self.draw = grown, ImageDraw.Draw(grown)

    def done(self) -> NDArray[np.uint8]:
        """What was written: (H, width, 3) uint8 RGB."""
        return np.asarray(self.image.crop((0, 0, self.width, max(1, self.y))), np.uint8)


def step(size: int) -> int:
    """Pixels from one line of letters of this size to the next."""
    return round(size * 1.42)
