"""Saves, loads and merges what a run trained: adapter, vision encoder, projector, and the run's record."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from schemas.dataset import load_manifest
from schemas.errors import InputError
from schemas.folders import move_into_place, staging_folder
from schemas.model_files import (
    TRAINING_RECORD,
    load_adapter,
    load_pretrained,
    load_processor,
    load_vision_language_model,
    summarize_error,
)
from training.sft.train_config import BaseConfig, TrainOptions

LOG = "log.json"
ADAPTER = "adapter"
_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")


def describe_run(options: TrainOptions, base: str) -> dict[str, Any]:
    """A run's record: options, dataset digest, package versions, and the project's git state, if any."""
    manifest = load_manifest(options.data.dataset.resolve())
    return {
        "base": base,
        "revision": options.model.revision,
        "options": options.model_dump(mode="json"),
        "dataset": {"name": manifest.name, "digest": manifest.digest, "rows": manifest.rows},
        "versions": {name: _version(name) for name in _PACKAGES},
        "git": _git_state(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    folder = Path(__file__).parents[2]
    try:
        commit, changes = (
            subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True, check=True)
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit.stdout.strip(), "changed": bool(changes.stdout.strip())}


def save_trained(
    model: Any,
    processor: Any,
    out: Path,
    run_record: dict[str, Any],
    weights: dict[str, Any] | None = None,
    log: Sequence[dict[str, float]] = (),
) -> Path:
    """Write `out/adapter`: LoRA, vision encoder and projector, the processor, training.json and log.json.

    It appears complete or not at all, and replaces one left from before the run was extended. `weights` are
    all the model's weights by name, for a model whose own are spread over processes.
    """
    folder = out / ADAPTER
    if folder.exists():
        shutil.rmtree(folder)
    with staging_folder(folder) as staging:
        model.save_pretrained(staging, state_dict=weights)
        processor.save_pretrained(staging)
        (staging / LOG).write_text(json.dumps(list(log), indent=1) + "\n", encoding="utf-8")
        (staging / TRAINING_RECORD).write_text(json.dumps(run_record, indent=2) + "\n", encoding="utf-8")
        move_into_place(staging, folder)
    return folder


def load_record(folder: Path) -> dict[str, Any]:
    """Read a saved adapter's training.json. Raises InputError when none is saved there."""
    try:
        run_record = json.loads((folder / TRAINING_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder}: no trained model is saved here; train one with `iqa-spider train`"
        ) from error
    if not isinstance(run_record, dict) or not {"base", "options", "dataset", "steps"} <= run_record.keys():
        raise InputError(f"{folder / TRAINING_RECORD}: not the record of a training run; train again")
    return run_record


def load_base(base: BaseConfig, name: str, dtype: str) -> Any:
    """The model to start from, with its weights. Raises InputError as `schemas.model_files` does."""
    return load_vision_language_model(name, base.revision, dtype=dtype, attn_implementation=base.attention)


def empty_base(base: BaseConfig, name: str) -> Any:
    """The model to start from without its weights, on the meta device. Raises InputError."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = load_pretrained(AutoConfig.from_pretrained, name, base.revision, "the model")
    try:
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(  # type: ignore[no-untyped-call]
                config, dtype=getattr(torch, base.dtype)
            )
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"the model {name!r} can't be read: {summarize_error(error)}") from error


def load_trained(folder: Path, dtype: str = "float32") -> Any:
    """A saved adapter on its base model, for inference, all weights of one dtype. Raises InputError."""
    run_record = load_record(folder)
    model = load_base(BaseConfig.model_validate(run_record["options"]["model"]), run_record["base"], dtype)
    return load_adapter(model, folder, run_record["base"]).to(dtype=model.dtype).eval()


def merge(folder: Path, out: Path, dtype: str = "float32") -> None:
    """Merge a saved adapter into its base: a plain checkpoint that AutoModelForImageTextToText loads.

    Merged in float32 and stored as `dtype`; the folder appears complete or not at all. Raises InputError.
    """
    import torch

    with staging_folder(out) as staging:
        model = load_trained(folder, "float32").merge_and_unload()
        model = model.to(dtype=getattr(torch, dtype))
        model.save_pretrained(staging)
        load_processor(str(folder), None).save_pretrained(staging)
        (staging / TRAINING_RECORD).write_bytes((folder / TRAINING_RECORD).read_bytes())
        move_into_place(staging, out)
