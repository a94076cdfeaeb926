"""The build configuration: what each section of its YAML file may say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictFloat, StrictInt, model_validator

from schemas.records import SAMPLE_KINDS, SampleKind
from schemas.section_reader import load_section
from schemas.sections import ConfigPath, Section

RunnerName = Literal["serial", "thread", "process"]
Share = Annotated[StrictFloat, Field(ge=0, le=1)]
Strength = Annotated[StrictFloat, Field(ge=0, le=3.41)]
SampleCount = Annotated[StrictInt, Field(ge=0, le=1000)]


class ImagesConfig(Section):
    """Where the photographs come from: exactly one of the four."""

    bundled: bool = False
    folder: ConfigPath | None = None
    coco: ConfigPath | None = None
    manifest: ConfigPath | None = None

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
    min_side: Annotated[StrictInt, Field(ge=1)] = 64
    max_pixels: Annotated[StrictInt, Field(ge=1)] = 100_000_000
    max_bytes: Annotated[StrictInt, Field(ge=1)] = 200_000_000
    near_duplicate_bits: Annotated[StrictInt, Field(ge=-1, le=32)] = 4
    license: str | None = None


ModelName = Annotated[str, Field(min_length=1, max_length=500)]


class ModelConfig(Section):
    """A model: a name on the Hugging Face hub ("facebook/sam-vit-huge") or a local folder, and its revision.

    `revision` is a branch, tag or commit of the hub; for a folder it is a word of your own that says which
    state of the folder made the regions. Both are part of every shard's key, the model's bytes are not.
    """

    name: ModelName
    revision: ModelName | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, values: Any) -> Any:
        return {"name": values} if isinstance(values, str) else values


class DeviceConfig(Section):
    """Where region models run. `threads` are PyTorch's on the CPU; another number may change last digits."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")] = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    threads: Annotated[StrictInt, Field(ge=1, le=256)] = 1
    tasks_per_gpu: Annotated[StrictInt, Field(ge=1, le=64)] = 1


class SamConfig(Section):
    """Automatic mask generation with SAM; the defaults are those of SSA except where a comment says so.

    `exact` takes segment-anything's steps: stability is measured on masks at the picture's size and not on
    the model's low-resolution logits, and duplicates overlap by boxes (IoU 0.7), not masks (`max_overlap`).
    `points_per_batch` is a limit: a CPU takes at most 16 at a time. Lengths are pixels of the picture.
    """

    model: ModelConfig = ModelConfig(name="facebook/sam-vit-huge")
    points_per_side: Annotated[StrictInt, Field(ge=1, le=256)] = 32
    points_per_batch: Annotated[StrictInt, Field(ge=1, le=4096)] = 64
    images_per_batch: Annotated[StrictInt, Field(ge=1, le=256)] = 1
    crop_layers: Annotated[StrictInt, Field(ge=0, le=3)] = 0
    crop_overlap: Share = 512 / 1500
    crop_downscale: Annotated[StrictInt, Field(ge=1, le=8)] = 2
    min_predicted_iou: Share = 0.86
    min_stability: Share = 0.92
    stability_offset: Annotated[StrictFloat, Field(ge=0, le=100)] = 1.0
    min_island: Annotated[StrictInt, Field(ge=0)] = 100
    max_overlap: Share = 0.8
    exact: bool = False


def _one_gap(template: str) -> str:
    if template.count("{}") != 1 or template.count("{") != 1 or template.count("}") != 1:
        raise ValueError("must hold {} once, where the phrase goes, and no other brace")
    return template


class VoteConfig(Section):
    """One semantic or panoptic map a picture; a mask gets the class with the most support under it."""

    model: ModelConfig = ModelConfig(name="shi-labs/oneformer_ade20k_swin_large")
    min_score: Share = 0.35
    min_margin: Share = 0.1


class ClipConfig(Section):
    """Own vocabulary: a text file with one noun phrase a line; all crops of a picture in one forward.

    `template` is what a text encoder reads: the phrase stands at its "{}". A crop is the mask's bounding box
    grown by `crop_scale`.
    """

    model: ModelConfig = ModelConfig(name="openai/clip-vit-large-patch14")
    vocabulary: ConfigPath
    template: Annotated[ModelName, AfterValidator(_one_gap)] = "a photo of a {}"
    crop_scale: Annotated[StrictFloat, Field(ge=1, le=4)] = 1.2
    crops_per_batch: Annotated[StrictInt, Field(ge=1, le=4096)] = 128
    min_score: Share = 0.35
    min_margin: Share = 0.1


class SsaConfig(Section):
    """SSA's engine: closed votes and a caption's nouns, ranked by CLIP, settled by CLIPSeg."""

    votes: Annotated[list[ModelConfig], Field(min_length=1, max_length=4)] = Field(
        default=[
            ModelConfig(name="shi-labs/oneformer_coco_swin_large"),
            ModelConfig(name="shi-labs/oneformer_ade20k_swin_large"),
        ]
    )
    caption: ModelConfig = ModelConfig(name="Salesforce/blip-image-captioning-large")
    clip: ModelConfig = ModelConfig(name="openai/clip-vit-large-patch14")
    clipseg: ModelConfig = ModelConfig(name="CIDAS/clipseg-rd64-refined")
    masks_per_batch: Annotated[StrictInt, Field(ge=1, le=1024)] = 16
    top: Annotated[StrictInt, Field(ge=1, le=20)] = 3
    min_score: Share = 0.35
    min_margin: Share = 0.1


class RegionsConfig(Section):
    """Which proposer and labeller make regions, and the rules a region has to pass.

    A single word is a pair that goes together: `regions: ssa` is SAM's masks named by SSA's engine.
    `ssa_json` is the folder with the proposer `ssa-json`'s files, one a picture, named after it.
    """

    proposer: Literal["graph", "coco", "sam", "ssa-json"] = "graph"
    labeller: Literal["appearance", "given", "vote", "clip", "ssa"] = "appearance"
    position_grid: Literal["thirds", "quadrants"] = "thirds"
    min_area: Share = 0.01
    max_area: Annotated[StrictFloat, Field(gt=0, le=1)] = 0.6
    max_regions: Annotated[StrictInt, Field(ge=1, le=500)] = 10
    ssa_json: ConfigPath | None = None
    sam: SamConfig | None = None
    vote: VoteConfig | None = None
    clip: ClipConfig | None = None
    ssa: SsaConfig | None = None
    run_on: DeviceConfig | None = None

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
            values["labeller"] = {"coco": "given", "ssa-json": "given", "sam": "ssa"}.get(
                proposer if isinstance(proposer, str) else "", "appearance"
            )
        used = [part for part in (proposer, values["labeller"]) if part in ("sam", "vote", "ssa")]
        for part in used:
            if values.get(part) is None:
                values[part] = {}
        if values.get("run_on") is None and (used or values["labeller"] == "clip"):
            values["run_on"] = {}
        return values

    @model_validator(mode="after")
    def _no_idle_section(self) -> RegionsConfig:
        """A section for a model nothing uses is a mistake; the labeller `clip` needs its vocabulary."""
        for part in ("sam", "vote", "clip", "ssa"):
            if getattr(self, part) is not None and part not in (self.proposer, self.labeller):
                raise ValueError(
                    f"the section {part!r} is given, but neither proposer nor labeller is {part!r}"
                )
        if self.labeller == "clip" and self.clip is None:
            raise ValueError(
                "the labeller 'clip' needs clip.vocabulary, a text file with one noun phrase a line"
            )
        if (self.ssa_json is not None) != (self.proposer == "ssa-json"):
            raise ValueError(
                "the proposer 'ssa-json' and ssa_json, the folder with its files, go together; "
                "give both or neither"
            )
        return self


class SamplesConfig(Section):
    """How many samples of each kind to plan for one photograph."""

    hyd: SampleCount = 2
    sid: SampleCount = 2
    dao: SampleCount = 1
    single: SampleCount = 2
    whole: SampleCount = 1
    pristine: SampleCount = 1

    def counts(self) -> dict[SampleKind, int]:
        return {kind: int(getattr(self, kind)) for kind in SAMPLE_KINDS}


class DistortConfig(Section):
    """Plans and injection. Margins and thresholds are in units of perceptual strength (0 to 3.41)."""

    samples: SamplesConfig = SamplesConfig()
    names: list[str] | None = None
    margin_two: Strength = 1.0
    margin_many: Strength = 1.4
    min_order_effect: Strength = 0.7
    min_strength: Strength = 0.3
    min_region_area: Share = 0.02
    feather: Annotated[StrictInt, Field(ge=0, le=64)] = 0
    attempts: Annotated[StrictInt, Field(ge=1, le=1000)] = 40


VLM_SHAPING = ("model", "revision", "temperature", "top_p", "max_tokens", "picture_side")
"""The settings of a model that shape its answers; the prompts do too, by their hash."""


class VlmConfig(Section):
    """A vision-language model that writes dialogues: which one, how it samples, and how it is reached.

    `model`, `revision`, sampling and `prompts` shape the answers and are part of every key; how the model is
    reached is not. `api_key_env` names the environment variable with the key, which stands in no file.
    `deadline` is in seconds, a request and its answer. `in_flight` bounds the requests of the whole build.
    `picture_side` is the long side in pixels of what the model is shown at most. `trust_remote_code` lets
    `lmdeploy` run code that comes with the model, as the original InternVL-2.5 repositories need; pin a
    `revision` with it.
    """

    model: ModelName = "OpenGVLab/InternVL2_5-8B"
    revision: ModelName | None = None
    trust_remote_code: bool = False
    prompts: ConfigPath | None = None
    temperature: Annotated[StrictFloat, Field(ge=0, le=2)] = 0.7
    top_p: Annotated[StrictFloat, Field(gt=0, le=1)] = 0.9
    max_tokens: Annotated[StrictInt, Field(ge=16, le=32768)] = 768
    picture_side: Annotated[StrictInt, Field(ge=64, le=8192)] = 896
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] = "http://127.0.0.1:23333/v1"
    api_key_env: ModelName = "IQA_SPIDER_API_KEY"
    in_flight: Annotated[StrictInt, Field(ge=1, le=1024)] = 32
    deadline: Annotated[StrictFloat, Field(gt=0, le=3600)] = 120.0
    retries: Annotated[StrictInt, Field(ge=0, le=20)] = 5
    cache: ConfigPath | None = None


class AnnotateConfig(Section):
    """The question-and-answer back end. `wording` replaces the packaged wording file of `grammar`.

    `server` asks an OpenAI-compatible server, `lmdeploy` runs the model in this process, `replay` answers
    from the cache that either left and calls nothing; the three share the section `vlm`.
    """

    backend: Literal["grammar", "server", "lmdeploy", "replay"] = "grammar"
    wording: ConfigPath | None = None
    vlm: VlmConfig | None = None
    attempts: Annotated[StrictInt, Field(ge=1, le=100)] = 12

    def shaping(self) -> dict[str, Any]:
        """What of this section shapes the rows, for keys: all but how a model is reached, and the files of
        words and prompts, whose hashes count instead.
        """
        if self.vlm is None:
            return self.model_dump(mode="json", exclude={"wording"})
        return {
            "backend": "vlm",
            "attempts": self.attempts,
            "vlm": self.vlm.model_dump(mode="json", include=set(VLM_SHAPING)),
        }

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """Default section for a model in use, and four attempts where each costs a request."""
        if not isinstance(values, dict) or values.get("backend", "grammar") == "grammar":
            return values
        return {"attempts": 4, **values, "vlm": values.get("vlm") or {}}

    @model_validator(mode="after")
    def _no_idle_section(self) -> AnnotateConfig:
        if self.backend == "grammar" and self.vlm is not None:
            raise ValueError("the section 'vlm' is given, but the back end 'grammar' uses no model")
        if self.backend != "grammar" and self.wording is not None:
            raise ValueError(
                "'wording' is the back end grammar's; a model's prompts are given by vlm.prompts"
            )
        return self


class ExternalConfig(Section):
    """A dataset to merge in: its annotation files, and the folder that the paths in them start from.

    `license` replaces what the dataset's publishers state.
    """

    kind: Literal["q-instruct", "dq-495k"]
    annotations: Annotated[list[ConfigPath], Field(min_length=1, max_length=1000)]
    images: ConfigPath
    license: Annotated[str, Field(min_length=1, max_length=500)] | None = None


class KeepOutConfig(Section):
    """An evaluation set that no row may show: a folder of its pictures, or a list of their hashes.

    A list has one picture a line: 64 hex digits (SHA-256 of the file or of its pixels), 16 (perceptual hash)
    or a fingerprint; the rest of a line is its name; a line that starts with # is a comment. `name` is by
    default that of the folder or file.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    folder: ConfigPath | None = None
    list: ConfigPath | None = None

    @model_validator(mode="after")
    def _one_place(self) -> KeepOutConfig:
        if (self.folder is None) == (self.list is None):
            raise ValueError("give exactly one of folder, list")
        return self


class MixtureRule(Section):
    """How many rows of a source, a task or both stay. A row belongs to the first rule that fits it.

    `cap` is the most rows the rule keeps; rules with a `weight` then keep rows in proportion to it, as many
    as the scarcest of them allows. Rows that no rule fits all stay.
    """

    source: str | None = None
    task: str | None = None
    cap: Annotated[StrictInt, Field(ge=0)] | None = None
    weight: Annotated[float, Field(gt=0, le=1e6)] | None = None


class LicensesConfig(Section):
    """Which licences rows may have: patterns as of file names, without regard to case.

    A row is refused when a pattern of `deny` fits its licence, or `allow` is given and none of it does. A row
    without a stated licence has the licence "not stated".
    """

    allow: list[str] | None = None
    deny: list[str] = Field(default=[])


class MergeConfig(Section):
    """Splits follow the source picture: its id hashed with `salt` falls below `test_share` or not.

    `keep_out_bits` is how many bits of the perceptual hash a copy of an evaluation picture may differ in;
    `max_bad_share` the share of an annotation file's rows that may be unusable.
    """

    test_share: Share = 0.1
    salt: str = ""
    external: list[ExternalConfig] = Field(default=[])
    keep_out: list[KeepOutConfig] = Field(default=[])
    keep_out_bits: Annotated[StrictInt, Field(ge=0, le=32)] = 8
    mixture: list[MixtureRule] = Field(default=[])
    licenses: LicensesConfig = LicensesConfig()
    max_bad_share: Share = 0.05


class PublishConfig(Section):
    """Shard and row-group bounds of the published Parquet files."""

    rows_per_group: Annotated[StrictInt, Field(ge=1, le=100_000)] = 64
    group_bytes: Annotated[StrictInt, Field(ge=1, le=1_500_000_000)] = 128_000_000
    shard_bytes: Annotated[StrictInt, Field(ge=1, le=4_000_000_000)] = 400_000_000
    min_shards: Annotated[StrictInt, Field(ge=1, le=100_000)] = 1


class RunConfig(Section):
    """How the build runs; nothing here changes the dataset."""

    runner: RunnerName = "process"
    workers: Annotated[StrictInt, Field(ge=1, le=1024)] | None = None
    shard_size: Annotated[StrictInt, Field(ge=1, le=10_000)] = 16
    max_failure_rate: Share = 0.2


class BuildConfig(Section):
    """One build, as its YAML file says."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    seed: Annotated[StrictInt, Field(ge=0, lt=2**63)] = 0
    images: ImagesConfig
    out: ConfigPath
    store: ConfigPath | None = None
    ingest: IngestConfig = IngestConfig()
    regions: RegionsConfig = RegionsConfig()
    distort: DistortConfig = DistortConfig()
    annotate: AnnotateConfig = AnnotateConfig()
    merge: MergeConfig = MergeConfig()
    publish: PublishConfig = PublishConfig()
    run: RunConfig = RunConfig()


def load_config(path: Path) -> BuildConfig:
    """Read a build configuration. Raises InputError (one line: file, line, key, what to do)."""
    return load_section(path, BuildConfig)
