"""What the page's charts draw, measured from histograms and counts: the templates only write it down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flows.dataset.report.statistics import Histogram

_MOST_COLUMNS = 40
_BETWEEN_TICKS = 56
WIDE, HIGH = 560.0, 190.0
"""Size of a histogram's columns in SVG units."""


@dataclass(frozen=True)
class Cuts:
    """Quantiles of a group at 5, 25, 50, 75 and 95%, in percent of the chart's width, and the median."""

    low: float
    first: float
    middle: float
    third: float
    high: float
    median: float


def ranges(rows: Iterable[tuple[str, Histogram]]) -> list[tuple[str, Cuts | None]]:
    """The cuts of each group, None for an empty one; the width is the groups' largest 97% quantile."""
    groups = list(rows)
    top = max((histogram.quantile(0.97) or 0.0 for _, histogram in groups), default=0.0) or 1.0
    found: list[tuple[str, Cuts | None]] = []
    for name, histogram in groups:
        cuts = [histogram.quantile(share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)]
        if cuts[2] is None:
            found.append((name, None))
            continue
        low, first, middle, third, high = (100 * min(1.0, (cut or 0.0) / top) for cut in cuts)
        found.append((name, Cuts(low, first, middle, third, high, cuts[2])))
    return found


@dataclass(frozen=True)
class Bar:
    """A column: its left edge, width and height in SVG units, and what it counts."""

    left: float
    width: float
    height: float
    count: int


@dataclass(frozen=True)
class Tick:
    """A mark on the axis at `at` SVG units; `anchor` is SVG's text-anchor."""

    at: float
    text: str
    anchor: str


@dataclass(frozen=True)
class Columns:
    """A histogram as columns of equal width, filled ones alone, in a field of (`wide`, `high`) SVG units."""

    bars: list[Bar]
    ticks: list[Tick]
    wide: float = WIDE
    high: float = HIGH


def columns(histogram: Histogram, ticks: Sequence[tuple[float, str]]) -> Columns | None:
    """The columns of a histogram between its first and last filled bin; None when it is empty.

    `ticks` are (edge value, text), placed on the nearest edge; those too near the one before are left out.
    More than 40 columns are joined two by two.
    """
    if histogram.total == 0:
        return None
    first, last = histogram.trimmed()
    if last - first > _MOST_COLUMNS:
        histogram = histogram.halved()
        first, last = histogram.trimmed()
    edges, counts = histogram.edges[first : last + 1], histogram.counts[first:last]
    most, step = max(counts), WIDE / len(counts)
    bars = [
        Bar(k * step + 0.75, max(0.5, step - 1.5), HIGH * count / most, count)
        for k, count in enumerate(counts)
        if count
    ]
    marks: list[Tick] = []
    for value, text in ticks:
        if not edges[0] <= value <= edges[-1]:
            continue
        at = min(range(len(edges)), key=lambda k: abs(edges[k] - value)) * step
        if not marks or at - marks[-1].at >= _BETWEEN_TICKS:
            marks.append(Tick(at, text, "start" if at < 12 else "end" if at > WIDE - 12 else "middle"))
    return Columns(bars, marks)
