"""The build configuration: what each section of its YAML file may say, and the hash of what shapes its rows.

docs/configuration.md is made of it (`python -m flows.configuration_page`): the docstring below a key is its
description there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictFloat, StrictInt, model_validator

from schemas.hashing import canonical_json
from schemas.records import SAMPLE_KINDS, SampleKind
from schemas.section_reader import Checks, load_section
from schemas.sections import (
    CUT,
    HOW,
    INPUT,
    LABEL,
    NAMED_INPUT,
    OUTPUT,
    SETTLED,
    ConfigPath,
    CountsAs,
    ModelName,
    Section,
    ShortText,
    checked_as,
    shapes_files,
    shaping,
)

API_KEY_VARIABLE = "IQA_SPIDER_API_KEY"
"""The environment variable with the key of the server that a model is asked at, unless another is named."""
RunnerName = Literal["serial", "thread", "process"]
Share = Annotated[StrictFloat, Field(ge=0, le=1)]
Strength = Annotated[StrictFloat, Field(ge=0, le=3.41)]
SampleCount = Annotated[StrictInt, Field(ge=0, le=1000)]

Settings = dict[str, dict[str, Any]]
"""Settings of plug-ins that were added as files, by the plug-in's name."""
_LEFT_OUT = Field(exclude_if=lambda value: not value)
"""Out of everything written while empty: keys and files are then as if there were no such setting."""


class ImagesConfig(Section):
    """Where the photographs come from: exactly one of the four."""

    bundled: Annotated[bool, INPUT] = False
    """Use the photographs that come with scikit-image and scikit-learn."""
    folder: ConfigPath | None = None
    """Folder of pictures, read with its sub-folders; with `coco`, where that file's pictures are."""
    coco: ConfigPath | None = None
    """COCO or LVIS annotation file that lists the pictures."""
    manifest: ConfigPath | None = None
    """CSV file that lists the pictures, with their licenses if known."""

    @model_validator(mode="after")
    def _one_source(self) -> ImagesConfig:
        given = [self.bundled, self.folder is not None, self.coco is not None, self.manifest is not None]
        if self.coco is not None and self.folder is not None:
            given.remove(True)
        if sum(given) != 1:
            raise ValueError("give exactly one of bundled, folder, coco (with its picture folder), manifest")
        return self


class IngestConfig(Section):
    """Decoding: limits are checked on the header, before any pixel is decoded."""

    max_side: Annotated[StrictInt, Field(ge=16, le=16384)] = 1024
    """Long side of a stored picture in pixels at most; larger pictures are scaled down."""
    min_side: Annotated[StrictInt, Field(ge=1)] = 64
    """Minimum short side of a picture in pixels."""
    max_pixels: Annotated[StrictInt, Field(ge=1)] = 100_000_000
    """Maximum number of pixels, width times height, that a file may declare."""
    max_bytes: Annotated[StrictInt, Field(ge=1)] = 200_000_000
    """Maximum size of a file in bytes."""
    near_duplicate_bits: Annotated[StrictInt, Field(ge=-1, le=32), SETTLED] = 4
    """Bits of the perceptual hash in which near duplicates may differ; -1 keeps them all."""
    license: Annotated[str | None, SETTLED] = None
    """License of the photographs that state none."""


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
    settings: Annotated[Settings, checked_as("region settings"), _LEFT_OUT] = Field(default={})
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


class SamplesConfig(Section):
    """How many samples of each kind to plan for one photograph."""

    hyd: SampleCount = 2
    """Samples with a mix of distortions in several regions."""
    sid: SampleCount = 2
    """Samples with one type of distortion at different strengths."""
    dao: SampleCount = 1
    """Samples with two distortions in a region, whose order is asked."""
    single: SampleCount = 2
    """Samples with one distorted region."""
    whole: SampleCount = 1
    """Samples distorted as a whole."""
    pristine: SampleCount = 1
    """Samples without any distortion."""

    def counts(self) -> dict[SampleKind, int]:
        return {kind: int(getattr(self, kind)) for kind in SAMPLE_KINDS}


class DistortConfig(Section):
    """Plans and injection. Margins and thresholds are in units of perceptual strength (0 to 3.41)."""

    samples: SamplesConfig = SamplesConfig()
    """Samples of each kind planned for a photograph."""
    names: list[str] | None = None
    """Distortions that may be drawn, by any of their names; all by default."""
    margin_two: Strength = 1.0
    """Minimum lead in strength of the region asked for, where two regions are distorted."""
    margin_many: Strength = 1.4
    """Minimum lead in strength of the region asked for, where three or more are distorted."""
    min_order_effect: Strength = 0.7
    """Minimum perceptual difference made by swapping two distortions whose order is asked."""
    min_strength: Strength = 0.3
    """Minimum strength of a distortion."""
    min_region_area: Share = 0.02
    """Minimum area of a region to distort, as a share of the picture."""
    feather: Annotated[StrictInt, Field(ge=0, le=64)] = 0
    """Width in pixels over which a distortion fades out beyond its mask; 0 leaves the outside as it is."""
    attempts: Annotated[StrictInt, Field(ge=1, le=1000)] = 40
    """Draws per sample before it is skipped."""


class VlmConfig(Section):
    """A vision-language model that writes dialogues: which one, how it samples, and how it is reached."""

    model: ModelName = "OpenGVLab/InternVL2_5-8B"
    """Name of the model, as the server knows it, or its folder for `lmdeploy`."""
    revision: ShortText | None = None
    """Branch, tag or commit of the model."""
    trust_remote_code: Annotated[bool, HOW] = False
    """Let `lmdeploy` run code that comes with the model, as the original InternVL-2.5 needs; pin `revision`
    with it."""
    prompts: ConfigPath | None = None
    """Folder with a file for every prompt; the packaged one by default."""
    temperature: Annotated[StrictFloat, Field(ge=0, le=2)] = 0.7
    """Sampling temperature."""
    top_p: Annotated[StrictFloat, Field(gt=0, le=1)] = 0.9
    """Share of probability that sampling draws from."""
    max_tokens: Annotated[StrictInt, Field(ge=16, le=32768)] = 768
    """Maximum number of tokens in a reply."""
    picture_side: Annotated[StrictInt, Field(ge=64, le=8192)] = 896
    """Maximum long side in pixels of a picture shown to the model."""
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$"), HOW] = "http://127.0.0.1:23333/v1"
    """Address of the server's OpenAI-compatible API."""
    api_key_env: Annotated[ShortText, HOW] = API_KEY_VARIABLE
    """Environment variable that holds the server's API key; the key itself is in no file."""
    in_flight: Annotated[StrictInt, Field(ge=1, le=1024), HOW] = 32
    """Maximum number of requests under way in the whole build, divided among its workers."""
    deadline: Annotated[StrictFloat, Field(gt=0, le=3600), HOW] = 120.0
    """Time limit in seconds for a request and its reply."""
    retries: Annotated[StrictInt, Field(ge=0, le=20), HOW] = 5
    """How often a request is repeated after a temporary failure."""
    cache: Annotated[ConfigPath | None, OUTPUT] = None
    """File that keeps every reply; `replies.sqlite` in the store by default."""


MODEL_BACKENDS = ("server", "lmdeploy", "replay")
"""The back ends that differ in how a model is reached and not in what it says."""


class AnnotateConfig(Section):
    """The question-and-answer back end.

    `server` asks an OpenAI-compatible server, `lmdeploy` runs the model in this process, `replay` answers
    from the cache that either left and calls nothing; the three share the section `vlm`.
    """

    backend: Annotated[str, checked_as("backend"), CountsAs("vlm", among=MODEL_BACKENDS)] = "grammar"
    """What writes the dialogues, a file of `annotation/qa/backends`: sentences from the injected truth, a
    server, a model in this process, or the reply cache."""
    wording: ConfigPath | None = None
    """Wording file of the back end `grammar`; the packaged one by default."""
    vlm: VlmConfig | None = None
    """Settings of the model, for back ends with one."""
    attempts: Annotated[StrictInt, Field(ge=1, le=100)] = 12
    """Tries per row before it is quarantined; 4 by default where a model writes."""
    settings: Annotated[Settings, checked_as("back end settings"), _LEFT_OUT] = Field(default={})
    """Settings of a back end that was added as a file, under its name."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """Default section for a model in use, and four attempts where each costs a request."""
        if not isinstance(values, dict) or values.get("backend") not in MODEL_BACKENDS:
            return values
        return {"attempts": 4, **values, "vlm": values.get("vlm") or {}}

    @model_validator(mode="after")
    def _no_idle_section(self) -> AnnotateConfig:
        if self.backend == "grammar" and self.vlm is not None:
            raise ValueError("the section 'vlm' is given, but the back end 'grammar' uses no model")
        if self.backend in MODEL_BACKENDS and self.wording is not None:
            raise ValueError(
                "'wording' is the back end grammar's; a model's prompts are given by vlm.prompts"
            )
        for name in self.settings:
            if name != self.backend:
                raise ValueError(f"settings of {name!r} are given, but the back end is {self.backend!r}")
        return self


class ExternalConfig(Section):
    """A dataset to merge in."""

    kind: Literal["q-instruct", "dq-495k"]
    """Which dataset it is."""
    annotations: Annotated[list[ConfigPath], Field(min_length=1, max_length=1000), NAMED_INPUT]
    """The dataset's annotation files."""
    images: Annotated[ConfigPath, NAMED_INPUT]
    """Folder that the paths in the annotation files start from."""
    license: ShortText | None = None
    """License to record instead of the one that the dataset's publishers state."""


class KeepOutConfig(Section):
    """An evaluation set that no row may show: a folder of its pictures, or a list of their hashes.

    A list has one picture a line: 64 hex digits (SHA-256 of the file or of its pixels), 16 (perceptual hash)
    or a fingerprint; the rest of a line is its name; a line that starts with # is a comment.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Name of the evaluation set; by default that of its folder or file."""
    folder: Annotated[ConfigPath | None, NAMED_INPUT] = None
    """Folder with the set's pictures."""
    list: Annotated[ConfigPath | None, NAMED_INPUT] = None
    """Text file with one hash a line."""

    @model_validator(mode="after")
    def _one_place(self) -> KeepOutConfig:
        if (self.folder is None) == (self.list is None):
            raise ValueError("give exactly one of folder, list")
        return self


class MixtureRule(Section):
    """How many rows of a source, a task or both stay. A row belongs to the first rule that fits it.

    Caps come first; rules with a weight then keep rows in proportion to it, as many as the scarcest of them
    allows. Rows that no rule fits all stay.
    """

    source: str | None = None
    """Source the rule is for; any by default."""
    task: str | None = None
    """Task the rule is for; any by default."""
    cap: Annotated[StrictInt, Field(ge=0)] | None = None
    """Maximum number of rows the rule keeps."""
    weight: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Rows kept, in proportion to the other rules that have a weight."""


class LicensesConfig(Section):
    """Which licenses rows may have: patterns like those of file names, without regard to case.

    A row is refused when a pattern of `deny` fits its license, or `allow` is given and none of it does. A row
    without a stated license has the license "not stated".
    """

    allow: list[str] | None = None
    """Patterns of licenses that rows may have; any license by default."""
    deny: list[str] = Field(default=[])
    """Patterns of licenses that rows may not have."""


class MergeConfig(Section):
    """Splits, other datasets, and which rows stay. A picture's rows are all in one split."""

    test_share: Share = 0.1
    """Share of the source pictures whose rows go to the test split."""
    salt: str = ""
    """Text hashed together with a picture's id to choose its split; another text gives another split."""
    external: Annotated[list[ExternalConfig], SETTLED] = Field(default=[])
    """Datasets to merge in."""
    keep_out: Annotated[list[KeepOutConfig], SETTLED] = Field(default=[])
    """Evaluation sets whose pictures no row may show."""
    keep_out_bits: Annotated[StrictInt, Field(ge=0, le=32)] = 8
    """Bits of the perceptual hash in which a copy of an evaluation picture may differ."""
    mixture: list[MixtureRule] = Field(default=[])
    """Rules for how many rows of which source and task stay; the first that fits a row counts."""
    licenses: LicensesConfig = LicensesConfig()
    """Licenses that rows may have."""
    max_bad_share: Share = 0.05
    """Share of an annotation file's rows that may be unusable before the build fails."""


class PublishConfig(Section):
    """Shard and row-group bounds of the published Parquet files."""

    rows_per_group: Annotated[StrictInt, Field(ge=1, le=100_000), shapes_files("publish")] = 64
    """Maximum number of rows in a row group."""
    group_bytes: Annotated[StrictInt, Field(ge=1, le=1_500_000_000), shapes_files("publish")] = 128_000_000
    """Maximum bytes of pictures in a row group."""
    shard_bytes: Annotated[StrictInt, Field(ge=1, le=4_000_000_000), shapes_files("merge")] = 400_000_000
    """Bytes of pictures aimed at in a Parquet file."""
    min_shards: Annotated[StrictInt, Field(ge=1, le=100_000), shapes_files("merge")] = 1
    """Minimum number of Parquet files per split."""


class RunConfig(Section):
    """How the build runs; nothing here changes the dataset."""

    runner: Annotated[RunnerName, HOW] = "process"
    """How work runs: one shard after another, in threads or in processes."""
    workers: Annotated[Annotated[StrictInt, Field(ge=1, le=1024)] | None, HOW] = None
    """Number of shards made at a time; by default the number of cores."""
    shard_size: Annotated[StrictInt, Field(ge=1, le=10_000), CUT] = 16
    """Number of photographs in a shard."""
    max_failure_rate: Annotated[Share, HOW] = 0.2
    """Share of the inputs that may fail before the build fails."""


class BuildConfig(Section):
    """One build, as its YAML file says."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$"), LABEL]
    """Name of the dataset and of its folder."""
    seed: Annotated[StrictInt, Field(ge=0, lt=2**63)] = 0
    """Seed of everything drawn at random."""
    images: ImagesConfig
    """Where the photographs come from."""
    out: Annotated[ConfigPath, OUTPUT]
    """Folder for the datasets."""
    store: Annotated[ConfigPath | None, OUTPUT] = None
    """Folder for the shards; `store` in `out` by default. Builds may share it."""
    ingest: IngestConfig = IngestConfig()
    """Decoding and near duplicates."""
    regions: RegionsConfig = RegionsConfig()
    """How regions are found and named; a single word such as `graph` or `ssa` chooses a pair."""
    distort: DistortConfig = DistortConfig()
    """Plans and injection."""
    annotate: AnnotateConfig = AnnotateConfig()
    """How questions and answers are written."""
    merge: MergeConfig = MergeConfig()
    """Splits, other datasets, evaluation sets, mixture and licenses."""
    publish: PublishConfig = PublishConfig()
    """Sizes of the published files."""
    run: RunConfig = RunConfig()
    """How the build runs; nothing here changes the rows."""


def config_hash(config: BuildConfig) -> str:
    """16 hex digits over what shapes a dataset's rows: how they are made and the files' sizes don't count."""
    return hashlib.sha256(canonical_json(shaping(config)).encode()).hexdigest()[:16]


def load_config(path: Path, checks: Checks | None = None) -> BuildConfig:
    """Read a build configuration; `checks` as for `load_section`.

    Raises InputError (one line: file, line, key, what to do).
    """
    return load_section(path, BuildConfig, checks)
