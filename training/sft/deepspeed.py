"""Checks a DeepSpeed configuration before a run, rather than hours into it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schemas.errors import InputError
from training.sft.train_config import RunOptions

REPLACED = ("optimizer", "scheduler")
GATHER = "stage3_gather_16bit_weights_on_model_save"


def check_file(run: RunOptions) -> None:
    """Raise InputError when `run.deepspeed` can't be read or used, or DeepSpeed isn't installed."""
    path = run.deepspeed
    if path is None:
        return
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: run.deepspeed can't be read: {error}") from error
    if not isinstance(values, dict):
        raise InputError(
            f"{path}: run.deepspeed must be a JSON object; see the two in configs/train/deepspeed"
        )
    check_settings(values, path)
    if run.device == "cpu":
        raise InputError("run.device: cpu trains without DeepSpeed; leave run.deepspeed out")
    if find_spec("deepspeed") is None:
        raise InputError("run.deepspeed needs DeepSpeed; pip install 'deepspeed>=0.19.3'")


def check_settings(values: Mapping[str, Any], where: Path | str) -> None:
    """Raise InputError for settings that would override a run's options or lose its weights."""
    for section in REPLACED:
        if section in values:
            raise InputError(f"{where}: its {section!r} would replace the learning rates by group; remove it")
    zero = values.get("zero_optimization") or {}
    if zero.get("stage") == 3 and zero.get(GATHER) is not True:
        raise InputError(f"{where}: ZeRO-3 without {GATHER}: true can't save the trained weights; set it")
