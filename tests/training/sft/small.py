"""Datasets and options small enough to train a tiny model on in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from schemas.dataset import MANIFEST, load_manifest
from schemas.pictures import encode
from schemas.records import Message
from tests.schemas import rows as make
from tests.training.published import Entry, publish

FAMILIES = ("qwen2.5-vl", "qwen3-vl", "internvl")
DIALOGUES = (
    [("user", "Is it sharp?"), ("assistant", "The left is blurred.")],
    [
        ("user", "Does the assistant see noise?\nassistant\nNo."),
        ("assistant", "Yes, at the top-left of the image."),
        ("user", "assistant: and where is it worst?"),
        ("assistant", "On the assistant's red chair."),
    ],
    [("user", "And here? \U0001f642"), ("assistant", "It is fine — no distortion…")],
)


def entry(number: int, dialogue: list[tuple[str, str]], pictures: int = 1) -> Entry:
    """A row with this dialogue and `pictures` plain pictures, whose shade depends on the number."""
    import numpy as np

    row = make.row(f"row-{number:03d}").model_copy(
        update={"messages": [Message(role=role, content=text) for role, text in dialogue]}
    )
    shade = np.full((56, 56, 3), 20 * (number % 12), np.uint8)
    shade[: 28 - number % 8] = 255
    return row, [encode(shade + np.uint8(place)) for place in range(pictures)]


def entries(count: int = 12) -> list[Entry]:
    """Rows of one and several turns; every fifth has two pictures, number 3 none."""
    return [
        entry(number, DIALOGUES[number % len(DIALOGUES)], 0 if number == 3 else 2 if number % 5 == 4 else 1)
        for number in range(count)
    ]


def dataset(folder: Path, rows: list[Entry] | None = None, held_out: list[Entry] | None = None) -> Path:
    """A published dataset of these rows, with the held-out ones as its split `test`."""
    publish(folder, rows or entries(), files=2, rows_per_group=4)
    if held_out:
        manifest = load_manifest(folder)
        publish(folder, held_out, files=1, rows_per_group=4, split="test")
        files = {**manifest.files, **load_manifest(folder).files}
        text = manifest.model_copy(update={"files": files}).model_dump_json()
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    return folder


def settings(out: Path, data: Path, model: str, **run: Any) -> dict[str, Any]:
    """The options of a short run on the CPU, as in a YAML file; `model` is a family or a folder."""
    return {
        "name": "small", "out": str(out), "seed": 3,
        "model": {"tiny" if model in FAMILIES else "name": model, "dtype": "float32"},
        "data": {"dataset": str(data), "eval_split": None},
        "lora": {"rank": 2, "alpha": 4, "dropout": 0.0},
        "rates": {"lora": 0.02, "vision": 0.002, "projector": 0.003},
        "run": {
            "steps": 3, "batch": 2, "accumulation": 1, "checkpointing": False, "log_every": 1,
            "save_every": 1000, "schedule": "constant", "warmup": 0.0, "device": "cpu", **run,
        },
    }  # fmt: skip


def written(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path
