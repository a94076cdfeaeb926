"""The gallery's cards: a row as picture with outlines, its regions and distortions, and its dialogue."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from flows.dataset.report.gallery import GalleryItem, ShownRegion
from flows.dataset.report.markup import esc, number, plural, words
from schemas.records import Distortion, Message

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
"""The classes in the order of their colours on the page; any other class takes a neutral one."""
FIRST_LOOK = 2
"""Cards a task shown before a reader asks for more."""
_TURNS = 12
_LETTERS = 1500


def gallery(items: Sequence[GalleryItem]) -> str:
    """Filter buttons (shown where scripts run) and all cards."""
    tasks: dict[str, int] = {}
    cards: list[str] = []
    for item in items:
        place = tasks[item.row.task] = tasks.get(item.row.task, 0) + 1
        cards.append(_card(item, len(cards), first=place <= FIRST_LOOK))
    if not cards:
        return '<p class="empty">No row was chosen for the gallery.</p>'
    buttons = [
        _button("", "A few of each", sum(min(FIRST_LOOK, n) for n in tasks.values()), True),
        _button("*", "All", len(items), False),
        *(_button(task, words(task), count, False) for task, count in tasks.items()),
    ]
    return (
        f'<div class="filters" hidden><div role="group" aria-label="Which rows to show">'
        f"{''.join(buttons)}</div>"
        '<label class="switch"><input type="checkbox" id="outlines" checked> Outlines</label></div>'
        f'<p class="sr" id="shown" role="status"></p><div class="cards" id="cards">{"".join(cards)}</div>'
    )


def _button(task: str, text: str, count: int, pressed: bool) -> str:
    return (
        f'<button type="button" data-show="{esc(task)}" aria-pressed="{str(pressed).lower()}">{esc(text)} '
        f"<small>{number(count)}</small></button>"
    )


def _card(item: GalleryItem, place: int, first: bool) -> str:
    row = item.row
    regions = "".join(_region_line(k, shown) for k, shown in enumerate(item.regions))
    if item.hidden:
        regions += f'<li class="more">and {plural(item.hidden, "more distorted region")}</li>'
    if row.whole_image:
        regions = '<li class="target"><span class="who"><b>the whole picture</b></span></li>' + regions
    detail = ""
    if item.detail is not None:
        detail = (
            f'<img class="detail" alt="The first asked region at full size" width="132" height="132" '
            f'src="{_uri(item.detail)}" loading="lazy">'
        )
    listing = (
        f'<ol class="regions">{regions}</ol>' if regions else '<p class="none">No region is distorted.</p>'
    )
    turns = "".join(_turn(message) for message in row.messages[:_TURNS])
    effect = f" · order effect {row.order_effect:.2f}" if row.order_effect is not None else ""
    licence = row.source_image.license if row.source_image is not None else None
    return (
        f'<article class="card" data-task="{esc(row.task)}"{" data-first" if first else ""}>'
        f'<div class="picture">{_picture(item, place)}</div><div class="text">'
        f'<h3>{esc(words(row.task))} <span class="split">{esc(row.split)}{esc(effect)}</span></h3>'
        f'<div class="truth">{detail}{listing}</div><div class="talk">{turns}</div>'
        f"<footer><code>{esc(row.id, 60)}</code> {esc(row.source, 40)}"
        f"{f' · {esc(licence, 40)}' if licence else ''}</footer></div></article>"
    )


def _picture(item: GalleryItem, place: int) -> str:
    row = item.row
    told = [_told(shown) for shown in item.regions if shown.region.distortions][:4]
    alt = (
        f"A picture of the task {words(row.task)}. "
        + ("; ".join(told) if told else "Nothing is distorted")
        + "."
    )
    paths, lines, numbers = [], [], []
    for k, shown in enumerate(item.regions):
        name = f"o{place}-{k}"
        kind = "target" if shown.target else "other"
        paths.append(f'<path id="{name}" vector-effect="non-scaling-stroke" d="{shown.path}"/>')
        lines.append(f'<g class="{kind}" data-r="{k}"><use href="#{name}"/><use href="#{name}"/></g>')
        x = min(max(shown.at[0], 12), max(12, item.width - 12))
        y = min(max(shown.at[1], 12), max(12, item.height - 12))
        numbers.append(
            f'<g class="{kind} number" data-r="{k}" transform="translate({x:.1f} {y:.1f})">'
            f'<circle r="9.5"/><text y="4.2" text-anchor="middle">{k + 1}</text></g>'
        )
    if row.whole_image:
        frame = f'<rect x="2" y="2" width="{item.width - 4}" height="{item.height - 4}"/>'
        lines.insert(0, f'<g class="target">{frame}{frame}</g>')
    lines.reverse()
    return (
        f'<img alt="{esc(alt)}" width="{item.width}" height="{item.height}" src="{_uri(item.picture)}" '
        f'loading="lazy"><svg viewBox="0 0 {item.width} {item.height}" aria-hidden="true">'
        f"<defs>{''.join(paths)}</defs>{''.join(lines)}{''.join(numbers)}</svg>"
    )


def _told(shown: ShownRegion) -> str:
    names = ", then ".join(f"{words(d.name)} level {d.level}" for d in shown.region.distortions)
    return f"{shown.region.label[:60]} at the {shown.region.position}: {names}"


def _region_line(k: int, shown: ShownRegion) -> str:
    region = shown.region
    strength = (
        f' <span class="strength">strength {region.strength:.2f}</span>'
        if region.strength is not None
        else ""
    )
    place = "" if region.position in region.label else f", {esc(region.position, 30)}"
    chips = (
        "".join(_chip(distortion) for distortion in region.distortions)
        or '<span class="chip">untouched</span>'
    )
    return (
        f'<li data-r="{k}" class="{"target" if shown.target else "other"}"><span class="num" '
        f'aria-hidden="true">{k + 1}</span><span class="who"><b>{esc(region.label, 60)}</b>'
        f"{', asked about' if shown.target else ''}{place}{strength}</span>"
        f'<span class="chips">{chips}</span></li>'
    )


def _chip(distortion: Distortion) -> str:
    known = distortion.category in CATEGORIES
    colour = f"c{CATEGORIES.index(distortion.category)}" if known else "c99"
    dots = "".join(f"<i{' class=on' if k < distortion.level else ''}></i>" for k in range(5))
    return (
        f'<span class="chip" title="class {esc(words(distortion.category))}"><i class="dot {colour}"></i>'
        f'{esc(words(distortion.name), 60)}<span class="level" role="img" aria-label="level '
        f'{distortion.level} of 5">'
        f"{dots}</span></span>"
    )


def _turn(message: Message) -> str:
    who = "Question" if message.role == "user" else "Answer"
    text = esc(message.content, _LETTERS, keep_lines=True)
    return f'<p class="{message.role}" dir="auto"><span class="sr">{who}: </span>{text}</p>'


def _uri(webp: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")
