"""Small benchmarks in their published shapes, of real photographs, and what a scorer makes of replies."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inference.evaluation import sampling
from inference.evaluation.benchmark_interface import Benchmark, Item, Reply
from tests.conftest import photograph

Oracle = Callable[[Item], Reply]


def write_picture(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def blurred(rgb: np.ndarray, level: int) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 0.6 * level))


QUESTIONS: list[dict[str, Any]] = [
    {
        "img_path": "chelsea.jpg", "question": "Is this picture clear?", "candidates": ["Yes", "No"],
        "type": 0, "concern": 0, "correct_ans": "Yes",
    },
    {
        "img_path": "coffee.jpg", "question": "What is the main colour of the picture?",
        "candidates": ["Blue", "Brown", "Green", "Red"], "type": 1, "concern": 1, "correct_ans": "Brown",
    },
    {
        "img_path": "rocket.jpg", "question": "How is the lighting of the rocket?",
        "candidates": ["Sufficient", "Medium", "Insufficient"], "type": 2, "concern": 3,
        "correct_ans": "Sufficient",
    },
    {
        "img_path": "chelsea.jpg", "question": "Which distortion does the cat's ear have?",
        "candidates": ["Blur", "Noise", "Overexposure"], "type": 1, "concern": 2, "correct_ans": "Blur",
    },
]  # fmt: skip


def write_q_bench(folder: Path, records: Sequence[dict[str, Any]] = QUESTIONS) -> Path:
    """LLVisionQA's dev split: llvisionqa_dev.json and images/."""
    write_json(folder / "llvisionqa_dev.json", list(records))
    for name in ("chelsea", "coffee", "rocket"):
        write_picture(folder / "images" / f"{name}.jpg", photograph(name, 96))
    return folder


def write_kadid(folder: Path, references: Sequence[str] = ("chelsea", "coffee"), kinds: int = 2) -> Path:
    """KADID-10k with few references and distortions: dmos.csv and images/, every level of each."""
    rows = []
    for number, name in enumerate(references, start=1):
        rgb = photograph(name, 96)
        write_picture(folder / "images" / f"I{number:02}.png", rgb)
        for kind in range(1, kinds + 1):
            for level in range(1, 6):
                file = f"I{number:02}_{kind:02}_{level:02}.png"
                write_picture(folder / "images" / file, blurred(rgb, level * kind))
                dmos = 5.0 - 0.7 * level - 0.1 * kind + 0.05 * number
                rows.append([file, f"I{number:02}.png", f"{dmos:.2f}", "0.496"])
    write_dmos(folder, rows)
    return folder


def write_dmos(folder: Path, rows: Sequence[Sequence[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "dmos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["dist_img", "ref_img", "dmos", "var"], *rows])


def box(shape: tuple[int, ...], top: int, left: int, height: int, width: int) -> np.ndarray:
    """A boolean mask of one box."""
    mask = np.zeros(shape[:2], np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


def numbers(benchmark: Benchmark, data: Path, oracle: Oracle, limit: int | None = None) -> dict[str, float]:
    """Every measure of a benchmark under an oracle: "task: measure" where it has several tasks."""
    opened = benchmark.open(data, limit)
    items = list(opened.items())
    assert len(items) == opened.count
    assert [item.id for item in opened.items()] == [item.id for item in items]
    assert len({item.id for item in items}) == len(items)
    assert all(set(opened.labels) == set(item.labels) for item in items)
    values = benchmark.score(items, [oracle(item) for item in items])
    tasks = sorted({item.task for item in items})
    found = {}
    for task in tasks:
        chosen = [n for n, item in enumerate(items) if item.task == task]
        columns = {
            name: np.array([np.nan if (value := values[n][name]) is None else value for n in chosen])
            for name in benchmark.columns
        }
        labels = {name: [items[n].labels[name] for n in chosen] for name in opened.labels}
        groups = [items[n].group for n in chosen]
        for measure in benchmark.measures:
            if measure.tasks is not None and task not in measure.tasks:
                continue
            sample, _ = sampling.sample(measure, columns, groups, labels)
            name = measure.name if len(tasks) == 1 else f"{task}: {measure.name}"
            found[name] = sampling.value(measure, sample)
    return found
