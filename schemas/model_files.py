"""Loads transformers models: only from safetensors, never running a model's own code, one-line errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from schemas.errors import InputError

TRAINING_RECORD = "training.json"
"""How a model was trained; in the folder of a trained adapter, and of a model that it was merged into."""
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_LONGEST_REASON = 300
T = TypeVar("T")


def load_pretrained(
    load_from: Callable[..., T],
    name: str,
    revision: str | None,
    what: str,
    *,
    cache_first: bool = False,
    **options: Any,
) -> T:
    """Call `load_from`, the `from_pretrained` of a transformers class, with a folder or a hub name.

    A folder is read as it is, without the hub; `revision` applies only to the hub. With `cache_first`, files
    in the hub's cache are used without asking the hub. Code that comes with a model is never run. `what`
    ("the SAM model") starts the error message. Raises InputError when the model isn't found or can't be read.
    """
    folder = Path(name).expanduser()
    is_folder = folder.is_dir()
    source = str(folder) if is_folder else name
    options["trust_remote_code"] = False
    if not is_folder and revision is not None:
        options["revision"] = revision
    try:
        if is_folder:
            return load_from(source, local_files_only=True, **options)
        if cache_first:
            try:
                return load_from(source, local_files_only=True, **options)
            except OSError:
                pass  # Not in the cache, or not all of it.
        return load_from(source, **options)
    except _unreadable() as error:
        away = isinstance(error, OSError) and not is_folder
        reason = _explain_missing(name, error) if away else summarize_error(error)
        raise InputError(f"{what} {name!r} can't be loaded: {reason}") from error


def load_weights(
    load_from: Callable[..., Any], name: str, revision: str | None, what: str, **options: Any
) -> Any:
    """Like `load_pretrained`, for a model with its weights: only from safetensors files, not from pickles."""
    return load_pretrained(load_from, name, revision, what, use_safetensors=True, **options)


def load_vision_language_model(name: str, revision: str | None, **options: Any) -> Any:
    """An image-text-to-text model. Raises InputError, also when a weight is missing from its files."""
    from transformers import AutoModelForImageTextToText

    auto: Any = AutoModelForImageTextToText
    model, info = load_weights(
        auto.from_pretrained, name, revision, "the model", output_loading_info=True, **options
    )
    missing = sorted(info["missing_keys"])
    if missing:
        raise InputError(
            f"the model {name!r} is incomplete: {len(missing)} weights are missing from its files, such as "
            f"{missing[0]}; download it again, or give a complete vision-language checkpoint"
        )
    return model


def load_processor(name: str, revision: str | None) -> Any:
    """The processor of a model or a trained adapter. Raises InputError."""
    from transformers import AutoProcessor

    auto: Any = AutoProcessor
    return load_pretrained(auto.from_pretrained, name, revision, "the processor of")


def load_adapter(model: Any, folder: Path, base: str) -> Any:
    """The adapter in `folder` applied to its base `model`, as a PEFT model; `base` names it in errors.

    Raises InputError when weights aren't in a safetensors file, are missing or don't fit the base.
    """
    if find_spec("peft") is None:
        raise InputError(f"{folder}: an adapter needs peft; pip install 'iqa-spider[train]'")
    from peft import PeftModel

    weights = folder / ADAPTER_WEIGHTS
    if not weights.is_file():
        raise InputError(f"{weights}: not found; give the folder that training saved, or train again")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            return PeftModel.from_pretrained(model, folder, use_safetensors=True)
    except _unreadable(UserWarning) as error:
        raise InputError(
            f"{folder}: the adapter can't be loaded or doesn't fit its base {base!r}: "
            f"{summarize_error(error)}; train again, or give the folder that training saved"
        ) from error


def summarize_error(error: BaseException) -> str:
    """An error's first line, truncated. A model that needs its own code gets an explanation instead."""
    if "trust_remote_code" in str(error):
        return "it needs its own code, which is never run; give a model that transformers supports"
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, KeyError) and error.args:
        line += " is missing"
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 3]}..."


def _unreadable(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What transformers, PEFT and safetensors raise for missing, damaged or unsuitable files."""
    from safetensors import SafetensorError

    builtin = (OSError, ValueError, TypeError, LookupError, AttributeError, ImportError, RuntimeError)
    return (*builtin, SafetensorError, *more)


def _explain_missing(name: str, error: Exception) -> str:
    """What to do about a model that is neither a folder nor available on the hub."""
    if name.startswith(("/", ".", "~")):
        return "no such folder; give a model's folder or its name on the Hugging Face hub"
    from huggingface_hub.constants import HF_HUB_CACHE

    return (
        f"no such folder, not in the cache {HF_HUB_CACHE}, and not available from the hub "
        f"({summarize_error(error)}); download it with `hf download {name}` or give a folder"
    )
