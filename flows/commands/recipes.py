"""The commands `recipes pack` and `recipes rebuild`: what they print and return."""

from __future__ import annotations

from pathlib import Path

from flows.dataset.recipes.pack import pack
from flows.dataset.recipes.rebuild import rebuild
from flows.progress import progress_for
from schemas.config import ImagesConfig


def print_pack(dataset: Path, output: Path) -> int:
    """Pack a dataset and say how large the pack is."""
    rows = pack(dataset, output, progress_for(False))
    size = output.stat().st_size
    print(f"{output}  {rows} rows, {size} bytes, {size / max(rows, 1):.0f} a row")
    return 0


def print_rebuild(file: Path, images: ImagesConfig, out: Path, workers: int) -> int:
    """Rebuild a dataset; rows that differ are printed, a line each, and make the exit code 1."""
    outcome = rebuild(file, images, out, workers, progress_for(False))
    for row_id, why in outcome.differing.items():
        print(f"{row_id}: {why}")
    if outcome.differing:
        print(f"{len(outcome.differing)} of {outcome.rows} rows differ; {out} was not written")
        return 1
    print(f"ok: {outcome.rows} rows, digest {outcome.digest}")
    print(f"dataset  {out}")
    return 0
