"""Loads the model that answers, from the hub, a folder or our adapter: no pickles, no remote code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schemas.choices import Dtype
from schemas.errors import InputError
from schemas.model_files import (
    ADAPTER_CONFIG,
    TRAINING_RECORD,
    load_adapter,
    load_processor,
    load_vision_language_model,
    summarize_error,
)

_MOST_JSON = 10_000_000


@dataclass(frozen=True)
class LoadedModel:
    """An image-text-to-text model of transformers, ready to answer, and its processor, padding on the left.

    `name` and `revision` are those asked for: an adapter's own, not its base's.
    """

    name: str
    revision: str | None
    model: Any
    processor: Any


def load_model(
    name: str | Path, revision: str | None = None, dtype: Dtype = "auto", device: str = "auto"
) -> LoadedModel:
    """A model by its hub name, its folder, or the folder of a trained adapter, which names its base.

    An adapter (LoRA with vision encoder and projector, as `iqa-spider train` saves it) is merged into its
    base. `device` "auto" takes a GPU where there is one; `dtype` "auto" is the checkpoint's own on a GPU and
    float32 on a CPU. Raises InputError, in one line: no such model, weights that aren't safetensors or don't
    fit, a model that needs code of its own, a processor without chat template.
    """
    missing = [package for package in ("torch", "transformers") if find_spec(package) is None]
    if missing:
        raise InputError(f"models need {' and '.join(missing)}; pip install 'iqa-spider[models]'")
    target = _device(device)
    kind = _dtype(dtype, target)
    folder = Path(name)
    if folder.is_dir() and (folder / ADAPTER_CONFIG).is_file():
        model = _adapted(folder, kind)
    else:
        model = load_vision_language_model(str(name), revision, dtype=kind)
    processor = _processor(str(name), revision)
    return LoadedModel(str(name), revision, model.to(target).eval(), processor)


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r}: {summarize_error(error)}; give cpu or cuda") from error
    return device


def _dtype(dtype: Dtype, device: str) -> str:
    return "float32" if dtype == "auto" and device == "cpu" else dtype


def _adapted(folder: Path, dtype: str) -> Any:
    """The base of an adapter with the adapter merged in. Raises InputError."""
    base, revision = base_of(folder)
    model = load_vision_language_model(base, revision, dtype=dtype)
    return load_adapter(model, folder, base).to(dtype=model.dtype).merge_and_unload()


def base_of(folder: Path) -> tuple[str, str | None]:
    """Name and revision of an adapter's base, from the record of its training or else PEFT's own file."""
    record = folder / TRAINING_RECORD
    source = record if record.is_file() else folder / ADAPTER_CONFIG
    try:
        if source.stat().st_size > _MOST_JSON:
            raise ValueError("the file is too large")
        settings = json.loads(source.read_text(encoding="utf-8"))
        name = settings["base"] if source == record else settings["base_model_name_or_path"]
        revision = settings.get("revision")
        if not isinstance(name, str) or not name or not isinstance(revision, str | None):
            raise ValueError("the base is not a name")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{source}: doesn't name the adapter's base model: {summarize_error(error)}"
        ) from error
    return name, revision


def _processor(name: str, revision: str | None) -> Any:
    """A processor for dialogues about pictures, padding on the left. Raises InputError."""
    processor = load_processor(name, revision)
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None or getattr(processor, "image_processor", None) is None:
        raise InputError(f"{name!r} has no processor for pictures and text; give a vision-language model")
    if not getattr(processor, "chat_template", None):
        raise InputError(f"{name!r} has no chat template; give a model that was made for dialogue")
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processor
