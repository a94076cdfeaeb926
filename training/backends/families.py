"""The model families that train, and what each trainer calls them."""

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

    `hub` is a pattern that matches its names on the hub; `vision` and `projectors` are the last components of
    its modules' paths in transformers 5; `pixels` is whether its processor has pixel bounds. A trainer's name
    is None where it doesn't train the family; `llama_vision` is False where LLaMA-Factory's PEFT (0.18) can't
    train the vision encoder in full, as its module wrapper doesn't pass keyword arguments on.
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
swift/template/constant.py), LLaMA-Factory 0.9.5 (llamafactory/extras/constants.py). Phi-3.5-Vision has
its own code on the hub, which calls `DynamicCache.get_max_length`; transformers 4.49 removed it
(https://github.com/huggingface/transformers/issues/36071)."""


def find_family(options: TrainOptions) -> str:
    """The `model_type` of a run's model, read from a folder's config.json or inferred from its hub name.

    Raises InputError for an unknown family.
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
            raise InputError(f"{described}: has no model_type; give a model's folder") from error
    else:
        kind = next((key for key, family in FAMILIES.items() if re.search(family.hub, name.lower())), None)
    if kind not in FAMILIES:
        raise InputError(f"model {name!r} is not of a supported family; choose from {', '.join(FAMILIES)}")
    return str(kind)


def model_name(options: TrainOptions) -> str:
    """The model's name for another trainer. Raises InputError for a tiny one, made only here."""
    if options.model.name is None:
        raise InputError("other trainers can't create model.tiny; give model.name, a folder or a hub name")
    return options.model.name


def check_trains_here(options: TrainOptions, config: Path) -> None:
    """Raise InputError for Phi-3.5-Vision, which transformers 5 has no class for; name what trains it."""
    name = options.model.name
    if name is None:
        return
    local = (Path(name) / "config.json").is_file()
    known = re.search(FAMILIES[PHI].hub, name.lower()) is not None
    if (local and find_family(options) == PHI) or (known and not local):
        raise InputError(
            f"{name} isn't in transformers 5, so it can't be trained here; "
            f"`iqa-spider train {config} --backend ms-swift --print` prints a script for ms-swift"
        )
