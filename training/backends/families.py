"""The families of models by a run's options, and what each trainer calls them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import InputError
from training.sft.train_config import TrainOptions


@dataclass(frozen=True)
class Family:
    """Names of one family of models.

    `hub` is a pattern of its names on the hub; `vision` and `projectors` are the last parts of the paths of
    its modules in transformers 5; `pixels` says whether its processor has bounds of pixels. A trainer's name
    is None where it doesn't train the family; `llama_vision` is False where LLaMA-Factory's PEFT (0.18) can't
    train its vision encoder whole, as it takes no named arguments through the module it wraps.
    """

    hub: str
    vision: str
    projectors: tuple[str, ...]
    projector_inside: bool
    pixels: bool
    swift_type: str
    swift_template: str
    swift_packages: tuple[str, ...]
    llama_template: str | None
    llama_vision: bool = True


_QWEN_PACKAGES = ("qwen_vl_utils>=0.0.14", "decord", "transformers<5.17", "trl<1.0")
PHI = "phi3_v"
FAMILIES = {
    "qwen2_5_vl": Family(
        r"qwen2\.5-vl", "visual", ("merger",), True, True,
        "qwen2_5_vl", "qwen2_5_vl", _QWEN_PACKAGES, "qwen2_vl",
    ),
    "qwen3_vl": Family(
        r"qwen3-vl-\d+b-", "visual", ("merger", "deepstack_merger_list"), True, True,
        "qwen3_vl", "qwen3_vl", _QWEN_PACKAGES, "qwen3_vl_nothink",
    ),
    "internvl": Family(
        r"internvl[\w.]*-\d+b-hf", "vision_tower", ("multi_modal_projector",), False, False,
        "internvl", "internvl_hf", ("timm", "transformers<5.17", "trl<1.0"), "intern_vl", False,
    ),
    PHI: Family(
        r"phi-3(\.5)?-vision", "img_processor", ("img_projection",), False, False,
        "phi3_vision", "phi3_vision",
        ("transformers==4.48.3", "trl==0.17.0", "peft==0.15.2"), None,
    ),
}  # fmt: skip
"""By a configuration's `model_type`. The trainers' names: ms-swift 4.6 (swift/model/constant.py,
swift/template/constant.py), LLaMA-Factory 0.9.5 (llamafactory/extras/constants.py). Phi-3.5-Vision is code of
its own on the hub: it calls `DynamicCache.get_max_length`, which transformers 4.49 took away
(https://github.com/huggingface/transformers/issues/36071)."""


def family_of(options: TrainOptions) -> str:
    """The `model_type` of a run's model, read from a folder's config.json or told by its name on the hub.

    Raises InputError for a family that isn't known.
    """
    if options.model.tiny is not None:
        return options.model.tiny.replace("-", "_").replace(".", "_")
    name = str(options.model.name)
    described = Path(name) / "config.json"
    kind = None
    if described.is_file():
        try:
            kind = json.loads(described.read_text(encoding="utf-8"))["model_type"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{described}: says no model_type; give a model's folder") from error
    else:
        kind = next((key for key, family in FAMILIES.items() if re.search(family.hub, name.lower())), None)
    if kind not in FAMILIES:
        raise InputError(f"model {name!r} isn't of a family known here; there are {', '.join(FAMILIES)}")
    return str(kind)


def named_model(options: TrainOptions) -> str:
    """The model's name for another trainer. Raises InputError for a tiny one, which this project makes."""
    if options.model.name is None:
        raise InputError("another trainer can't make model.tiny; give model.name, a folder or a hub name")
    return options.model.name


def check_trains_here(options: TrainOptions, config: Path) -> None:
    """Raise InputError for Phi-3.5-Vision, which transformers 5 has no class of; say what trains it."""
    name = options.model.name
    if name is None:
        return
    local = (Path(name) / "config.json").is_file()
    known = re.search(FAMILIES[PHI].hub, name.lower()) is not None
    if (local and family_of(options) == PHI) or (known and not local):
        raise InputError(
            f"{name} isn't in transformers 5, so it doesn't train here; "
            f"`iqa-spider train {config} --backend ms-swift --print` prints a run for ms-swift"
        )
