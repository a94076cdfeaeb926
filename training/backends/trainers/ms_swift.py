"""A run's options as a script for ms-swift 4.6.

Its `tuner_type lora_llm` puts LoRA on the language model and trains vision encoder and projector in full.
Arguments: https://swift.readthedocs.io/en/latest/Instruction/Command-line-parameters.html
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from training.backends.families import FAMILIES, Family, find_family, model_name
from training.backends.shell import (
    command_lines,
    comment_lines,
    describe_ignored,
    environment_command,
    export_command,
    export_folder,
)
from training.sft.train_config import LANGUAGE_LAYERS, TrainOptions

PACKAGE = "ms-swift==4.6.0"
COMMON = ("torch", "torchvision", "deepspeed")
ENVIRONMENT = ".venv-ms-swift"


def script(options: TrainOptions, config: Path) -> str:
    """A POSIX shell script that exports the rows, installs ms-swift and trains. Raises InputError."""
    family, model = FAMILIES[find_family(options)], model_name(options)
    out = options.out / "ms-swift"
    swift = f"{ENVIRONMENT}/bin/swift"
    lines = [
        *comment_lines([f"Stage one with ms-swift, from {config}. Run it with sh in the project's folder."]),
        *comment_lines(_describe_differences(options, family)),
        "set -eu",
        "",
        "# 1. The rows, as ms-swift reads them.",
        export_command(options),
        "",
        "# 2. ms-swift, in its own environment: it needs older packages than this project.",
        environment_command(ENVIRONMENT, "swift", [PACKAGE, *family.swift_packages, *COMMON]),
        "",
        "# 3. Train. GPUS=4 uses four GPUs.",
        *command_lines(_variables(options, family), [swift, "sft"], _flags(options, family, model, out)),
        "",
        "# 4. Afterwards, a plain checkpoint:",
        f"# {swift} export --adapters {shlex.quote(str(out / 'checkpoint-LAST'))} --merge_lora true",
    ]
    return "\n".join(lines) + "\n"


def _trains_vision(options: TrainOptions) -> bool:
    return options.rates.vision > 0 or options.rates.projector > 0


def _describe_differences(options: TrainOptions, family: Family) -> list[str]:
    """How the run differs from one by this project's own trainer, as sentences."""
    sentences = ["What ms-swift does differently:"]
    if _trains_vision(options):
        sentences.append("- tuner_type lora_llm has no LoRA dropout or choice of layers; it takes all.")
    if options.model.dtype == "bfloat16" and options.run.deepspeed is None:
        sentences.append(
            "- Without DeepSpeed it would train the vision encoder and projector in bfloat16, which loses "
            "most steps at rates of 1e-5; ZeRO-2 keeps float32 copies, on one GPU too."
        )
    if not family.pixels:
        sentences.append("- The processor cuts pictures into tiles; there are no pixel bounds to give.")
    sentences.append("- A stopped run starts over: checkpoints hold only the weights.")
    return [*sentences, *(f"- {sentence}" for sentence in describe_ignored(options))]


def _variables(options: TrainOptions, family: Family) -> dict[str, str]:
    variables = {
        "NPROC_PER_NODE": '"${GPUS:-1}"',
        "ROOT_IMAGE_DIR": shlex.quote(str(export_folder(options))),
    }
    if family.pixels:
        bounds = (("MIN_PIXELS", options.pixels.min), ("MAX_PIXELS", options.pixels.max))
        variables.update({name: str(value) for name, value in bounds if value is not None})
    return variables


def _flags(options: TrainOptions, family: Family, model: str, out: Path) -> dict[str, str | Sequence[str]]:
    run, data, rates, lora = options.run, options.data, options.rates, options.lora
    folder = export_folder(options)
    flags: dict[str, str | Sequence[str]] = {
        "model": model,
        "use_hf": "true",
        "model_type": family.swift_type,
        "template": family.swift_template,
        "torch_dtype": options.model.dtype,
        "attn_impl": options.model.attention,
        "dataset": str(folder / f"{data.split}.jsonl"),
        "split_dataset_ratio": "0",
        "tuner_type": "lora_llm" if _trains_vision(options) else "lora",
        "lora_rank": str(lora.rank),
        "lora_alpha": str(lora.alpha),
        "learning_rate": f"{rates.lora:g}",
    }
    if options.model.revision is not None:
        flags["model_revision"] = options.model.revision
    if data.eval_split is not None:
        flags["val_dataset"] = str(folder / f"{data.eval_split}.jsonl")
        flags |= {"eval_strategy": "steps", "eval_steps": str(run.eval_every)}
    if _trains_vision(options):
        flags |= {"vit_lr": f"{rates.vision:g}", "aligner_lr": f"{rates.projector:g}"}
    else:
        flags |= {"freeze_vit": "true", "freeze_aligner": "true", "lora_dropout": f"{lora.dropout:g}"}
        if tuple(lora.layers) != LANGUAGE_LAYERS:
            flags["target_modules"] = lora.layers
    deepspeed = "zero2" if options.model.dtype == "bfloat16" else None
    if run.deepspeed is not None:
        deepspeed = str(run.deepspeed)
    return {
        **flags,
        **({"max_steps": str(run.steps)} if run.steps else {"num_train_epochs": f"{run.epochs:g}"}),
        "max_length": str(run.max_tokens),
        "truncation_strategy": "delete",
        "per_device_train_batch_size": str(run.batch),
        "per_device_eval_batch_size": str(run.batch),
        "gradient_accumulation_steps": str(run.accumulation),
        "gradient_checkpointing": str(run.checkpointing).lower(),
        "lr_scheduler_type": run.schedule,
        "warmup_ratio": f"{run.warmup:g}",
        "weight_decay": f"{run.weight_decay:g}",
        "max_grad_norm": f"{run.clip:g}",
        **({"deepspeed": deepspeed} if deepspeed else {}),
        **({"use_cpu": "true"} if run.device == "cpu" else {}),
        "seed": str(options.seed),
        "data_seed": str(options.seed),
        "dataloader_num_workers": str(data.workers),
        "logging_steps": str(run.log_every),
        "save_steps": str(run.save_every),
        "save_total_limit": str(run.keep),
        "save_only_model": "true",
        "add_version": "false",
        "output_dir": str(out),
    }
