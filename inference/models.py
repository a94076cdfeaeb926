"""Loads the model that answers, of the hub, a folder or an adapter of ours: no pickles, no foreign code."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from schemas.errors import InputError

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TRAINED = "training.json"
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
        model = _plain(str(name), revision, kind)
    processor = _processor(str(name), revision)
    return LoadedModel(str(name), revision, model.to(target).eval(), processor)


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r}: {_first_line(error)}; give cpu or cuda") from error
    return device


def _dtype(dtype: Dtype, device: str) -> str:
    return "float32" if dtype == "auto" and device == "cpu" else dtype


def _plain(name: str, revision: str | None, dtype: str) -> Any:
    """A model with all of its weights. Raises InputError."""
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText

    kind: Any = AutoModelForImageTextToText
    try:
        model, told = kind.from_pretrained(
            name,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, SafetensorError) as error:
        raise InputError(f"model {name!r} can't be loaded: {_first_line(error)}") from error
    if told["missing_keys"]:
        some = sorted(told["missing_keys"])[0]
        raise InputError(
            f"model {name!r} has no weights for {some} (and {len(told['missing_keys']) - 1} more); "
            "download it again"
        )
    return model


def _adapted(folder: Path, dtype: str) -> Any:
    """The base of an adapter with the adapter merged in. Raises InputError."""
    if find_spec("peft") is None:
        raise InputError(f"{folder}: an adapter needs peft; pip install 'iqa-spider[train]'")
    from peft import PeftModel
    from safetensors import SafetensorError

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise InputError(f"{folder}: has no {ADAPTER_WEIGHTS}; give the folder that training saved")
    base, revision = base_of(folder)
    model = _plain(base, revision, dtype)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            adapted: Any = PeftModel.from_pretrained(model, folder, use_safetensors=True)
    except (OSError, ValueError, TypeError, RuntimeError, KeyError, SafetensorError, UserWarning) as error:
        raise InputError(f"{folder}: doesn't fit its base {base!r}: {_first_line(error)}") from error
    return adapted.to(dtype=model.dtype).merge_and_unload()


def base_of(folder: Path) -> tuple[str, str | None]:
    """Name and revision of an adapter's base, from the record of its training or else PEFT's own file."""
    record = folder / TRAINED
    source = record if record.is_file() else folder / ADAPTER_CONFIG
    try:
        if source.stat().st_size > _MOST_JSON:
            raise ValueError("the file is too large")
        told = json.loads(source.read_text(encoding="utf-8"))
        name = told["base"] if source == record else told["base_model_name_or_path"]
        revision = told.get("revision")
        if not isinstance(name, str) or not name or not isinstance(revision, str | None):
            raise ValueError("the base is no name")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{source}: doesn't name the adapter's base model: {_first_line(error)}") from error
    return name, revision


def _processor(name: str, revision: str | None) -> Any:
    from transformers import AutoProcessor

    try:
        processor: Any = AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            name, revision=revision, trust_remote_code=False
        )
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise InputError(f"the processor of {name!r} can't be loaded: {_first_line(error)}") from error
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None or getattr(processor, "image_processor", None) is None:
        raise InputError(f"{name!r} has no processor for pictures and text; give a vision-language model")
    if not getattr(processor, "chat_template", None):
        raise InputError(f"{name!r} has no chat template; give a model that was made for dialogue")
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processor


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
