"""A build killed with SIGKILL at random moments and run again equals one that nobody disturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.engine.build import build
from flows.engine.overrides import Overrides, configure
from schemas.dataset import load_manifest
from tests.conftest import run_cli, write_photographs, write_tiny_config

KILLS = 15


def wait_for_children(group: int) -> None:
    """Every process of the killed build's group ends by itself."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("processes of a killed build are still there after 20 s")


@pytest.mark.timeout(600)
def test_killed_at_fifteen_random_moments(tmp_path: Path, prefect_url: str) -> None:
    write_photographs(tmp_path / "images", ["chelsea", "coffee", "china", "rocket"])
    config = write_tiny_config(tmp_path / "tiny.yaml", tmp_path / "images", tmp_path / "out")
    started = time.monotonic()
    undisturbed = run_cli(
        "build", config, "--runner", "process", "--workers", "2", "--out", tmp_path / "other"
    )
    whole = time.monotonic() - started
    assert undisturbed.returncode == 0, undisturbed.stderr
    expected = load_manifest(tmp_path / "other" / "latest")

    draw = random.Random(20)
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "build",
        str(config),
        "--runner",
        "process",
        "--workers",
        "2",
    ]
    killed = finished = 0
    while killed < KILLS:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            process.wait(timeout=draw.uniform(0.1, 1.0) * whole)
            finished += 1
            assert finished < 3 * KILLS, "builds end before they can be killed"
            _change_something(config, finished)
            continue
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        wait_for_children(process.pid)
        visible = sorted((tmp_path / "out" / "datasets").glob("[!.]*")) if (tmp_path / "out").exists() else []
        for folder in visible:
            assert load_manifest(folder).rows > 0
    _change_something(config, 0)
    last = build(configure(config, Overrides()))
    assert last.manifest.digest == expected.digest
    assert last.manifest.rows == expected.rows
    assert run_cli("verify", last.folder).returncode == 0
    out = tmp_path / "out"
    assert not list(out.glob("datasets/.*"))
    assert [path.name for path in (out / "store" / "tmp").iterdir()] == [".lock"]


def _change_something(config: Path, number: int) -> None:
    """Another wording of the seed, so that a finished build has work again; 0 is the undisturbed one's."""
    text = config.read_text().splitlines()
    config.write_text(
        "\n".join(f"seed: {3 + number}" if line.startswith("seed:") else line for line in text) + "\n"
    )
