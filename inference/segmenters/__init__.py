"""Segmenters: from points to masks, without weights or by a model of the SAM family."""

from __future__ import annotations

from typing import Literal

from inference.grounded_answer import Segmenter
from schemas.errors import InputError

Dtype = Literal["float32", "bfloat16", "float16"]


def make_segmenter(
    name: str, device: str = "auto", dtype: Dtype = "float32", revision: str | None = None
) -> Segmenter:
    """The segmenter that a user names: "graph", or a SAM by its name on the hub or a local folder.

    "facebook/sam-vit-base", "sam:facebook/sam-vit-base" and "models/sam" all are models whose own config.json
    says the type: SAM, SAM-HQ, SAM 2 / 2.1 or EdgeTAM. `device` is "auto", "cpu", "cuda", "cuda:1", ... or
    "mps"; `revision` is a branch, tag or commit of the hub. The three are for models alone. Raises InputError
    when the model is missing, unreadable or of another kind.
    """
    model = name.removeprefix("sam:")
    if not model:
        raise InputError("--segmenter is empty; give graph, a SAM's name on the hub or its folder")
    if name == "graph":
        from inference.segmenters.graph import GraphSegmenter

        return GraphSegmenter()
    from annotation.regions.region_models import find_place
    from inference.segmenters.sam import SamSegmenter
    from schemas.regions_config import ModelConfig

    where = find_place(device, dtype, "--device")
    return SamSegmenter(ModelConfig(name=model, revision=revision), where, "--segmenter")
