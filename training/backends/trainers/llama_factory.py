"""A run's options as a script for LLaMA-Factory 0.9.5: its YAML file, written in place, and the command.

Arguments: https://github.com/hiyouga/LLaMA-Factory, src/llamafactory/hparams. `additional_target` becomes
PEFT's `modules_to_save`, so the vision encoder and projector train in full beside LoRA.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from schemas.errors import InputError
from training.backends.families import FAMILIES, Family, find_family, model_name
from training.backends.shell import (
    command_lines,
    comment_lines,
    describe_ignored,
    environment_command,
    export_command,
    export_folder,
)
from training.sft.train_config import TrainOptions

PACKAGE = "llamafactory==0.9.5"
COMMON = ("torch", "torchvision", "tensorboard", "deepspeed")
ENVIRONMENT = ".venv-llama-factory"
_VARIABLES = {
    "PATH": f'"$PWD/{ENVIRONMENT}/bin:$PATH"',
    "FORCE_TORCHRUN": "1",
    "NPROC_PER_NODE": '"${GPUS:-1}"',
}
"""It calls torchrun by name, so the environment's must come first on the path."""
ATTENTION = {"sdpa": "sdpa", "eager": "disabled", "flash_attention_2": "fa2"}
"""`model.attention` as LLaMA-Factory's `flash_attn` (llamafactory/extras/constants.py)."""


def script(options: TrainOptions, config: Path) -> str:
    """A POSIX shell script that exports the rows, writes the YAML file and trains.

    Raises InputError for a model or a combination of parts that LLaMA-Factory can't train.
    """
    if len(str(options.out).split()) != 1:
        raise InputError(
            f"LLaMA-Factory splits paths at spaces; give an 'out' without them, not {options.out}"
        )
    values = settings(options)
    file = shlex.quote(str(options.out / "llama-factory.yaml"))
    tool = f"{ENVIRONMENT}/bin/llamafactory-cli"
    merged = shlex.quote(str(options.out / "llama-factory-merged"))
    adapter = shlex.quote(values["output_dir"])
    lines = [
        *comment_lines(
            [f"Stage one with LLaMA-Factory, from {config}. Run it with sh in the project's folder."]
        ),
        *comment_lines(_describe_differences(options)),
        "set -eu",
        "",
        "# 1. The rows, with the dataset_info.json that LLaMA-Factory looks for.",
        export_command(options),
        "",
        "# 2. LLaMA-Factory, in its own environment: it needs older packages than this project.",
        environment_command(ENVIRONMENT, "llamafactory-cli", [PACKAGE, *COMMON]),
        "",
        "# 3. Its settings.",
        f"cat > {file} <<'END'",
        *(f"{name}: {_format_scalar(value)}" for name, value in values.items()),
        "END",
        "",
        "# 4. Train. GPUS=4 uses four GPUs.",
        *command_lines(_VARIABLES, [tool, "train"], {}),
    ]
    lines[-1] += f" {file}"
    lines += [
        "",
        "# 5. Afterwards, a plain checkpoint:",
        f"# {tool} export --model_name_or_path {shlex.quote(values['model_name_or_path'])} "
        f"--template {values['template']} --adapter_name_or_path {adapter} --export_dir {merged}",
    ]
    return "\n".join(lines) + "\n"


def settings(options: TrainOptions) -> dict[str, Any]:
    """LLaMA-Factory's arguments for a run. Raises InputError for what it can't train."""
    run, data, lora = options.run, options.data, options.lora
    family, model = FAMILIES[find_family(options)], model_name(options)
    if family.llama_template is None:
        raise InputError(f"LLaMA-Factory doesn't train {model}; give --backend ms-swift")
    whole = _fully_trained_modules(options, family)
    bounds = (("image_min_pixels", options.pixels.min), ("image_max_pixels", options.pixels.max))
    return {
        "model_name_or_path": model,
        **({"model_revision": options.model.revision} if options.model.revision else {}),
        **({name: value for name, value in bounds if value is not None} if family.pixels else {}),
        "flash_attn": ATTENTION[options.model.attention],
        "disable_gradient_checkpointing": not run.checkpointing,
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "lora_target": ",".join(lora.layers),
        "freeze_vision_tower": True,
        "freeze_multi_modal_projector": True,
        **({"additional_target": ",".join(whole)} if whole else {}),
        "dataset_dir": str(export_folder(options)),
        "dataset": f"iqa_spider_{data.split}",
        "template": family.llama_template,
        "cutoff_len": run.max_tokens,
        "preprocessing_num_workers": max(1, data.workers),
        "output_dir": str(options.out / "llama-factory"),
        "logging_steps": run.log_every,
        "save_steps": run.save_every,
        "save_total_limit": run.keep,
        "report_to": "tensorboard",
        "per_device_train_batch_size": run.batch,
        "gradient_accumulation_steps": run.accumulation,
        **_learning_rate(options),
        **({"max_steps": run.steps} if run.steps else {"num_train_epochs": run.epochs}),
        "lr_scheduler_type": run.schedule,
        "warmup_ratio": run.warmup,
        "weight_decay": run.weight_decay,
        "max_grad_norm": run.clip,
        "bf16": options.model.dtype == "bfloat16",
        "seed": options.seed,
        "dataloader_num_workers": data.workers,
        **({"deepspeed": str(run.deepspeed)} if run.deepspeed else {}),
        **(
            {
                "eval_dataset": f"iqa_spider_{data.eval_split}",
                "per_device_eval_batch_size": run.batch,
                "eval_strategy": "steps",
                "eval_steps": run.eval_every,
            }
            if data.eval_split
            else {}
        ),
        **({"use_cpu": True} if run.device == "cpu" else {}),
    }


def _fully_trained_modules(options: TrainOptions, family: Family) -> tuple[str, ...]:
    """Names of the modules that train in full, as PEFT's `modules_to_save` takes them."""
    vision, projector = options.rates.vision > 0, options.rates.projector > 0
    if vision and not projector and family.projector_inside:
        raise InputError(
            "LLaMA-Factory can't freeze a projector inside a trained vision encoder; raise rates.projector"
        )
    if vision and not family.llama_vision:
        raise InputError(
            "LLaMA-Factory can't train this model's vision encoder in full; give --backend ms-swift"
        )
    parts: tuple[str, ...] = (family.vision,) if vision else ()
    if projector and not (vision and family.projector_inside):
        parts += family.projectors
    return parts


def _full_rate(options: TrainOptions) -> float:
    """Rate of what trains in full: the vision encoder's, else the projector's, or 0."""
    return options.rates.vision or options.rates.projector


def _learning_rate(options: TrainOptions) -> dict[str, float]:
    """One rate, and LoRA+ for LoRA's B matrices where their rate differs."""
    whole, lora = _full_rate(options), options.rates.lora
    if not whole or whole == lora:
        return {"learning_rate": lora}
    return {"learning_rate": whole, "loraplus_lr_ratio": float(f"{lora / whole:.6g}")}


def _describe_differences(options: TrainOptions) -> list[str]:
    """How the run differs from one by this project's own trainer, as sentences."""
    sentences = ["What LLaMA-Factory does differently:"]
    rates, whole = options.rates, _full_rate(options)
    if whole and whole != rates.lora:
        sentences.append(
            f"- It has no learning rate for the vision encoder. The nearest is its LoRA+: LoRA's B matrices, "
            f"biases and norms take {rates.lora:g}; LoRA's A matrices and the rest of the vision encoder "
            f"and projector take {whole:g} (https://github.com/hiyouga/LLaMA-Factory/issues/5996)."
        )
    if rates.vision and rates.projector and rates.vision != rates.projector:
        sentences.append(f"- The projector takes the vision encoder's rate, not {rates.projector:g}.")
    sentences.append("- A row longer than cutoff_len is truncated, not left out.")
    return [*sentences, *(f"- {sentence}" for sentence in describe_ignored(options))]


def _format_scalar(value: Any) -> str:
    """A value as YAML 1.1 reads it back: floats with a decimal point, strings quoted where needed."""
    import yaml

    if isinstance(value, float):
        text = repr(value)
        return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
