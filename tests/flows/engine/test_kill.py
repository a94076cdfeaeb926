"""A build killed with SIGKILL at random moments and run again equals one that nobody disturbed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from flows.engine.build import build
from flows.engine.overrides import Overrides, configure
from schemas.dataset import load_manifest
from tests.conftest import run_cli, write_photographs, write_tiny_config
from tests.waiting import LAST_RESORT, wait_until

ROOT = Path(__file__).parents[3]
KILLS = 15


def wait_for_children(group: int) -> None:
    """Every process of the killed build's group ends by itself."""

    def gone() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(gone, lambda: "processes of a killed build are still there")


def run_until_touch(config: Path, folder: Path, number: int, count_file: Path) -> int:
    """The exit code of a build that dies at its `number`-th touch of a file in `folder`; 0 is never."""
    command = [sys.executable, "-m", "tests.killing", "touches", folder, number, count_file]
    command += ["build", config, "--out", folder, "--runner", "process", "--workers", "2"]
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    process.wait(LAST_RESORT)
    wait_for_children(process.pid)
    return process.returncode


def test_killed_at_fifteen_random_moments(tmp_path: Path, prefect_url: str) -> None:
    write_photographs(tmp_path / "images", ["chelsea", "coffee", "china", "rocket"])
    config = write_tiny_config(tmp_path / "tiny.yaml", tmp_path / "images", tmp_path / "out")
    assert run_until_touch(config, tmp_path / "other", 0, tmp_path / "count") == 0
    expected = load_manifest(tmp_path / "other" / "latest")
    touches = int((tmp_path / "count").read_text())
    assert touches > 4 * KILLS

    def check(folder: Path) -> None:
        manifest = load_manifest(folder)
        assert manifest.digest == expected.digest
        assert manifest.rows == expected.rows
        assert run_cli("verify", folder).returncode == 0
        assert not list(out.glob("datasets/.*"))
        assert [path.name for path in (out / "store" / "tmp").iterdir()] == [".lock"]

    draw = random.Random(20)
    out = tmp_path / "out"
    killed = finished = 0
    while killed < KILLS:
        code = run_until_touch(config, out, draw.randint(1, touches), tmp_path / "count")
        if code == 0:
            finished += 1
            assert finished < 5 * KILLS, "builds end before they can be killed"
            check((out / "latest").resolve())
            shutil.rmtree(out)
            continue
        assert code == -signal.SIGKILL
        killed += 1
        for folder in (out / "datasets").glob("[!.]*") if out.exists() else []:
            assert load_manifest(folder).digest == expected.digest
    check(build(configure(config, Overrides())).folder)
