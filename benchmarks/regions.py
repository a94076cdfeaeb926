"""Automatic mask generation against segment-anything's generator and transformers' pipeline.

Run `python -m benchmarks.regions` from the root. All four run the same tiny random SAM (real geometry: 1024
pixels in, 256 x 256 logits out) at the same settings on the same photographs, on one thread, each in its own
process. Only ratios mean anything beyond this machine. Memory is what a process takes beyond what it holds
once the model is loaded and has segmented a few points.

Small regions are not cleaned, because transformers' pipeline can't on SAM; our fast mode detects duplicates
by masks and the others by boxes, so it keeps more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

CONTENDERS = ("ours, fast", "ours, exact", "segment-anything", "transformers")
MIN_IOU, MIN_STABILITY, BATCH = 0.86, 0.92, 64
SIDES = (512, 1024)
Image = NDArray[np.uint8]
Generate = Callable[[Image], int]
"""From a photograph to the number of masks."""


def photograph(side: int) -> Image:
    """A photograph with its long side at `side`: one of 512 pixels as it is, or one of 640 enlarged."""
    if side == 512:
        return np.asarray(skimage.data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]
    image = load_sample_image("china.jpg")
    height = round(image.shape[0] * side / image.shape[1])
    return np.asarray(cv2.resize(image, (side, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def ours(folder: Path, points: int, exact: bool) -> Generate:
    """This project's proposer."""
    from annotation.regions.interface import Context
    from annotation.regions.proposers.sam import SamProposer
    from schemas.regions_config import RegionsConfig

    sam = {
        "model": str(folder), "points_per_side": points, "points_per_batch": BATCH, "exact": exact,
        "min_predicted_iou": MIN_IOU, "min_stability": MIN_STABILITY, "min_island": 0,
    }  # fmt: skip
    config = RegionsConfig.model_validate({"proposer": "sam", "labeller": "appearance", "sam": sam})
    proposer, context = SamProposer(config), Context(config)
    return lambda image: len(proposer([image], [context])[0].candidates)


def original(folder: Path, points: int) -> Generate:
    """segment-anything's generator; masks as run lengths, its smallest output."""
    from segment_anything import SamAutomaticMaskGenerator

    from tests.annotation.regions.tiny_models import original_sam

    generator = SamAutomaticMaskGenerator(
        original_sam(folder),
        points_per_side=points,
        points_per_batch=BATCH,
        pred_iou_thresh=MIN_IOU,
        stability_score_thresh=MIN_STABILITY,
        output_mode="coco_rle",
    )
    return lambda image: len(generator.generate(image))


def pipeline(folder: Path, points: int) -> Generate:
    """transformers' mask-generation pipeline."""
    import transformers
    from PIL import Image as Pillow

    run: Any = transformers.pipeline("mask-generation", model=str(folder), device="cpu")

    def generate(image: Image) -> int:
        found = run(
            Pillow.fromarray(image),
            points_per_crop=points,
            points_per_batch=BATCH,
            pred_iou_thresh=MIN_IOU,
            stability_score_thresh=MIN_STABILITY,
        )
        return len(found["masks"])

    return generate


def measure(contender: str, folder: Path, side: int, points: int) -> dict[str, float]:
    """CPU seconds, bytes beyond the loaded model, and number of masks of one run in this process."""
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    makers: dict[str, Callable[[Path, int], Generate]] = {
        "ours, fast": lambda folder, points: ours(folder, points, exact=False),
        "ours, exact": lambda folder, points: ours(folder, points, exact=True),
        "segment-anything": original,
        "transformers": pipeline,
    }
    image = photograph(side)
    makers[contender](folder, 2)(image)  # first calls load code and select kernels
    generate = makers[contender](folder, points)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    start = time.process_time()
    masks = generate(image)
    seconds = time.process_time() - start
    return {"seconds": seconds, "bytes": _memory("VmHWM") - before, "masks": masks}


def _memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status; this benchmark needs Linux")


def compare(folder: Path, side: int, points: int) -> None:
    """One table: every contender on one photograph."""
    found: dict[str, dict[str, float]] = {}
    print(f"\n{'x'.join(str(n) for n in photograph(side).shape[1::-1])}, {points**2} points")
    print(f"{'':18s}{'seconds':>9s}{'ours fast':>11s}{'ours exact':>12s}{'peak MB':>9s}{'masks':>7s}")
    for contender in CONTENDERS:
        command = [
            sys.executable, "-m", "benchmarks.regions", "--one", contender, "--folder", str(folder),
            "--side", str(side), "--points", str(points),
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{contender} failed:\n{done.stderr}")
        result = found[contender] = json.loads(done.stdout.splitlines()[-1])
        ratios = [result["seconds"] / found[ours]["seconds"] for ours in CONTENDERS[:2] if ours in found]
        shown = [f"{ratio:.2f}x" for ratio in ratios] + [""] * (2 - len(ratios))
        print(
            f"{contender:18s}{result['seconds']:9.1f}{shown[0]:>11s}{shown[1]:>12s}"
            f"{result['bytes'] / 1e6:9.0f}{result['masks']:7.0f}",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=32, help="points per side of the grid")
    parser.add_argument("--input", type=int, default=1024, help="side of the model's input in pixels")
    parser.add_argument("--side", type=int, help="long side of a single photograph instead of two")
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        result = measure(options.one, options.folder, options.side, options.points)
        print(json.dumps(result))
        return
    from tests.annotation.regions.tiny_models import save_sam

    with tempfile.TemporaryDirectory() as folder:
        save_sam(Path(folder), options.input)
        print(f"tiny SAM of {options.input} px, batches of {BATCH} points, one thread")
        for side in [options.side] if options.side else SIDES:
            compare(Path(folder), side, options.points)


if __name__ == "__main__":
    main()
