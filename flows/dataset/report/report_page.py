"""The report page: one HTML file with everything inside it, that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from jinja2 import Environment
from markupsafe import Markup

from flows.dataset.report import cards, charts, plain_text
from flows.dataset.report.data import ReportData, share
from schemas.foreign_text import escape_hidden
from schemas.html_pages import own_file, page_templates
from schemas.records import SPLITS

TITLES = {
    "rows": "Rows",
    "tasks": "Tasks",
    "merged": "Sources",
    "distortions": "Distortions",
    "regions": "Regions",
    "texts": "Texts",
    "balance": "Balance",
    "build": "Build",
}
"""The sections by their anchors, in the order of the page."""
_LIMITS = {"MAX_GROUPS": 60, "MAX_DUPLICATES": 20, "MAX_KEPT_OUT": 200}
_LEVELS = tuple(f"level {k}" for k in range(1, 6))
_STRENGTH_TICKS = [(k / 2, f"{k / 2:g}") for k in range(8)]
_SIZES = ("0.1%", "0.2%", "0.4%", "0.8%", "1.6%", "3%", "6%", "13%", "25%", "50%", "100%")
_SIZE_TICKS = [(2.0**k / 1024, text) for k, text in enumerate(_SIZES)]
Value = TypeVar("Value")


def render(data: ReportData) -> str:
    """The page as HTML text that encodes as UTF-8; below about 6 MB for a gallery of six rows a task.

    A content security policy in the page forbids every request and every script but ours; all text that came
    with the rows or the files is escaped.
    """
    script = own_file(__package__, "page.js")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    types = sum(kind.total > 0 for kind in data.distortions)
    return _templates().get_template("page.html").render(
        data=data,
        build=data.build,
        css=own_file(__package__, "page.css"),
        script=script,
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'",
        titles=TITLES,
        types=types,
        facts=(
            ("rows", data.rows),
            ("pictures", data.pictures),
            ("photographs", data.photographs),
            ("distorted regions", data.distorted_regions),
            ("distortion types", types),
            ("quarantined", data.quarantined),
        ),
        splits=SPLITS,
        levels=_LEVELS,
        strength_ticks=_STRENGTH_TICKS,
        size_ticks=_SIZE_TICKS,
        **_LIMITS,
    )  # fmt: skip


def _templates() -> Environment:
    templates = page_templates(__package__)
    functions = (
        plain_text.number, plain_text.percent, plain_text.plural, plain_text.seconds, plain_text.size,
        plain_text.words, charts.columns, charts.ranges, cards.alternative_text, cards.buttons, cards.color,
        cards.kind, cards.number_place, cards.with_first_look, share, breakable, by_count, in_words, paired,
    )  # fmt: skip
    templates.filters |= {function.__name__: function for function in functions}
    return templates


def breakable(name: str) -> Markup:
    """A catalog name that may break after its underscores."""
    return Markup("_<wbr>").join(escape_hidden(name, 60).split("_"))


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The largest first, then by name."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def in_words(rows: Iterable[tuple[str, Value]], mark: str = "_") -> list[tuple[str, Value]]:
    """Rows of a chart, their names with spaces for `mark`."""
    return [(name.replace(mark, " "), value) for name, value in rows]


def paired(names: Sequence[str], values: Sequence[Value]) -> list[tuple[str, Value]]:
    """Rows of a chart from their names and values."""
    return list(zip(names, values, strict=True))
