"""The DeepSpeed and accelerate files load in accelerate and fit a run; dtypes and saving."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils.deepspeed import HfDeepSpeedConfig
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from schemas.errors import InputError
from schemas.model_files import load_processor
from tests.training.sft.small import dataset, settings, written
from training.sft import fine_tune, groups, saving
from training.sft.deepspeed import GATHER, check_settings
from training.sft.tiny import save_tiny
from training.sft.train_config import LoraOptions, RatesConfig, load_options

ROOT = Path(__file__).parents[3]
FILES = {2: ROOT / "configs/train/deepspeed/zero2.json", 3: ROOT / "configs/train/deepspeed/zero3.json"}
FILLED = {
    "bf16.enabled", "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps",
    "gradient_clipping", "zero_optimization.reduce_bucket_size",
    "zero_optimization.stage3_prefetch_bucket_size", "zero_optimization.stage3_param_persistence_threshold",
}  # fmt: skip
"""Keys whose "auto" transformers' HfTrainerDeepSpeedConfig fills in (integrations/deepspeed.py)."""


def autos(values: dict[str, Any], above: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in values.items():
        if isinstance(value, dict):
            found |= autos(value, f"{above}{name}.")
        elif value == "auto":
            found.add(above + name)
    return found


@pytest.mark.parametrize("stage", [2, 3])
def test_the_files_for_deepspeed(stage: int) -> None:
    loaded = HfDeepSpeedConfig(str(FILES[stage]))
    assert (loaded.is_zero2(), loaded.is_zero3(), loaded.is_offload()) == (stage == 2, stage == 3, False)
    values = json.loads(FILES[stage].read_text())
    assert autos(values) <= FILLED
    assert autos(values) >= {"bf16.enabled", "train_batch_size", "gradient_accumulation_steps"}
    check_settings(values, FILES[stage])


@pytest.mark.parametrize("name", ["ddp", "zero2", "zero3"])
def test_the_files_for_accelerate(name: str) -> None:
    loaded = load_config_from_file(str(ROOT / "configs/train/accelerate" / f"{name}.yaml"))
    assert loaded.num_processes > 1
    if name == "ddp":
        assert (loaded.distributed_type, loaded.mixed_precision) == ("MULTI_GPU", "bf16")
        return
    assert loaded.distributed_type == "DEEPSPEED"
    assert ROOT / loaded.deepspeed_config["deepspeed_config_file"] == FILES[int(name[-1])]
    assert loaded.deepspeed_config["zero3_init_flag"] == (name == "zero3")


def test_settings_that_would_lose_rates_or_weights_are_refused() -> None:
    with pytest.raises(InputError, match="'optimizer' would replace"):
        check_settings({"optimizer": {}}, "x.json")
    with pytest.raises(InputError, match=GATHER):
        check_settings({"zero_optimization": {"stage": 3}}, "x.json")


@pytest.mark.parametrize(
    ("text", "device", "message"),
    [
        (None, "auto", "can't be read"),
        ("{", "auto", "can't be read"),
        ("[]", "auto", "must be a JSON object"),
        ('{"scheduler": {}}', "auto", "'scheduler' would replace"),
        ("{}", "cpu", "leave run.deepspeed out"),
        ("{}", "auto", "pip install 'deepspeed"),
    ],
)
def test_a_run_checks_deepspeed_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, device: str, message: str
) -> None:
    monkeypatch.setattr("training.sft.deepspeed.find_spec", lambda _: None)
    file = tmp_path / "ds.json"
    if text is not None:
        file.write_text(text)
    values = settings(tmp_path / "out", dataset(tmp_path / "data"), "internvl", deepspeed=str(file))
    values["run"]["device"] = device
    with pytest.raises(InputError, match=message):
        fine_tune.train(load_options(written(tmp_path, values)))
    assert not (tmp_path / "out" / "run.json").exists()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny("qwen2.5-vl", folder)
    return folder


def test_trained_weights_are_float32_or_the_models(tiny: Path) -> None:
    for float32, wanted in ((True, torch.float32), (False, torch.bfloat16)):
        base = AutoModelForImageTextToText.from_pretrained(tiny, dtype="bfloat16")
        model = groups.add_adapters(base, LoraOptions(rank=2, alpha=4), RatesConfig(), float32)
        dtypes = {value.requires_grad: value.dtype for value in model.parameters()}
        assert dtypes == {True: wanted, False: torch.bfloat16}


def test_weights_gathered_from_processes_are_what_is_saved(tiny: Path, tmp_path: Path) -> None:
    base = AutoModelForImageTextToText.from_pretrained(tiny, dtype="float32")
    model = groups.add_adapters(base, LoraOptions(rank=2, alpha=4), RatesConfig())
    gathered = {name: value.detach().clone() for name, value in model.state_dict().items()}
    trained = [value.numel() for value in model.parameters() if value.requires_grad]
    for part in model.parameters():
        part.data = torch.empty(0)
    processor = load_processor(str(tiny), None)
    saved = load_file(
        saving.save_trained(model, processor, tmp_path, {}, gathered) / "adapter_model.safetensors"
    )
    assert sorted(value.numel() for value in saved.values()) == sorted(trained)
    layer = "base_model.model.model.language_model.layers.0.mlp.up_proj.lora_A"
    assert torch.equal(saved[f"{layer}.weight"], gathered[f"{layer}.default.weight"])
