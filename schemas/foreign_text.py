"""Text of foreign origin, displayed with nothing hidden in it."""

from __future__ import annotations

import unicodedata

_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape_hidden(text: str, limit: int = 0, keep_lines: bool = False) -> str:
    """`text` with control characters, bidirectional marks and lone surrogates escaped (such as \\n).

    `keep_lines` keeps line breaks. Text longer than `limit` characters (0: no limit) is cut with an ellipsis.
    """
    if limit and len(text) > limit:
        text = text[: limit - 1].rstrip() + "…"
    return "".join(_escape_character(c, keep_lines) for c in text)


def _escape_character(c: str, keep_lines: bool) -> str:
    code = ord(c)
    if c == "\n" and keep_lines:
        return c
    if c in _SHORT:
        return _SHORT[c]
    if c in _BIDI or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return c
