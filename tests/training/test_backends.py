"""The scripts printed for other trainers: valid arguments, the run's values, and valid shell syntax."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.cli import main, parse
from flows.commands.train import trainers
from schemas.errors import InputError
from training.backends.families import FAMILIES
from training.sft.train_config import TrainOptions, load_options

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path for path in (ROOT / "configs" / "train").glob("*.yaml") if path.stem != "tiny")
SWIFT_FLAGS = frozenset(
    [
        "model",
        "use_hf",
        "model_type",
        "model_revision",
        "template",
        "torch_dtype",
        "attn_impl",
        "dataset",
        "val_dataset",
        "split_dataset_ratio",
        "tuner_type",
        "lora_rank",
        "lora_alpha",
        "lora_dropout",
        "learning_rate",
        "vit_lr",
        "aligner_lr",
        "freeze_vit",
        "freeze_aligner",
        "target_modules",
        "eval_strategy",
        "eval_steps",
        "max_steps",
        "num_train_epochs",
        "max_length",
        "truncation_strategy",
        "per_device_train_batch_size",
        "per_device_eval_batch_size",
        "gradient_accumulation_steps",
        "gradient_checkpointing",
        "lr_scheduler_type",
        "warmup_ratio",
        "weight_decay",
        "max_grad_norm",
        "deepspeed",
        "use_cpu",
        "seed",
        "data_seed",
        "dataloader_num_workers",
        "logging_steps",
        "save_steps",
        "save_total_limit",
        "save_only_model",
        "add_version",
        "output_dir",
    ]
)
"""A subset of those in https://swift.readthedocs.io/en/latest/Instruction/Command-line-parameters.html."""
LLAMA_KEYS = frozenset(
    [
        "model_name_or_path",
        "model_revision",
        "image_min_pixels",
        "image_max_pixels",
        "flash_attn",
        "disable_gradient_checkpointing",
        "stage",
        "do_train",
        "finetuning_type",
        "lora_rank",
        "lora_alpha",
        "lora_dropout",
        "lora_target",
        "freeze_vision_tower",
        "freeze_multi_modal_projector",
        "additional_target",
        "dataset_dir",
        "dataset",
        "eval_dataset",
        "template",
        "cutoff_len",
        "preprocessing_num_workers",
        "output_dir",
        "logging_steps",
        "save_steps",
        "save_total_limit",
        "report_to",
        "per_device_train_batch_size",
        "per_device_eval_batch_size",
        "gradient_accumulation_steps",
        "learning_rate",
        "loraplus_lr_ratio",
        "max_steps",
        "num_train_epochs",
        "lr_scheduler_type",
        "warmup_ratio",
        "weight_decay",
        "max_grad_norm",
        "bf16",
        "seed",
        "dataloader_num_workers",
        "deepspeed",
        "eval_strategy",
        "eval_steps",
        "use_cpu",
    ]
)
"""A subset of the fields of transformers' TrainingArguments and of
https://github.com/hiyouga/LLaMA-Factory/tree/v0.9.5/src/llamafactory/hparams."""


def options(folder: Path, **changed: Any) -> TrainOptions:
    values: dict[str, Any] = {
        "name": "run",
        "out": str(folder / "out"),
        "model": {"name": "Qwen/Qwen2.5-VL-3B-Instruct"},
        "data": {"dataset": "builds/demo/latest"},
        "rates": {"lora": 1e-4, "vision": 1e-5, "projector": 2e-5},
        "run": {"steps": 7, "batch": 3},
    }
    for name, value in changed.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_options(path)


def script(backend: str, run: TrainOptions) -> str:
    text = trainers().load(backend).script(run, Path("run.yaml"))
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)
    return text


def swift_flags(text: str) -> dict[str, list[str]]:
    """The flags of `swift sft` as the shell would pass them."""
    words = shlex.split(text[text.index("swift sft") : text.index("# 4.")].replace("\\\n", " "))[2:]
    flags: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            assert word[2:] not in flags
            last = flags.setdefault(word[2:], [])
        else:
            last.append(word)
    return flags


def llama_settings(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("<<'END'\n")[1].split("\nEND\n")[0])
    return found


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_is_printed_for_ms_swift(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(path), "--backend", "ms-swift", "--print"]) == 0
    text = capsys.readouterr().out
    flags, run = swift_flags(text), load_options(path)
    assert set(flags) <= SWIFT_FLAGS
    assert all(values for values in flags.values())
    assert flags["tuner_type"] == ["lora_llm"]
    assert (flags["learning_rate"], flags["vit_lr"]) == (["0.0001"], ["1e-05"])
    assert flags["model"] == [run.model.name]
    assert flags["dataset"] == [f"{run.out}/export/train.jsonl"]
    assert ("MAX_PIXELS=" in text) == (run.pixels.max is not None)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configurations_are_printed_for_llama_factory_or_refused_with_a_reason(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["train", str(path), "--backend", "llama-factory", "--print"])
    printed = capsys.readouterr()
    if path.stem in ("phi-3.5-vision", "internvl3-8b"):
        assert status == 2
        assert "give --backend ms-swift" in printed.err
        return
    values = llama_settings(printed.out)
    assert status == 0
    assert set(values) <= LLAMA_KEYS
    assert values["additional_target"] == "visual"
    assert values["freeze_vision_tower"] is True
    assert values["learning_rate"] * values["loraplus_lr_ratio"] == pytest.approx(1e-4)
    assert values["template"] in ("qwen2_vl", "qwen3_vl_nothink")


def test_the_export_commands_parse(tmp_path: Path) -> None:
    data = {"tasks": ["grounding_hyd", "grounding_sid"], "sources": ["iqa-spider"]}
    for backend in trainers().names():
        text = script(backend, options(tmp_path, data=data))
        line = next(line for line in text.splitlines() if "iqa-spider export" in line)
        _, given = parse(shlex.split(line.split(" || ")[1])[1:])
        assert (given.task, given.source, given.format) == (data["tasks"], data["sources"], "sharegpt")


def test_odd_names_stay_one_word(tmp_path: Path) -> None:
    odd = f"{tmp_path}/a b; touch 'x' $HOME"
    flags = swift_flags(script("ms-swift", options(tmp_path, out=odd)))
    assert flags["output_dir"] == [f"{odd}/ms-swift"]
    with pytest.raises(InputError, match="at spaces"):
        script("llama-factory", options(tmp_path, out=odd))


def test_frozen_parts(tmp_path: Path) -> None:
    def swift(**rates: float) -> dict[str, list[str]]:
        return swift_flags(
            script("ms-swift", options(tmp_path, rates=rates, lora={"layers": ["q_proj", "v_proj"]}))
        )

    def llama(model: str = "Qwen/Qwen3-VL-2B-Instruct", **rates: float) -> dict[str, Any]:
        return llama_settings(script("llama-factory", options(tmp_path, rates=rates, model={"name": model})))

    none = swift(vision=0, projector=0)
    assert none["tuner_type"] == ["lora"]
    assert none["target_modules"] == ["q_proj", "v_proj"]
    assert swift(vision=0)["vit_lr"] == ["0"]
    assert "additional_target" not in llama(vision=0, projector=0)
    assert llama(vision=0, projector=0)["learning_rate"] == 1e-4
    assert llama(vision=0)["additional_target"] == "merger,deepstack_merger_list"
    assert llama(vision=0)["learning_rate"] == 2e-5
    assert llama("OpenGVLab/InternVL3-8B-hf", vision=0)["additional_target"] == "multi_modal_projector"
    with pytest.raises(InputError, match="can't freeze a projector"):
        llama(projector=0)


def test_what_is_not_carried_over_is_listed(tmp_path: Path) -> None:
    mixed = options(tmp_path, data={"mixture": {"tasks": {"grounding_hyd": 2.0}}})
    plain = options(tmp_path)
    for backend in trainers().names():
        assert "data.mixture" in script(backend, mixed)
        assert "data.mixture" not in script(backend, plain)
    assert "The projector takes the vision encoder's rate" in script("llama-factory", plain)


def test_the_family_is_read_from_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    for kind, family in FAMILIES.items():
        (folder / "config.json").write_text(f'{{"model_type": "{kind}"}}')
        flags = swift_flags(script("ms-swift", options(tmp_path, model={"name": str(folder)})))
        assert flags["model_type"] == [family.swift_type]
    (folder / "config.json").write_text("{}")
    with pytest.raises(InputError, match="has no model_type"):
        script("ms-swift", options(tmp_path, model={"name": str(folder)}))
    with pytest.raises(InputError, match="is not of a supported family"):
        script("ms-swift", options(tmp_path, model={"name": "some/llm"}))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--backend ms-swift --print` prints a script"),
        (["--check"], "isn't in transformers 5"),
        (["--backend", "ms-swift"], "add --print"),
        (["--print"], "--print needs --backend llama-factory or ms-swift"),
        (["--backend", "llama-factory", "--print"], "doesn't train microsoft/Phi-3.5-vision-instruct"),
    ],
)
def test_one_line_names_what_trains_phi(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(ROOT / "configs" / "train" / "phi-3.5-vision.yaml")
    assert main(["train", config, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
