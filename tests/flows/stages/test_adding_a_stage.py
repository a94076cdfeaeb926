"""The stage of docs/adding-a-stage.md, dropped into a copy of the packages, takes part in plan and build."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import write_photographs, write_tiny_config
from tests.package_copies import ROOT, Copy

NAMES = ["coffee", "china"]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """The packages with the documented file and line."""
    text = (ROOT / "docs/adding-a-stage.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (line,) = re.findall(r"```\n( .*?)```", text, re.DOTALL)
    made = Copy(tmp_path / "copy")
    made.write("flows/stages/sharpness.py", code)
    table = (ROOT / "flows/stages/table.py").read_text(encoding="utf-8")
    assert table.count('    "keepout",\n') == 1
    made.write("flows/stages/table.py", table.replace('    "keepout",\n', line + '    "keepout",\n'))
    return made


def output(copy: Copy, *arguments: str | Path) -> str:
    done = copy.run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_documented_stage_is_planned_built_and_reused(
    copy: Copy, tmp_path: Path, prefect_url: str
) -> None:
    write_photographs(tmp_path / "images", NAMES)
    config = write_tiny_config(tmp_path / "tiny.yaml", tmp_path / "images", tmp_path / "out")
    assert re.search(r"^sharpness +2 to make", output(copy, "plan", config), re.MULTILINE)

    until = json.loads(output(copy, "build", config, "--until", "sharpness", "--json").splitlines()[-1])
    assert {stage: count["new"] for stage, count in until["stages"].items()} == {"ingest": 2, "sharpness": 2}
    assert until["counts"]["photographs measured"] == 2

    built = json.loads(output(copy, "build", config, "--json").splitlines()[-1])
    assert built["stages"]["sharpness"] == {"new": 0, "reused": 2}
    assert built["rows"] > 0
    again = json.loads(output(copy, "build", config, "--json").splitlines()[-1])
    assert (again["state"], again["digest"]) == ("nothing changed", built["digest"])
