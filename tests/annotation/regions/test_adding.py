"""The worked example of docs/adding-a-region-proposer.md, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from annotation.regions import filters, make_regions, propose_all
from annotation.regions.interface import Proposer, Registry
from schemas.plugins import PlugIns
from schemas.regions_config import RegionsConfig
from tests.annotation.regions.conftest import load

PAGE = Path(__file__).parents[3] / "docs" / "adding-a-region-proposer.md"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RegionsConfig:
    """Settings that name the example, which stands in a folder of proposers."""
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    folder = tmp_path / "package_of_the_page" / "proposers"
    folder.mkdir(parents=True)
    (folder / "halves.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plug_ins = PlugIns("region proposer", "package_of_the_page.proposers", functions=("make",))
    monkeypatch.setattr(make_regions, "PROPOSERS", Registry[Proposer](plug_ins))
    return RegionsConfig(proposer="halves")


def test_it_gives_regions_of_several_pictures(config: RegionsConfig) -> None:
    pictures = [load("coffee"), np.zeros((60, 80, 3), np.uint8), load("china")]
    first, black, last = propose_all(pictures, config, [None] * 3)
    for picture, result in ((pictures[0], first), (pictures[2], last)):
        assert sum(region.area for region in result.regions) == picture[..., 0].size
        assert len(result.regions) == len(result.candidates) == 2
    assert len(black.regions) == 1
    assert black.dropped == {"black": 1}


def test_every_reason_of_a_rule_is_on_the_page() -> None:
    text = Path(filters.__file__).read_text(encoding="utf-8")
    reasons = set(re.findall(r'return "([a-z-]+)"|return None if item.label else "([a-z-]+)"', text))
    page = PAGE.read_text(encoding="utf-8")
    assert len(reasons) >= 9
    assert all(f"`{one or other}`" in page for one, other in reasons)
