"""docs/configuration.md is what the declarations of the keys say."""

from __future__ import annotations

import re
from pathlib import Path

from flows.configuration_page import PAGE, page

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / PAGE).read_text(encoding="utf-8")
    assert written == page(), "run `python -m flows.configuration_page`"


def test_links_lead_to_headings_and_every_row_has_all_cells() -> None:
    lines = page().splitlines()
    headings = [line.lstrip("# ").lower() for line in lines if line.startswith("#")]
    anchors = [re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings]
    assert len(anchors) == len(set(anchors))
    links = set(re.findall(r"\(#([^)]+)\)", page()))
    assert links
    assert links <= set(anchors)
    rows = [line for line in lines if line.startswith("| `")]
    assert len(rows) > 150
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


def test_a_key_is_told_whole() -> None:
    assert (
        "| `max_side` | integer | 16 to 16384 | 1024 | shapes the result | Long side of a stored picture in "
        "pixels at most; larger pictures are scaled down. |"
    ) in page()
    assert "| `points_per_batch` | integer | 1 to 4096 | 64 | how only |" in page()
    assert "| `annotations` | list: path | 1 to 1000 entries | required | input |" in page()
