"""Reads a ShareGPT export with another trainer's own loading code and compares it row by row.

Run it with that trainer's Python, which doesn't need this project:
`.venv-ms-swift/bin/python benchmarks/other_trainers.py ms-swift runs/x/export` (or `llama-factory`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Turns = list[tuple[str, str]]
Read = tuple[Turns, list[bytes]]
"""A row as a trainer read it: (role, text) per turn, and its pictures' bytes."""


def expected(folder: Path, split: str) -> Iterator[Read]:
    """The rows as the export's files have them."""
    roles = {"human": "user", "gpt": "assistant"}
    for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        turns = [(roles[turn["from"]], turn["value"]) for turn in row["conversations"]]
        yield turns, [(folder / name).read_bytes() for name in row["images"]]


def ms_swift(folder: Path, split: str) -> Iterator[Read]:
    """`swift.dataset.load_dataset`, strict; pictures by its `load_file` under ROOT_IMAGE_DIR."""
    os.environ["ROOT_IMAGE_DIR"] = str(folder)
    from swift.dataset import load_dataset
    from swift.template.vision_utils import load_file

    rows, _ = load_dataset([str(folder / f"{split}.jsonl")], strict=True, load_from_cache_file=False)
    for row in rows:
        turns = [(turn["role"], turn["content"]) for turn in row["messages"]]
        yield turns, [_bytes(load_file(picture["path"])) for picture in row.get("images") or []]


def llama_factory(folder: Path, split: str) -> Iterator[Read]:
    """`get_dataset_list` over dataset_info.json, and the loader that converts rows and finds pictures."""
    from llamafactory.data import loader
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    data = DataArguments(dataset_dir=str(folder), dataset=f"iqa_spider_{split}", overwrite_cache=True)
    (described,) = get_dataset_list(data.dataset, data.dataset_dir)
    model = ModelArguments(model_name_or_path="unused")
    training = Seq2SeqTrainingArguments(output_dir=str(folder / "unused"), use_cpu=True)
    for row in loader._load_single_dataset(described, model, data, training):
        turns = [(turn["role"], turn["content"]) for turn in (*row["_prompt"], *row["_response"])]
        yield turns, [Path(name).read_bytes() for name in row["_images"] or []]


LOADERS: dict[str, Callable[[Path, str], Iterator[Read]]] = {
    "ms-swift": ms_swift,
    "llama-factory": llama_factory,
}


def _bytes(file: Any) -> bytes:
    data: bytes = file.read()
    return data


def main(trainer: str, folder: Path) -> int:
    """Compare every split; return 1 if a row or picture differs from the export."""
    status = 0
    for path in sorted(folder.glob("*.jsonl")):
        wanted, found = list(expected(folder, path.stem)), list(LOADERS[trainer](folder, path.stem))
        same = sum(a == b for a, b in zip(wanted, found, strict=False))
        pictures = sum(len(pictures) for _, pictures in found)
        print(f"{trainer} {path.stem}: {same} of {len(wanted)} rows the same, {pictures} pictures read")
        status |= same != len(wanted) or len(found) != len(wanted)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
