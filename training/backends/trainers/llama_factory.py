"""A run's options as a script for LLaMA-Factory 0.9.5: its YAML file, written in place, and the command.

Arguments: https://github.com/hiyouga/LLaMA-Factory, src/llamafactory/hparams. `additional_target` becomes
PEFT's `modules_to_save`: so vision encoder and projector train whole beside LoRA.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from schemas.errors import InputError
from training.backends.families import FAMILIES, Family, family_of, named_model
from training.backends.shell import (
    command,
    comment,
    environment,
    export_command,
    export_folder,
    not_carried,
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
"""It calls torchrun by its name, so the environment's must come first."""
ATTENTION = {"sdpa": "sdpa", "eager": "disabled", "flash_attention_2": "fa2"}
"""`model.attention` as LLaMA-Factory's `flash_attn` (llamafactory/extras/constants.py)."""


def script(options: TrainOptions, config: Path) -> str:
    """A POSIX shell script that exports the rows, writes the YAML file and trains.

    Raises InputError for a model or a choice of parts that LLaMA-Factory can't train.
    """
    if len(str(options.out).split()) != 1:
        raise InputError(f"LLaMA-Factory takes paths apart at spaces; give an out without, not {options.out}")
    values = settings(options)
    file = shlex.quote(str(options.out / "llama-factory.yaml"))
    tool = f"{ENVIRONMENT}/bin/llamafactory-cli"
    merged = shlex.quote(str(options.out / "llama-factory-merged"))
    adapter = shlex.quote(values["output_dir"])
    lines = [
        *comment([f"Stage one with LLaMA-Factory, from {config}. Run it with sh in the project's folder."]),
        *comment(_differences(options)),
        "set -eu",
        "",
        "# 1. The rows, with the dataset_info.json that LLaMA-Factory looks for.",
        export_command(options),
        "",
        "# 2. LLaMA-Factory, in an environment of its own: it wants older packages than this project.",
        environment(ENVIRONMENT, "llamafactory-cli", [PACKAGE, *COMMON]),
        "",
        "# 3. Its settings.",
        f"cat > {file} <<'END'",
        *(f"{name}: {_scalar(value)}" for name, value in values.items()),
        "END",
        "",
        "# 4. Training. GPUS=4 trains on four.",
        *command(_VARIABLES, [tool, "train"], {}),
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
    """LLaMA-Factory's arguments of a run. Raises InputError for what it can't train."""
    run, data, lora = options.run, options.data, options.lora
    family, model = FAMILIES[family_of(options)], named_model(options)
    if family.llama_template is None:
        raise InputError(f"LLaMA-Factory doesn't train {model}; give --backend ms-swift")
    whole = _whole_modules(options, family)
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


def _whole_modules(options: TrainOptions, family: Family) -> tuple[str, ...]:
    """Names of the modules that train whole, as PEFT's `modules_to_save` takes them."""
    vision, projector = options.rates.vision > 0, options.rates.projector > 0
    if vision and not projector and family.projector_inside:
        raise InputError("LLaMA-Factory can't freeze a projector inside a trained vision encoder; set rates")
    if vision and not family.llama_vision:
        raise InputError(
            "LLaMA-Factory can't train this model's vision encoder whole; give --backend ms-swift"
        )
    parts: tuple[str, ...] = (family.vision,) if vision else ()
    if projector and not (vision and family.projector_inside):
        parts += family.projectors
    return parts


def _rate_of_whole(options: TrainOptions) -> float:
    """The rate of what trains whole: the vision encoder's where it trains, else the projector's, or 0."""
    return options.rates.vision or options.rates.projector


def _learning_rate(options: TrainOptions) -> dict[str, float]:
    """One rate, and LoRA+ for LoRA's B matrices where their rate is another."""
    whole, lora = _rate_of_whole(options), options.rates.lora
    if not whole or whole == lora:
        return {"learning_rate": lora}
    return {"learning_rate": whole, "loraplus_lr_ratio": float(f"{lora / whole:.6g}")}


def _differences(options: TrainOptions) -> list[str]:
    """What the run does otherwise than this project's own trainer, as sentences."""
    said = ["What LLaMA-Factory does otherwise:"]
    rates, whole = options.rates, _rate_of_whole(options)
    if whole and whole != rates.lora:
        said.append(
            f"- It has no learning rate for the vision encoder. Its LoRA+ comes nearest: LoRA's B matrices, "
            f"biases and norms take {rates.lora:g}; LoRA's A matrices and the rest of vision encoder and "
            f"projector take {whole:g} (https://github.com/hiyouga/LLaMA-Factory/issues/5996)."
        )
    if rates.vision and rates.projector and rates.vision != rates.projector:
        said.append(f"- The projector takes the vision encoder's rate, not {rates.projector:g}.")
    said.append("- A row longer than cutoff_len is cut, not left out.")
    return [*said, *(f"- {sentence}" for sentence in not_carried(options))]


def _scalar(value: Any) -> str:
    """A value as YAML 1.1 reads it back: floats with a point, words in quotes when needed."""
    import yaml

    if isinstance(value, float):
        text = repr(value)
        return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
