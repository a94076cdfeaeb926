"""All that is asked of lmdeploy, held against lmdeploy 0.18.0 itself, which is installed for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from annotation.chat import lmdeploy_transport as lmdeploy
from annotation.chat.lmdeploy_transport import LmdeployTransport
from schemas.config import VlmConfig
from schemas.errors import InputError
from tests.annotation.chat.packages import install
from tests.waiting import LAST_RESORT

ROOT = Path(__file__).parents[3]
NEEDED = [
    "lmdeploy==0.18.0", "mmengine-lite==0.10.7", "pybase64", "addict", "termcolor", "yapf", "platformdirs",
    "shortuuid", "fire",
]  # fmt: skip
"""lmdeploy and what its import needs beyond the packages of this project."""


def test_the_contract(tmp_path: Path) -> None:
    """`lmdeploy_contract.py` in a process of its own, where lmdeploy can be imported."""
    folder = install(tmp_path / "packages", *NEEDED)
    path = os.pathsep.join([str(ROOT), str(folder)])
    command = [sys.executable, "-m", "pytest", "--noconftest", "-p", "no:cacheprovider", "-q", "-rA"]
    command += [str(Path(__file__).with_name("lmdeploy_contract.py"))]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        timeout=LAST_RESORT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert done.stdout.count("PASSED ") >= 25
    assert "SKIPPED" not in done.stdout


def test_without_lmdeploy_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdeploy.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        LmdeployTransport(VlmConfig(), 4)
    assert "pip install 'iqa-spider[lmdeploy]'" in str(caught.value)
    assert "\n" not in str(caught.value)
