"""Text to HTML: escaping of what others wrote, and the forms of numbers."""

from __future__ import annotations

import html
import unicodedata

_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, limit: int = 0, keep_lines: bool = False) -> str:
    """`text` with nothing hidden: control characters, bidi marks, lone surrogates become escapes such as \\n.

    With `keep_lines` line breaks stay. Longer than `limit` characters (0: no limit) is cut with an ellipsis.
    """
    if limit and len(text) > limit:
        text = text[: limit - 1].rstrip() + "…"
    return "".join(_visible_character(c, keep_lines) for c in text)


def esc(text: str, limit: int = 0, keep_lines: bool = False) -> str:
    """`visible` text escaped for HTML content and for quoted attributes."""
    return html.escape(visible(text, limit, keep_lines), quote=True)


def number(value: int) -> str:
    """1234567 -> 1,234,567."""
    return f"{value:,}"


def percent(share: float) -> str:
    """0.123 -> 12.3%; a share that isn't nothing never reads 0%."""
    if 0 < share < 0.001:
        return "<0.1%"
    return f"{100 * share:.0f}%" if share in (0.0, 1.0) else f"{100 * share:.1f}%"


def seconds(value: float) -> str:
    """A duration as a person says it: 0.42 s, 12.3 s, 4 min 05 s, 2 h 07 min."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: int) -> str:
    """Bytes in decimal units: 999 B, 12.3 kB, 4.5 MB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def words(slug: str) -> str:
    """local_description -> local description."""
    return slug.replace("_", " ")


def plural(count: int, one: str, many: str = "") -> str:
    """3, "row" -> "3 rows"."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def _visible_character(c: str, keep_lines: bool) -> str:
    code = ord(c)
    if c == "\n" and keep_lines:
        return c
    if c in _SHORT:
        return _SHORT[c]
    if c in _BIDI or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return c
