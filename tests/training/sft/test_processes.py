"""Two processes of one run see rows of their own and end with the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.training.sft.small import dataset, entries, settings, written
from training.sft.options import load_options
from training.sft.run import prepare

ROOT = Path(__file__).parents[3]


def test_two_processes_share_the_rows_and_agree(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", entries(12))
    config = written(tmp_path, settings(tmp_path / "out", data, "qwen2.5-vl", steps=3, batch=2))
    prepare(load_options(config))
    program = str(Path(__file__).with_name("two_processes.py"))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        program, str(config), str(tmp_path),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    assert len(first["rows"]) == len(second["rows"]) == 6
    assert {*first["rows"], *second["rows"]} == {f"row-{number:03d}" for number in range(12)}
    assert first["weights"]
    assert first["weights"] == second["weights"]
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()
