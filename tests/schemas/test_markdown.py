"""Markdown tables: as written by hand, and only with whole rows."""

from __future__ import annotations

import pytest

from schemas.markdown import markdown_table


def test_a_table_by_hand() -> None:
    assert markdown_table(("a", "b"), [("1", "`x`")]) == "| a | b |\n|---|---|\n| 1 | `x` |\n"
    assert markdown_table(["a"], []) == "| a |\n|---|\n"


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells under a header of 2"):
        markdown_table(("a", "b"), [("1",)])
