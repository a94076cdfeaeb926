"""The page's charts as HTML tables and inline SVG: bars, stacked bars, ranges, histograms and heat maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from flows.dataset.report.markup import esc, number, percent
from flows.dataset.report.statistics import Histogram

_MOST_COLUMNS = 40


def figure(title: str, body: str, note: str = "", kind: str = "") -> str:
    """A titled figure; `body` and `note` are HTML, `title` is text, `kind` an extra class of ours."""
    small = f'<p class="note">{note}</p>' if note else ""
    name = f"panel {kind}" if kind else "panel"
    return f'<figure class="{name}"><figcaption>{esc(title)}</figcaption>{body}{small}</figure>'


def bars(rows: Sequence[tuple[str, int]], head: tuple[str, str], label: Callable[[str], str] = str) -> str:
    """Horizontal bars as a table: what, a bar, the count."""
    return stacked([(name, (count,)) for name, count in rows], head, ("all",), "one", label)


def stacked(
    rows: Sequence[tuple[str, Sequence[int]]],
    head: tuple[str, str],
    parts: Sequence[str],
    palette: str,
    label: Callable[[str], str] = str,
) -> str:
    """Horizontal bars cut into `parts`; `palette` names the CSS class that colours them."""
    most = max((sum(counts) for _, counts in rows), default=0) or 1
    lines = []
    for name, counts in rows:
        total = sum(counts)
        pieces = strip(counts, parts, most)
        lines.append(
            f'<tr{"" if total else " class=none"}><th scope="row">{esc(label(name), 80)}</th>'
            f'<td class="bar" aria-hidden="true">{pieces}</td><td class="n">{number(total)}</td></tr>'
        )
    return (
        f'<table class="bars {palette}"><thead class="sr"><tr><th>{esc(head[0])}</th><th></th><th>'
        f"{esc(head[1])}</th></tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def strip(counts: Sequence[int], parts: Sequence[str], most: int) -> str:
    """One bar cut into `parts`; `most` is the count that fills the width."""
    return "".join(
        f'<i class="p{k}" style="width:{100 * count / most:.2f}%" title="{esc(part)}: {number(count)}"></i>'
        for k, (part, count) in enumerate(zip(parts, counts, strict=True))
        if count
    )


def legend(parts: Sequence[str], palette: str) -> str:
    """The key to a stacked chart."""
    items = "".join(f'<span><i class="p{k}"></i>{esc(part)}</span>' for k, part in enumerate(parts))
    return f'<p class="legend {palette}">{items}</p>'


def ranges(rows: Sequence[tuple[str, Histogram]], head: tuple[str, str], unit: str, digits: int) -> str:
    """A line a group: the middle 90% thin, the middle half as a box, the median as a tick and a number."""
    ends = [histogram.quantile(0.97) for _, histogram in rows]
    top = max((end for end in ends if end is not None), default=1.0) or 1.0
    lines = []
    for name, histogram in rows:
        cuts = [histogram.quantile(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)]
        low, first, middle, third, high = (
            100 * min(1.0, cut / top) if cut is not None else None for cut in cuts
        )
        if low is None or first is None or middle is None or third is None or high is None:
            lines.append(
                f'<tr class="none"><th scope="row">{esc(name)}</th><td></td><td class="n">none</td></tr>'
            )
            continue
        lines.append(
            f'<tr><th scope="row">{esc(name)}</th><td class="range" aria-hidden="true">'
            f'<i class="line" style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
            f'<i class="box" style="left:{first:.1f}%;width:{max(0.6, third - first):.1f}%"></i>'
            f'<i class="tick" style="left:{middle:.1f}%"></i></td>'
            f'<td class="n">{cuts[2]:.{digits}f}{esc(unit)}</td></tr>'
        )
    return (
        f'<table class="bars"><thead class="sr"><tr><th>{esc(head[0])}</th><th></th><th>{esc(head[1])}</th>'
        f"</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


def columns(histogram: Histogram, ticks: Sequence[tuple[float, str]], description: str) -> str:
    """A histogram as SVG columns of equal width; `ticks` are (edge value, text), placed on the nearest edge.

    More than 40 columns are joined two by two.
    """
    if histogram.total == 0:
        return '<p class="empty">Nothing to show.</p>'
    first, last = histogram.trimmed()
    if last - first > _MOST_COLUMNS:
        histogram = histogram.halved()
        first, last = histogram.trimmed()
    edges, counts = histogram.edges[first : last + 1], histogram.counts[first:last]
    most, wide, high = max(counts), 560.0, 190.0
    step = wide / len(counts)
    marks = [
        f'<rect x="{k * step + 0.75:.2f}" y="{high - high * count / most:.1f}" '
        f'width="{max(0.5, step - 1.5):.2f}" '
        f'height="{high * count / most:.1f}"><title>{number(count)}</title></rect>'
        for k, count in enumerate(counts)
        if count
    ]
    texts = []
    taken = -1e9
    for value, text in ticks:
        if not edges[0] <= value <= edges[-1]:
            continue
        at = min(range(len(edges)), key=lambda k: abs(edges[k] - value)) * step
        if at - taken < 56:
            continue
        taken = at
        anchor = "start" if at < 12 else "end" if at > wide - 12 else "middle"
        texts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{high}" y2="{high + 5}"/>'
            f'<text x="{at:.1f}" y="{high + 21}" text-anchor="{anchor}">{esc(text)}</text>'
        )
    return (
        f'<svg class="columns" viewBox="0 -2 {wide:.0f} {high + 30:.0f}" role="img" '
        f'aria-label="{esc(description)}">'
        f'{"".join(marks)}<line x1="0" x2="{wide:.0f}" y1="{high}" y2="{high}"/>{"".join(texts)}</svg>'
    )


def grid(positions: Mapping[str, int], across: int) -> str:
    """Counts by place as a table of `across` columns, row by row, shaded by their share."""
    total, most = sum(positions.values()) or 1, max(positions.values(), default=0) or 1
    cells = [
        f'<td style="--heat:{100 * count / most:.0f}%">'
        f"<b>{percent(count / total)}</b><span>{esc(place)}</span></td>"
        for place, count in positions.items()
    ]
    lines = ["".join(cells[k : k + across]) for k in range(0, len(cells), across)]
    return f'<table class="grid"><tbody>{"".join(f"<tr>{line}</tr>" for line in lines)}</tbody></table>'


def density(values: Sequence[Sequence[float]], description: str) -> str:
    """Values of 0 to 1 as a map of square cells, with the lines of a 3x3 grid over it."""
    down, across = len(values), len(values[0])
    cells = "".join(
        f'<rect x="{x}" y="{y}" width="1" height="1" fill-opacity="{value:.2f}"/>'
        for y, line in enumerate(values)
        for x, value in enumerate(line)
        if value >= 0.005
    )
    lines = "".join(
        f'<line x1="{across * k / 3:.2f}" x2="{across * k / 3:.2f}" y1="0" y2="{down}"/>'
        f'<line y1="{down * k / 3:.2f}" y2="{down * k / 3:.2f}" x1="0" x2="{across}"/>'
        for k in (1, 2)
    )
    return (
        f'<svg class="density" viewBox="0 0 {across} {down}" role="img" aria-label="{esc(description)}">'
        f"{cells}{lines}</svg>"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table of HTML cells under text headings; columns in `numeric` are set to the right."""
    top = "".join(
        f'<th scope="col"{" class=n" if k in numeric else ""}>{esc(title)}</th>'
        for k, title in enumerate(head)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=n' if k in numeric else ''}>{cell}</td>" for k, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(head[0])} table">'
        f'<table class="plain"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )
