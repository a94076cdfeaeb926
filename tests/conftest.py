"""Fixtures for the whole suite: one Prefect server, small photographs, and the demo built once."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import HealthCheck, settings
from sklearn.datasets import load_sample_image

from flows.engine.prefect_server import LoopbackServer, quiet_prefect
from tests.waiting import LAST_RESORT

# Prefect's first set-up of logging closes the handlers it finds. absl's (mlcroissant brings it) closes what
# standard error is at that moment, a test's capture, and with it the run: so Prefect goes first.
quiet_prefect()
importlib.import_module("prefect.logging.configuration").setup_logging()

# How long an example takes is the machine's affair.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

PHOTOGRAPHS = {
    "astronaut": lambda: skimage.data.astronaut(),
    "chelsea": lambda: skimage.data.chelsea(),
    "coffee": lambda: skimage.data.coffee(),
    "rocket": lambda: skimage.data.rocket(),
    "china": lambda: load_sample_image("china.jpg"),
    "flower": lambda: load_sample_image("flower.jpg"),
}


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server for the session; builds in this process and its children use it."""
    quiet_prefect()
    server = LoopbackServer(tmp_path_factory.mktemp("prefect"))
    before = os.environ.get("PREFECT_API_URL")
    try:
        server.wait()
        os.environ["PREFECT_API_URL"] = server.url
        yield server.url
    finally:
        if before is None:
            os.environ.pop("PREFECT_API_URL", None)
        else:
            os.environ["PREFECT_API_URL"] = before
        server.stop()


def photograph(name: str, long_side: int) -> np.ndarray:
    """A real photograph as (H, W, 3) uint8 RGB with its long side at `long_side` pixels."""
    rgb = PHOTOGRAPHS[name]()
    scale = long_side / max(rgb.shape[:2])
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))


def write_photographs(folder: Path, names: list[str], long_side: int = 192) -> None:
    """Small BMP copies of real photographs in `folder`, an hour old: fresh files are hashed again by every
    scan.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / f"{name}.bmp"
        bgr = np.ascontiguousarray(photograph(name, long_side)[..., ::-1])
        path.write_bytes(cv2.imencode(".bmp", bgr)[1].tobytes())
        os.utime(path, (time.time() - 3600,) * 2)


def run_cli(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`iqa-spider ARGUMENTS` in a process of its own."""
    command = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=LAST_RESORT, check=False)


TINY_CONFIG = """
name: tiny
seed: 3
images: {{folder: {images}}}
out: {out}
ingest: {{max_side: 192}}
distort: {{samples: {{hyd: 1, sid: 1, dao: 1, single: 1, whole: 1, pristine: 1}}}}
merge: {{test_share: 0.34}}
run: {{runner: serial, workers: 1, shard_size: 1}}
"""


def write_tiny_config(path: Path, images: Path, out: Path, extra: str = "") -> Path:
    """A build of a few small photographs; `extra` is more YAML at the end."""
    path.write_text(TINY_CONFIG.format(images=images, out=out) + extra, encoding="utf-8")
    return path
