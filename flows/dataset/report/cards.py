"""What the gallery's cards say about a row: filter buttons, colors, alternative texts, where numbers go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flows.dataset.report.gallery import GalleryItem, ShownRegion
from flows.dataset.report.plain_text import words

CATEGORIES = (
    "blur",
    "noise",
    "compression",
    "brighten",
    "darken",
    "contrast_strengthen",
    "contrast_weaken",
    "saturate_strengthen",
    "saturate_weaken",
    "oversharpen",
    "pixelate",
    "quantization",
    "chroma",
    "spatial",
    "weather",
)
"""The classes in the order of their colors on the page; any other class takes a neutral one."""
FIRST_LOOK = 2
"""Cards a task shown before a reader asks for more."""
_FROM_THE_EDGE = 12


@dataclass(frozen=True)
class Button:
    """A filter of the gallery: "" is a first look, "*" all, else a task; `count` are the cards shown."""

    task: str
    text: str
    count: int


def buttons(items: Sequence[GalleryItem]) -> list[Button]:
    """A first look, all, and each task in the order of its first card."""
    tasks = Counter(item.row.task for item in items)
    return [
        Button("", "A few of each", sum(min(FIRST_LOOK, count) for count in tasks.values())),
        Button("*", "All", len(items)),
        *(Button(task, words(task), count) for task, count in tasks.items()),
    ]


def with_first_look(items: Sequence[GalleryItem]) -> Iterator[tuple[GalleryItem, bool]]:
    """Each card, and whether it is one of the first of its task."""
    seen: Counter[str] = Counter()
    for item in items:
        seen[item.row.task] += 1
        yield item, seen[item.row.task] <= FIRST_LOOK


def color(category: str) -> str:
    """The CSS class that colors a distortion class."""
    return f"c{CATEGORIES.index(category)}" if category in CATEGORIES else "c99"


def kind(shown: ShownRegion) -> str:
    """The CSS class of a region: asked about or not."""
    return "target" if shown.target else "other"


def number_place(item: GalleryItem, shown: ShownRegion) -> tuple[float, float]:
    """x, y of the region's number, in thumbnail pixels, whole inside the picture."""
    (x, y), edge = shown.at, _FROM_THE_EDGE
    return min(max(x, edge), max(edge, item.width - edge)), min(max(y, edge), max(edge, item.height - edge))


def alternative_text(item: GalleryItem) -> str:
    """The picture in words for those who don't see it: its task, and up to four distorted regions."""
    regions = [_in_words(shown) for shown in item.regions if shown.region.distortions][:4]
    said = "; ".join(regions) if regions else "Nothing is distorted"
    return f"A picture of the task {words(item.row.task)}. {said}."


def _in_words(shown: ShownRegion) -> str:
    names = ", then ".join(f"{words(d.name)} level {d.level}" for d in shown.region.distortions)
    return f"{shown.region.label[:60]} at the {shown.region.position}: {names}"
