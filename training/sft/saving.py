"""What a run leaves: adapter, vision encoder, projector, how they came about; merging them into a model."""

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
from schemas.folders import appear, staging_folder
from training.sft.options import BaseConfig, TrainOptions

RECORD = "training.json"
LOG = "log.json"
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
    model: Any,
    processor: Any,
    out: Path,
    said: dict[str, Any],
    weights: dict[str, Any] | None = None,
    log: Sequence[dict[str, float]] = (),
) -> Path:
    """Write `out/adapter`: LoRA, vision encoder and projector, the processor, training.json and log.json.

    It appears whole; one that is there, of the run before it was made longer, goes. `weights` are all of the
    model's by name, where its own are spread over processes.
    """
    folder = out / ADAPTER
    if folder.exists():
        shutil.rmtree(folder)
    with staging_folder(folder) as staging:
        model.save_pretrained(staging, state_dict=weights)
        processor.save_pretrained(staging)
        (staging / LOG).write_text(json.dumps(list(log), indent=1) + "\n", encoding="utf-8")
        (staging / RECORD).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        appear(staging, folder)
    return folder


def saved_record(folder: Path) -> dict[str, Any]:
    """What training.json says of a saved adapter. Raises InputError when none is saved there."""
    try:
        said = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no trained model is saved here; `iqa-spider train` makes one") from error
    if not isinstance(said, dict) or not {"base", "options", "dataset", "steps"} <= said.keys():
        raise InputError(f"{folder / RECORD}: not the record of a training run; train again")
    return said


def load_base(base: BaseConfig, name: str, dtype: str) -> Any:
    """The model to begin from, all its weights from safetensors files and no code of its own run.

    Raises InputError when it isn't there, isn't one, has only pickled weights or not all of them.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText

    kind: Any = AutoModelForImageTextToText
    try:
        model, found = kind.from_pretrained(
            name, revision=base.revision, dtype=dtype, attn_implementation=base.attention,
            use_safetensors=True, trust_remote_code=False, output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        raise InputError(f"model {name!r} can't be loaded: {_said(error)}") from error
    missing = sorted(found["missing_keys"])
    if missing:
        what = f"{len(missing)} weights aren't in its files, {missing[0]} among them"
        raise InputError(f"model {name!r}: {what}; give a complete vision-language checkpoint")
    return model


def empty_base(base: BaseConfig, name: str) -> Any:
    """The model to begin from without its weights, on the meta device. Raises InputError."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    try:
        config = AutoConfig.from_pretrained(name, revision=base.revision, trust_remote_code=False)
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(  # type: ignore[no-untyped-call]
                config, dtype=getattr(torch, base.dtype)
            )
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"model {name!r} can't be read: {_said(error)}") from error


def load_processor(name: str, revision: str | None) -> Any:
    """The processor of a model or of a saved adapter. Raises InputError."""
    from transformers import AutoProcessor

    try:
        return AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            name, revision=revision, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError) as error:
        raise InputError(f"the processor of {name!r} can't be loaded: {_said(error)}") from error


def load_trained(folder: Path, dtype: str = "float32") -> Any:
    """A saved adapter on its base model, for inference, all weights of one dtype. Raises InputError."""
    from peft import PeftModel
    from safetensors import SafetensorError

    said = saved_record(folder)
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise InputError(f"{weights}: isn't there; train again")
    model = load_base(BaseConfig.model_validate(said["options"]["model"]), said["base"], dtype)
    try:
        trained = PeftModel.from_pretrained(model, folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: the adapter can't be loaded: {_said(error)}") from error
    return trained.to(dtype=model.dtype).eval()


def merge(folder: Path, out: Path, dtype: str = "float32") -> None:
    """Write a plain checkpoint, loadable with AutoModelForImageTextToText, of a saved adapter and its base.

    The sums are taken in float32 and stored as `dtype`; the folder appears whole. Raises InputError.
    """
    import torch

    with staging_folder(out) as staging:
        model = load_trained(folder, "float32").merge_and_unload()
        model = model.to(dtype=getattr(torch, dtype))
        model.save_pretrained(staging)
        load_processor(str(folder), None).save_pretrained(staging)
        (staging / RECORD).write_bytes((folder / RECORD).read_bytes())
        appear(staging, out)


def _said(error: BaseException) -> str:
    """An error's first line; of code that a model brings along, that it isn't run."""
    if "trust_remote_code" in str(error):
        return "it needs code of its own, which is never run; give a model that transformers has"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
