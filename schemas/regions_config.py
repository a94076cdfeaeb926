"""The build configuration's section `regions`, and those of the models that make them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictFloat, StrictInt, model_validator

from schemas.sections import (
    HOW,
    LEFT_OUT,
    ConfigPath,
    ModelName,
    Section,
    Settings,
    Share,
    ShortText,
    checked_as,
)


class ModelConfig(Section):
    """A model: a name on the Hugging Face hub ("facebook/sam-vit-huge") or a local folder, and its revision.

    Where a section takes a model, a name alone will do. Name and revision are part of every key, the model's
    bytes are not: give a changed folder another revision.
    """

    name: ModelName
    """Name on the Hugging Face hub, or a folder."""
    revision: ShortText | None = None
    """Branch, tag or commit on the hub; for a folder, any label for its current state."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, values: Any) -> Any:
        return {"name": values} if isinstance(values, str) else values


def models_in(value: Any, setting: str = "") -> dict[str, ModelConfig]:
    """Every model that a section names, by its setting ("sam.model", "ssa.votes.0"); `setting` is the
    section's own.
    """
    if isinstance(value, ModelConfig):
        return {setting: value}
    parts = enumerate(value) if isinstance(value, list) else value if isinstance(value, Section) else ()
    found: dict[str, ModelConfig] = {}
    for name, part in parts:
        found |= models_in(part, f"{setting}.{name}" if setting else str(name))
    return found


class DeviceConfig(Section):
    """Where and how region models run."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$"), HOW] = "auto"
    """Where models run: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of weights and arithmetic."""
    threads: Annotated[StrictInt, Field(ge=1, le=256)] = 1
    """PyTorch threads on a CPU; another number may change the last digits."""
    tasks_per_gpu: Annotated[StrictInt, Field(ge=1, le=64), HOW] = 1
    """Maximum number of tasks that share a GPU."""


class SamConfig(Section):
    """Automatic mask generation with SAM; the defaults are SSA's.

    `exact` takes segment-anything's steps: stability is measured on masks at the picture's size instead of
    the model's low-resolution logits, and duplicates overlap by boxes (IoU 0.7), not masks (`max_overlap`).
    """

    model: ModelConfig = ModelConfig(name="facebook/sam-vit-huge")
    """SAM, SAM-HQ, SAM 2 / 2.1 or EdgeTAM."""
    points_per_side: Annotated[StrictInt, Field(ge=1, le=256)] = 32
    """Points along each side of the grid that prompts the model."""
    points_per_batch: Annotated[StrictInt, Field(ge=1, le=4096), HOW] = 64
    """Maximum number of points prompted at a time; 16 on a CPU."""
    images_per_batch: Annotated[StrictInt, Field(ge=1, le=256), HOW] = 1
    """Pictures, crops among them, in one run of the image encoder."""
    crop_layers: Annotated[StrictInt, Field(ge=0, le=3)] = 0
    """Layers of smaller crops searched besides the whole picture: 4 crops in the first, 16 in the second."""
    crop_overlap: Share = 512 / 1500
    """Overlap of neighboring crops in the first layer, as a share of the picture's short side."""
    crop_downscale: Annotated[StrictInt, Field(ge=1, le=8)] = 2
    """Factor by which each layer of crops has fewer points a side."""
    min_predicted_iou: Share = 0.86
    """Minimum quality (IoU) that the model predicts for its own mask."""
    min_stability: Share = 0.92
    """Minimum IoU of a mask with itself when the threshold moves by `stability_offset` up and down."""
    stability_offset: Annotated[StrictFloat, Field(ge=0, le=100)] = 1.0
    """How far the threshold on the logits moves for `min_stability`."""
    min_island: Annotated[StrictInt, Field(ge=0)] = 100
    """Area in pixels below which islands of a mask are removed and holes filled."""
    max_overlap: Share = 0.8
    """IoU above which the lesser of two masks is a duplicate."""
    exact: bool = False
    """Follow segment-anything step by step; slower."""


def _one_gap(template: str) -> str:
    if template.count("{}") != 1 or template.count("{") != 1 or template.count("}") != 1:
        raise ValueError("must hold {} once, where the phrase goes, and no other brace")
    return template


class VoteConfig(Section):
    """One semantic or panoptic map per picture; a mask gets the class with the most support under it."""

    model: ModelConfig = ModelConfig(name="shi-labs/oneformer_ade20k_swin_large")
    """Semantic or panoptic segmentation model with a closed vocabulary."""
    min_score: Share = 0.35
    """Minimum support for the winning class; below it a mask gets no name."""
    min_margin: Share = 0.1
    """Minimum lead of the winning class over the second."""


class ClipConfig(Section):
    """The phrase of your own vocabulary that is nearest to a mask's crop."""

    model: ModelConfig = ModelConfig(name="openai/clip-vit-large-patch14")
    """Model that embeds text and pictures."""
    vocabulary: ConfigPath
    """Text file with one noun phrase a line."""
    template: Annotated[ShortText, AfterValidator(_one_gap)] = "a photo of a {}"
    """What the text encoder reads; the phrase replaces `{}`."""
    crop_scale: Annotated[StrictFloat, Field(ge=1, le=4)] = 1.2
    """Factor by which a mask's bounding box grows before it is cut out."""
    crops_per_batch: Annotated[StrictInt, Field(ge=1, le=4096), HOW] = 128
    """Crops in one run of the picture encoder."""
    min_score: Share = 0.35
    """Minimum probability of the best phrase; below it a mask gets no name."""
    min_margin: Share = 0.1
    """Minimum lead of the best phrase over the second."""


class SsaConfig(Section):
    """SSA's engine: closed votes and a caption's nouns, ranked by CLIP, settled by CLIPSeg."""

    votes: Annotated[list[ModelConfig], Field(min_length=1, max_length=4)] = Field(
        default=[
            ModelConfig(name="shi-labs/oneformer_coco_swin_large"),
            ModelConfig(name="shi-labs/oneformer_ade20k_swin_large"),
        ]
    )
    """Segmentation models with closed vocabularies, each of which votes for a class."""
    caption: ModelConfig = ModelConfig(name="Salesforce/blip-image-captioning-large")
    """Model that captions a mask's crop; its nouns are further proposals."""
    clip: ModelConfig = ModelConfig(name="openai/clip-vit-large-patch14")
    """Model that ranks the proposals."""
    clipseg: ModelConfig = ModelConfig(name="CIDAS/clipseg-rd64-refined")
    """Model that chooses among the highest ranked."""
    masks_per_batch: Annotated[StrictInt, Field(ge=1, le=1024), HOW] = 16
    """Masks captioned and ranked at a time."""
    top: Annotated[StrictInt, Field(ge=1, le=20)] = 3
    """Number of proposals kept after ranking."""
    min_score: Share = 0.35
    """Minimum share of the winning name; below it a mask gets no name."""
    min_margin: Share = 0.1
    """Minimum lead of the winning name over the second."""


MODEL_SECTIONS: dict[str, type[Section]] = {
    "sam": SamConfig,
    "vote": VoteConfig,
    "clip": ClipConfig,
    "ssa": SsaConfig,
}
"""The section of each proposer and labeller that has one, by its name: `regions` has a key of that name."""
LABELLER_OF = {"coco": "given", "ssa-json": "given", "sam": "ssa"}
"""The labeller that goes with a proposer where none is named; with any other it is `appearance`."""


class RegionsConfig(Section):
    """Which proposer and labeller make regions, and the rules a region has to pass.

    A single word is a pair that goes together: `regions: ssa` is SAM's masks named by SSA's engine.
    """

    proposer: Annotated[str, checked_as("proposer")] = "graph"
    """What finds the masks: a file of `annotation/regions/proposers` or, for masks made elsewhere, of
    `flows/stages/given`."""
    labeller: Annotated[str, checked_as("labeller")] = "appearance"
    """What names them, a file of `annotation/regions/labellers`; by default the one that goes with the
    proposer."""
    position_grid: Literal["thirds", "quadrants"] = "thirds"
    """Grid for the names of positions: 3 by 3 or 2 by 2."""
    min_area: Share = 0.01
    """Minimum area of a region, as a share of the picture."""
    max_area: Annotated[StrictFloat, Field(gt=0, le=1)] = 0.6
    """Maximum area of a region, as a share of the picture."""
    max_regions: Annotated[StrictInt, Field(ge=1, le=500)] = 10
    """Maximum number of regions per picture; the best ranked stay."""
    ssa_json: ConfigPath | None = None
    """Folder with the files of the proposer `ssa-json`, one per picture and named after it."""
    sam: SamConfig | None = None
    """Settings of the proposer `sam`."""
    vote: VoteConfig | None = None
    """Settings of the labeller `vote`."""
    clip: ClipConfig | None = None
    """Settings of the labeller `clip`."""
    ssa: SsaConfig | None = None
    """Settings of the labeller `ssa`."""
    run_on: DeviceConfig | None = None
    """Where and how models run."""
    settings: Annotated[Settings, checked_as("region settings"), LEFT_OUT] = Field(default={})
    """Settings of a proposer or labeller that was added as a file, under its name."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """The labeller that goes with the proposer, and default sections for the models in use."""
        if isinstance(values, str):
            pairs = {"ssa": {"proposer": "sam", "labeller": "ssa"}}
            values = pairs.get(values, {"proposer": values})
        if not isinstance(values, dict):
            return values
        values = dict(values)
        proposer = values.get("proposer", "graph")
        if values.get("labeller") is None:
            values["labeller"] = LABELLER_OF.get(str(proposer), "appearance")
        used = [part for part in MODEL_SECTIONS if part in (proposer, values["labeller"])]
        for part in used:
            if values.get(part) is None and not _required_keys(part):
                values[part] = {}
        if values.get("run_on") is None and used:
            values["run_on"] = {}
        return values

    @model_validator(mode="after")
    def _no_idle_section(self) -> RegionsConfig:
        """A section for a model nothing uses is a mistake; a model may need what only its section can say."""
        used = (self.proposer, self.labeller)
        for part in MODEL_SECTIONS:
            given = getattr(self, part) is not None
            if given and part not in used:
                raise ValueError(
                    f"the section {part!r} is given, but neither proposer nor labeller is {part!r}"
                )
            if part in used and not given:
                raise ValueError(f"{part!r} needs {', '.join(_required_keys(part))}; add it")
        for name in self.settings:
            if name not in used:
                raise ValueError(
                    f"settings of {name!r} are given, but neither proposer nor labeller is {name!r}"
                )
        if (self.ssa_json is not None) != (self.proposer == "ssa-json"):
            raise ValueError(
                "the proposer 'ssa-json' and ssa_json, the folder with its files, go together; "
                "give both or neither"
            )
        return self


def _required_keys(part: str) -> list[str]:
    """The keys without a default of a proposer's or labeller's section ("clip.vocabulary")."""
    keys = MODEL_SECTIONS[part].model_fields.items()
    return [f"{part}.{key}" for key, value in keys if value.is_required()]
