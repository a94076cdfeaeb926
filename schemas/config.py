"""The build configuration: what each section of its YAML file may say, and the hash of what shapes its rows.

docs/configuration.md is made of it (`python -m flows.configuration_page`): the docstring below a key is its
description there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StrictFloat, StrictInt, model_validator

from schemas.choices import RunnerName
from schemas.hashing import canonical_json
from schemas.records import SAMPLE_KINDS, SampleKind
from schemas.regions_config import RegionsConfig
from schemas.section_reader import Checks, load_section
from schemas.sections import (
    CUT,
    HOW,
    INPUT,
    LABEL,
    LEFT_OUT,
    NAMED_INPUT,
    OUTPUT,
    SETTLED,
    ConfigPath,
    CountsAs,
    ModelName,
    Section,
    Settings,
    Share,
    ShortText,
    checked_as,
    shapes_files,
    shaping,
)

API_KEY_VARIABLE = "IQA_SPIDER_API_KEY"
"""The environment variable with the key of the server that a model is asked at, unless another is named."""
Strength = Annotated[StrictFloat, Field(ge=0, le=3.41)]
SampleCount = Annotated[StrictInt, Field(ge=0, le=1000)]


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
    settings: Annotated[Settings, checked_as("back end settings"), LEFT_OUT] = Field(default={})
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

    kind: Annotated[str, checked_as("importer")]
    """Which dataset it is: a file of `flows/stages/importers`."""
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
