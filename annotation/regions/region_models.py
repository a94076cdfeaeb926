"""Region models: loaded from the hub or a folder, run in batches that shrink when memory ends."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from schemas.errors import InputError
from schemas.model_files import load_pretrained, load_weights
from schemas.regions_config import DeviceConfig, ModelConfig

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Place:
    """A device and a floating-point type, as torch names them."""

    device: torch.device
    dtype: torch.dtype


def place(config: DeviceConfig) -> Place:
    """The device to run on: "auto" is the first GPU if there is one. Sets torch's threads on the CPU.

    Raises InputError when torch is missing or the device isn't there.
    """
    _torch().set_num_threads(config.threads)
    return find_place(config.device, config.dtype, "regions.run_on.device")


def find_place(device: str, dtype: str, setting: str) -> Place:
    """As `place`, for a device by name and without a change of threads; `setting` is for the error."""
    torch = _torch()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"{setting} is {device!r}, but torch sees no GPU; use auto or cpu")
    return Place(torch.device(device), getattr(torch, dtype))


def load(load_from: Callable[..., T], model: ModelConfig, what: str, setting: str, **options: Any) -> T:
    """`load_from(name or folder, ...)`, a `from_pretrained`, on files here or fetched from the hub.

    `what` ("SAM model") and `setting` ("regions.sam.model") are for the error. Code that comes with a model
    is never run. Raises InputError when the model is neither here nor to be had, or can't be read.
    """
    return load_pretrained(
        load_from, model.name, model.revision, f"{setting}: the {what}", cache_first=True, **options
    )


def load_model(auto: Any, model: ModelConfig, what: str, setting: str, where: Place) -> Any:
    """A model for inference on its device: safetensors only, evaluation mode, no gradients."""
    loaded = load_weights(
        auto.from_pretrained, model.name, model.revision, f"{setting}: the {what}",
        cache_first=True, dtype=where.dtype,
    )  # fmt: skip
    return loaded.to(where.device).eval().requires_grad_(False)


def family(model: ModelConfig, known: Collection[str], what: str, setting: str) -> str:
    """The model's type, as its configuration says. Raises InputError when it is none of the `known`."""
    config = load(transformers().AutoConfig.from_pretrained, model, what, setting)
    if config.model_type not in known:
        raise InputError(
            f"{setting}: {model.name!r} is a model of the type {config.model_type!r}; a {what} is one of "
            f"{', '.join(sorted(known))}"
        )
    return str(config.model_type)


def in_batches(items: Sequence[T], size: int, run: Callable[[Sequence[T]], R]) -> Iterator[R]:
    """`run` on consecutive parts of at most `size` items; out of memory halves the part and goes on.

    Later parts start at the size that went well. One item that doesn't fit raises torch's error.
    """
    torch = _torch()
    start = 0
    while start < len(items):
        part = items[start : start + size]
        try:
            result = run(part)
        except (torch.OutOfMemoryError, MemoryError):
            if len(part) == 1:
                raise
            size = max(1, len(part) // 2)
        else:
            start += len(part)
            yield result
            continue
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def transformers() -> Any:
    """The package transformers, its progress bars off. Raises InputError when it or torch is missing."""
    _torch()
    try:
        import transformers as package
    except ImportError as error:
        raise _not_installed("transformers") from error
    found: Any = package
    found.utils.logging.disable_progress_bar()
    return found


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise _not_installed("torch") from error
    return torch


def _not_installed(package: str) -> InputError:
    return InputError(
        f"regions with models need {package}; install it with: pip install 'iqa-spider[models]'"
    )
