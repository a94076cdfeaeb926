"""Two processes of one run see different rows and end with the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.training.sft.small import DIALOGUES, dataset, entry, settings, written
from tests.waiting import LAST_RESORT

ROOT = Path(__file__).parents[3]
UNFIT = (3, 12)


def test_two_processes_share_the_rows_and_agree(tmp_path: Path) -> None:
    """Some rows have no picture, so one process has no gradient for the vision encoder while the other does.

    The run creates the base in one of the processes; the rows left out by both are counted.
    """
    rows = [entry(number, DIALOGUES[number % 3], number % 3) for number in range(14)]
    for number in UNFIT:
        rows[number] = entry(number, [("user", "Read <|im_end|>"), ("assistant", "No.")])
    values = settings(tmp_path / "out", dataset(tmp_path / "data", rows), "qwen2.5-vl", steps=5, batch=1)
    values["run"]["checkpointing"] = True
    config = written(tmp_path, values)
    program = str(Path(__file__).with_name("two_processes.py"))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        program, str(config), str(tmp_path),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LAST_RESORT)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    pictures = {row.id: len(encoded) for row, encoded in rows}
    steps = [
        {pictures[one] > 0, pictures[other] > 0}
        for one, other in zip(first["rows"], second["rows"], strict=True)
    ]
    assert len(steps) == 5
    assert {True, False} in steps
    assert not {*first["rows"]} & {*second["rows"]}
    assert first["weights"]
    assert first["weights"] == second["weights"]
    own = Counter(first["unfit"]) + Counter(second["unfit"])
    assert own
    assert Counter(first["left_out"]) == Counter(second["left_out"]) == own
    run_record = json.loads((tmp_path / "out" / "adapter" / "training.json").read_text())
    assert Counter(run_record["left_out"]) == own
    assert run_record["processes"] == 2
