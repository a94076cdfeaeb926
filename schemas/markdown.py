"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table from cells that are already Markdown; every line ends with a line break.

    Raises ValueError when a row and the header differ in length.
    """
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"a row of {len(row)} cells under a header of {len(head)}")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"
