"""A build from a folder of hostile files: the good ones become a verified dataset, each bad one a
quarantine row.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from flows.sources.files import to_uri
from schemas.dataset import data_files, load_manifest, raw_rows
from tests.conftest import run_cli, write_tiny_config
from tests.hostile import write_hostile

SAMPLES = "{hyd: 0, sid: 0, dao: 0, single: 1, whole: 1, pristine: 0}"


def test_good_pictures_are_built_and_bad_ones_quarantined(tmp_path: Path, prefect_url: str) -> None:
    expected = write_hostile(tmp_path / "images")
    config = write_tiny_config(tmp_path / "hostile.yaml", tmp_path / "images", tmp_path / "out")
    text = config.read_text()
    text = text.replace("{hyd: 1, sid: 1, dao: 1, single: 1, whole: 1, pristine: 1}", SAMPLES)
    text = text.replace("shard_size: 1", "shard_size: 16, max_failure_rate: 1.0")
    config.write_text(text.replace("{max_side: 192}", "{max_side: 192, min_side: 16, max_pixels: 40000000}"))
    try:
        done = run_cli("build", config)
        assert done.returncode == 0, done.stderr
    finally:
        (tmp_path / "images" / "locked").chmod(0o755)
    dataset = (tmp_path / "out" / "latest").resolve()
    assert run_cli("verify", dataset).returncode == 0

    quarantine = pq.read_table(dataset / "quarantine.parquet").to_pylist()
    reasons = {entry["source"]: entry["reason"] for entry in quarantine}
    used = {
        values["source_image"]["uri"]
        for path in data_files(dataset)
        for values in raw_rows(path, pictures=False)
    }
    bad = {
        name: one.outcome
        for name, one in expected.items()
        if one.outcome not in ("good", "duplicate", "ignored")
    }
    assert len(bad) >= 40
    for name, reason in bad.items():
        assert reasons.get(to_uri(name)) == reason, name
    good = [to_uri(name) for name, one in expected.items() if one.outcome == "good"]
    assert not set(good) & reasons.keys()
    assert len(set(good) & used) > 0.9 * len(good)
    assert load_manifest(dataset).quarantined == len(quarantine)
    assert sum(Counter(reasons.values()).values()) == len(bad)
