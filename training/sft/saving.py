"""What a run leaves: adapter, vision encoder, projector, how they came about; merging them into a model."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from schemas.dataset import load_manifest
from schemas.errors import InputError
from training.sft.options import BaseConfig, TrainOptions

RECORD = "training.json"
ADAPTER = "adapter"
_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")


def record(options: TrainOptions, base: str) -> dict[str, Any]:
    """How a run came about: options, dataset digest, versions and the project's git state (None without)."""
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
    model: Any, processor: Any, out: Path, said: dict[str, Any], weights: dict[str, Any] | None = None
) -> Path:
    """Write `out/adapter`: LoRA, vision encoder and projector, the processor, and training.json.

    `weights` are all of the model's by name, where its own are spread over processes.
    """
    folder = out / ADAPTER
    model.save_pretrained(folder, state_dict=weights)
    processor.save_pretrained(folder)
    (folder / RECORD).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    return folder


def load_base(base: BaseConfig, name: str, dtype: str) -> Any:
    """The model to begin from. Raises InputError when it isn't there or isn't one."""
    from transformers import AutoModelForImageTextToText

    try:
        return AutoModelForImageTextToText.from_pretrained(
            name, revision=base.revision, dtype=dtype, attn_implementation=base.attention
        )
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"model {name!r} can't be loaded: {_first_line(error)}") from error


def empty_base(base: BaseConfig, name: str) -> Any:
    """The model to begin from without its weights, on the meta device. Raises InputError."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    try:
        config = AutoConfig.from_pretrained(name, revision=base.revision)
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(  # type: ignore[no-untyped-call]
                config, dtype=getattr(torch, base.dtype)
            )
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"model {name!r} can't be read: {_first_line(error)}") from error


def load_processor(name: str, revision: str | None) -> Any:
    """The processor of a model or of a saved adapter. Raises InputError."""
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            name, revision=revision
        )
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"the processor of {name!r} can't be loaded: {_first_line(error)}") from error


def load_trained(folder: Path, dtype: str = "float32") -> Any:
    """A saved adapter on its base model, for inference, all weights of one dtype. Raises InputError."""
    from peft import PeftModel

    try:
        said = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no trained model is saved here: {error}") from error
    base = BaseConfig.model_validate(said["options"]["model"])
    model = load_base(base, said["base"], dtype)
    return PeftModel.from_pretrained(model, folder).to(dtype=model.dtype).eval()


def merge(folder: Path, out: Path, dtype: str = "float32") -> None:
    """Write a plain checkpoint, loadable with AutoModelForImageTextToText, of a saved adapter and its base.

    The sums are taken in float32 and stored as `dtype`. Raises InputError.
    """
    import torch

    if out.exists():
        raise InputError(f"{out}: is there already; give a folder that doesn't exist")
    model = load_trained(folder, "float32").merge_and_unload()
    model = model.to(dtype=getattr(torch, dtype))
    model.save_pretrained(out)
    load_processor(str(folder), None).save_pretrained(out)
    (out / RECORD).write_bytes((folder / RECORD).read_bytes())


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
