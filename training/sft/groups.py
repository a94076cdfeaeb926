"""Selects the parameters that train: LoRA on the language model, vision encoder and projector, no others."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.errors import InputError
from training.sft.train_config import LoraOptions, RatesConfig

if TYPE_CHECKING:
    from torch.nn import Module, Parameter

GROUPS = ("lora", "vision", "projector")
FROZEN = "frozen"


@dataclass(frozen=True)
class ModelLayout:
    """Where a model family keeps its parts: module paths in transformers 5."""

    language: str
    vision: str
    projectors: tuple[str, ...]

    @property
    def fully_trained(self) -> tuple[str, ...]:
        """The outermost modules that contain the vision encoder and projector."""
        outside = [path for path in self.projectors if not path.startswith(self.vision + ".")]
        return (self.vision, *outside)


_QWEN = ("model.language_model", "model.visual")
LAYOUTS = {
    "qwen2_vl": ModelLayout(*_QWEN, ("model.visual.merger",)),
    "qwen2_5_vl": ModelLayout(*_QWEN, ("model.visual.merger",)),
    "qwen3_vl": ModelLayout(*_QWEN, ("model.visual.merger", "model.visual.deepstack_merger_list")),
    "internvl": ModelLayout("model.language_model", "model.vision_tower", ("model.multi_modal_projector",)),
}
"""By a configuration's `model_type`."""


def find_layout(model: Module) -> ModelLayout:
    """The layout of a model, after checking that its paths exist. Raises InputError for an unknown family."""
    kind = str(getattr(getattr(model, "config", None), "model_type", None))
    layout = LAYOUTS.get(kind)
    if layout is None:
        raise InputError(f"models of type {kind!r} can't be trained here; choose from {', '.join(LAYOUTS)}")
    modules = dict(model.named_modules())
    for path in (layout.language, layout.vision, *layout.projectors):
        if path not in modules:
            raise InputError(f"the {kind} model has no module {path}; install transformers 5.18 or newer")
    return layout


def lora_pattern(model: Module, layout: ModelLayout, layers: Iterable[str]) -> str:
    """A regular expression for the full paths of the language model's linear layers with these names.

    Anchored at the language model, because vision encoders have layers of the same names. Raises InputError
    for a name that no linear layer of the language model has.
    """
    from torch.nn import Linear

    inside = layout.language + "."
    linear = {
        path.rsplit(".", 1)[-1]
        for path, module in model.named_modules()
        if path.startswith(inside) and isinstance(module, Linear)
    }
    for name in layers:
        if name not in linear:
            close = difflib.get_close_matches(name, sorted(linear), n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(sorted(linear))}"
            raise InputError(f"lora.layers: the language model has no linear layer {name!r}; {hint}")
    names = "|".join(re.escape(name) for name in sorted(set(layers)))
    return rf"^{re.escape(layout.language)}\.(?:.*\.)?(?:{names})$"


def add_adapters(model: Any, lora: LoraOptions, rates: RatesConfig, float32: bool = True) -> Any:
    """The model with adapters and fully trained modules, a `peft.PeftModel`.

    Vision encoder and projector are PEFT's `modules_to_save`: trained copies, saved and loaded with the
    adapter. With a rate of 0 a part stays frozen. Trained weights become float32, or keep the model's dtype
    without `float32`, because DeepSpeed keeps its own float32 copies, and before 0.19.3 its ZeRO-3 gathers
    weights of mixed dtypes wrongly (https://github.com/deepspeedai/DeepSpeed/issues/8072). Raises InputError.
    """
    from peft import LoraConfig, get_peft_model

    layout = find_layout(model)
    whole = layout.fully_trained if rates.vision or rates.projector else ()
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora_pattern(model, layout, lora.layers),
        modules_to_save=[path.rsplit(".", 1)[-1] for path in whole] or None,
        task_type="CAUSAL_LM",
    )
    wrapped = get_peft_model(model, config, autocast_adapter_dtype=float32)
    for name, parameter in wrapped.named_parameters():
        group = find_group(name, layout)
        rate = {"lora": rates.lora, "vision": rates.vision, "projector": rates.projector}.get(group, 0.0)
        parameter.requires_grad_(rate > 0)
        if rate > 0 and float32:
            parameter.data = parameter.data.float()
    return wrapped


_WRAPPER = re.compile(r"\.modules_to_save\.[^.]+")


def find_group(name: str, layout: ModelLayout) -> str:
    """The group of a PEFT model's parameter: "lora", "vision", "projector" or "frozen".

    The originals that PEFT keeps beside trained copies (`original_module`) are frozen.
    """
    path = name.removeprefix("base_model.model.")
    if path.startswith(layout.language + ".") and re.search(r"\.lora_[AB]\.", path):
        return "lora"
    if _WRAPPER.search(path):
        plain = _WRAPPER.sub("", path, count=1)
        if any(plain.startswith(part + ".") for part in layout.projectors):
            return "projector"
        if plain.startswith(layout.vision + "."):
            return "vision"
    return FROZEN


def group_parameters(model: Module, layout: ModelLayout) -> dict[str, list[tuple[str, Parameter]]]:
    """The parameters that train, by group.

    Raises InputError when a parameter that trains belongs to no group, or only some parameters of a group
    train.
    """
    groups: dict[str, list[tuple[str, Parameter]]] = {name: [] for name in GROUPS}
    still: dict[str, str] = {}
    for name, parameter in model.named_parameters():
        group = find_group(name, layout)
        if parameter.requires_grad and group == FROZEN:
            raise InputError(f"the parameter {name} would train but belongs to no group; use another model")
        if parameter.requires_grad:
            groups[group].append((name, parameter))
        elif group != FROZEN:
            still[group] = name
    for group, name in still.items():
        if groups[group]:
            raise InputError(f"the parameter {name} of the group {group} would not train; use another model")
    return groups


def parameter_table(model: Module, layout: ModelLayout, rates: RatesConfig) -> str:
    """What trains, as a text table: group, tensors, weights, share of the model, learning rate."""
    groups = group_parameters(model, layout)
    rows = [(name, parameters, getattr(rates, name)) for name, parameters in groups.items()]
    trained = {id(parameter) for _, parameters, _ in rows for _, parameter in parameters}
    copies = ".original_module."
    rest = [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if id(parameter) not in trained and copies not in name
    ]
    rows.append((FROZEN, rest, 0.0))
    total = sum(parameter.numel() for _, parameters, _ in rows for _, parameter in parameters)
    lines = [f"{'group':<10} {'tensors':>8} {'weights':>15} {'share':>7} {'rate':>8}"]
    for name, parameters, rate in rows:
        weights = sum(parameter.numel() for _, parameter in parameters)
        lines.append(f"{name:<10} {len(parameters):>8} {weights:>15,} {weights / total:>7.2%} {rate:>8.1e}")
    return "\n".join(lines)
