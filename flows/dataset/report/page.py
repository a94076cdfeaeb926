"""The report page: one HTML file with everything inside it, that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from flows.dataset.report import sections
from flows.dataset.report.cards import gallery
from flows.dataset.report.data import ReportData
from flows.dataset.report.markup import esc, number, plural

_SECTIONS = (
    ("rows", "Rows"),
    ("tasks", "Tasks"),
    ("merged", "Sources"),
    ("distortions", "Distortions"),
    ("regions", "Regions"),
    ("texts", "Texts"),
    ("balance", "Balance"),
    ("build", "Build"),
)


def render(summary: ReportData) -> str:
    """The page as HTML text that encodes as UTF-8; below about 6 MB for a gallery of six rows a task.

    A content security policy in the page forbids every request and every script but ours; all text that came
    with the rows or the files is escaped.
    """
    css = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    script = resources.files(__package__).joinpath("page.js").read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    bodies = {
        "rows": gallery(summary.gallery),
        "tasks": sections.tasks(summary),
        "merged": sections.merged(summary),
        "distortions": sections.distortions(summary),
        "regions": sections.regions(summary),
        "texts": sections.texts(summary),
        "balance": sections.balances(summary),
        "build": sections.build(summary),
    }
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in _SECTIONS)
    parts = "".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-title"><h2 id="{anchor}-title">{title}</h2>'
        f"{bodies[anchor]}</section>"
        for anchor, title in _SECTIONS
    )
    name = esc(summary.build.name)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{name}: dataset report</title><style>{css}</style></head>"
        f'<body><a class="skip" href="#main">To the content</a>{_header(summary)}'
        f'<nav aria-label="Sections"><div>{links}</div></nav><main id="main">{parts}</main>'
        f'<footer class="end">{_colophon(summary)}</footer><script>{script}</script></body></html>\n'
    )


def _header(data: ReportData) -> str:
    build = data.build
    types = sum(kind.total > 0 for kind in data.distortions)
    lede = (
        f"{plural(data.rows, 'row')} about {plural(data.pictures, 'picture')}, made from "
        f"{plural(data.photographs, 'photograph')}: {plural(data.distorted_regions, 'region')} distorted in "
        f"{plural(types, 'way')}."
    )
    facts = (
        ("rows", data.rows),
        ("pictures", data.pictures),
        ("photographs", data.photographs),
        ("distorted regions", data.distorted_regions),
        ("distortion types", types),
        ("quarantined", data.quarantined),
    )
    numbers = "".join(f"<div><dt>{what}</dt><dd>{number(count)}</dd></div>" for what, count in facts)
    made = f" · {esc(build.made)}" if build.made else ""
    return (
        f'<header class="top"><p class="kicker">Dataset report{made}</p><h1>{esc(build.name)}</h1>'
        f'<p class="lede">{lede}</p><dl class="facts">{numbers}</dl></header>'
    )


def _colophon(data: ReportData) -> str:
    build = data.build
    return (
        f"<dl><div><dt>digest</dt><dd><code>{esc(build.digest)}</code></dd></div>"
        f"<div><dt>configuration</dt><dd><code>{esc(build.config_hash)}</code></dd></div>"
        f"<div><dt>seed</dt><dd><code>{build.seed}</code></dd></div>"
        f"<div><dt>code</dt><dd><code>{esc(build.code_version)}</code></dd></div></dl>"
        "<p>Two builds with one digest hold the same rows.</p>"
    )
