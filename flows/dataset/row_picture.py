"""One row as a picture: outlines on the photograph, a key of the regions, and the dialogue beside it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from flows.dataset.report.plain_text import words
from schemas import masks
from schemas.drawing.lettering import typeface, wrap
from schemas.drawing.outlines import outline, spot
from schemas.drawing.text_column import ACCENT, DARK, INK, LINE, MUTED, PAPER, WHITE, Color, Column, step
from schemas.records import Distortion, Region, Row

RgbImage = NDArray[np.uint8]

PICTURE_WIDTH = 820
PICTURE_HEIGHT = 1100
PANEL_WIDTH = 500
MARGIN = 28
_SMOOTH = 4
_MAX_LETTERS = 3000
_MAX_REGIONS = 14
_MAX_NAME = 80

TARGET: Color = (255, 210, 31)


def draw_row(row: Row, pictures: Sequence[RgbImage]) -> RgbImage:
    """Draw a row.

    `pictures` are the row's images in order, each (H, W, 3) uint8 RGB; the regions belong to the first. The
    result is (H', W', 3) uint8 RGB: the pictures one below the other at the left, at most 820 pixels wide,
    and at the right the task, the regions with their distortions, levels and strength, and the dialogue.
    Target regions are outlined in yellow, other distorted ones thinner in white; both carry the number of
    their line in the key. Raises ValueError when there is no picture or a mask has another size than the
    first picture.
    """
    if not pictures:
        raise ValueError(f"row {row.id} has no picture to draw")
    height, width = pictures[0].shape[:2]
    for region in row.regions:
        if region.mask.size != [height, width]:
            raise ValueError(
                f"row {row.id}: region {region.region_id} has a mask of {region.mask.size}, "
                f"the picture is {[height, width]}"
            )
    targets = set(row.target_region_ids)
    shown = [r for r in row.regions if r.region_id in targets]
    shown += sorted(
        (r for r in row.regions if r.distortions and r.region_id not in targets),
        key=lambda r: (-(r.strength or 0.0), r.region_id),
    )
    hidden = max(0, len(shown) - _MAX_REGIONS)
    shown = shown[:_MAX_REGIONS]
    left = [_outlined(pictures[0], shown, targets, bool(row.whole_image))]
    left += [_fitted(picture)[0] for picture in pictures[1:]]
    panel = _panel(row, shown, targets, hidden)
    picture_width = max(picture.shape[1] for picture in left)
    picture_height = sum(picture.shape[0] for picture in left) + MARGIN * (len(left) - 1)
    canvas = np.full(
        (2 * MARGIN + max(picture_height, panel.shape[0]), 3 * MARGIN + picture_width + PANEL_WIDTH, 3),
        PAPER,
        np.uint8,
    )
    y = MARGIN
    for picture in left:
        canvas[y : y + picture.shape[0], MARGIN : MARGIN + picture.shape[1]] = picture
        y += picture.shape[0] + MARGIN
    x = 2 * MARGIN + picture_width
    canvas[MARGIN : MARGIN + panel.shape[0], x : x + PANEL_WIDTH] = panel
    return canvas


def _fitted(picture: RgbImage) -> tuple[RgbImage, float]:
    """The picture within its frame (a small one grows up to three times), and the scale."""
    height, width = picture.shape[:2]
    scale = min(PICTURE_WIDTH / width, PICTURE_HEIGHT / height, 3.0)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8), size[0] / width


def _outlined(picture: RgbImage, shown: Sequence[Region], targets: set[str], whole: bool) -> RgbImage:
    """The fitted picture with outlines (others first, so that targets lie on top) and numbers."""
    fitted, scale = _fitted(picture)
    out = np.ascontiguousarray(fitted)
    decoded = [masks.decode(region.mask) for region in shown]
    for k in reversed(range(len(shown))):
        rings = outline(decoded[k], scale)
        points = [np.round(ring * 2**_SMOOTH).astype(np.int32) for ring in rings]
        strokes = [(DARK, 7), (TARGET, 4)] if shown[k].region_id in targets else [(DARK, 3), (WHITE, 1)]
        for color, thickness in strokes:
            cv2.polylines(out, points, True, color, thickness, cv2.LINE_AA, _SMOOTH)
    if whole:
        height, width = out.shape[:2]
        cv2.rectangle(out, (0, 0), (width - 1, height - 1), DARK, 13)
        cv2.rectangle(out, (0, 0), (width - 1, height - 1), TARGET, 9)
    image = Image.fromarray(out)
    draw = ImageDraw.Draw(image)
    for k, region in enumerate(shown):
        x, y = spot(decoded[k])
        x = min(max(x * scale, 14), max(14, out.shape[1] - 14))
        y = min(max(y * scale, 14), max(14, out.shape[0] - 14))
        _badge(draw, x, y, k + 1, region.region_id in targets)
    return np.asarray(image, np.uint8)


def _badge(draw: ImageDraw.ImageDraw, x: float, y: float, number: int, target: bool) -> None:
    fill, text, edge = (TARGET, DARK, DARK) if target else (DARK, WHITE, WHITE)
    draw.ellipse((x - 12, y - 12, x + 12, y + 12), fill=fill, outline=edge, width=2)
    draw.text((x, y), str(number), font=typeface(13, bold=True), fill=text, anchor="mm")


def _name(region: Region) -> str:
    """The label, and the place where the label doesn't say it."""
    label = region.label[:_MAX_NAME]
    return label if region.position in label else f"{label}, {region.position[:_MAX_NAME]}"


def _panel(row: Row, shown: Sequence[Region], targets: set[str], hidden: int) -> RgbImage:
    """The right side; its height is what the text needs."""
    pen = _Pen(PANEL_WIDTH)
    pen.line(words(row.task[:_MAX_NAME]), 23, ACCENT, bold=True)
    made_by = row.provenance.generator if row.provenance is not None else ""
    effect = f"order effect {row.order_effect:.2f}" if row.order_effect is not None else ""
    pen.line(
        " · ".join(part for part in (row.split, row.source[:_MAX_NAME], made_by[:_MAX_NAME], effect) if part),
        14,
        MUTED,
    )
    pen.line(row.id[:_MAX_NAME], 12, MUTED)
    pen.space(12)
    if row.whole_image:
        pen.line("Asked about: the whole picture", 15, INK, bold=True)
        pen.space(6)
    for k, region in enumerate(shown):
        pen.badge(k + 1, region.region_id in targets)
        pen.line(
            _name(region),
            15,
            INK,
            bold=region.region_id in targets,
            indent=36,
        )
        strength = (
            f"strength {region.strength:.2f}" if region.strength is not None else "strength not measured"
        )
        pen.line(strength if region.distortions else "untouched", 13, MUTED, indent=36)
        for distortion in region.distortions:
            pen.distortion(distortion, indent=36)
        pen.space(8)
    if hidden:
        pen.line(f"and {hidden} more distorted regions", 13, MUTED, indent=36)
    if not shown:
        pen.line("No region is distorted.", 15, MUTED)
    pen.space(8)
    for message in row.messages:
        pen.bubble(message.content[:_MAX_LETTERS], is_question=message.role == "user", gap=10)
    return pen.to_array()


class _Pen(Column):
    """The column of a row: its regions' badges and distortions beside the text."""

    def badge(self, number: int, target: bool) -> None:
        self.ensure_room(30)
        _badge(self.draw, 13, self.y + 12, number, target)

    def distortion(self, distortion: Distortion, indent: int) -> None:
        """The name, and five pips of which `level` are filled."""
        self.ensure_room(step(14))
        font = typeface(14)
        name = wrap(
            f"{distortion.order}. {words(distortion.name[:_MAX_NAME])}", font, self.width - indent - 150
        )[0]
        self.draw.text((indent, self.y), name, font=font, fill=INK)
        x = indent + round(font.getlength(name)) + 10
        for k in range(5):
            box = (x + 8 * k, self.y + 4, x + 8 * k + 5, self.y + 15)
            self.draw.rectangle(box, fill=ACCENT if k < distortion.level else LINE)
        self.draw.text((x + 46, self.y), f"level {distortion.level}", font=typeface(13), fill=MUTED)
        self.y += step(14)
