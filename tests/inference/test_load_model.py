"""Models load by folder and as adapters, or say in one line why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from inference.generate import Sampling, generate_answers
from inference.load_model import load_model
from schemas.errors import InputError
from tests.inference.small import folder_of, pictures, tiny

FAMILY = "qwen2.5-vl"
COLUMNS = np.arange(1000, 1020)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder as stage one saves it, LoRA and vision encoder moved by noise, and the model it is of."""
    out = tmp_path_factory.mktemp("run") / "adapter"
    torch.manual_seed(3)
    base = load_model(folder_of(FAMILY)).model
    config = LoraConfig(
        r=2, target_modules=r"^model\.language_model\..*\.(q_proj|up_proj)$", modules_to_save=["visual"]
    )
    model = get_peft_model(base, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(out)
    tiny(FAMILY).processor.save_pretrained(out)
    record = {"base": str(folder_of(FAMILY)), "revision": None, "options": {}}
    (out / "training.json").write_text(json.dumps(record))
    return out, model.eval()


def test_an_adapter_answers_as_the_model_it_was_saved_of(adapter: tuple[Path, Any]) -> None:
    folder, trained = adapter
    loaded = load_model(folder)
    assert not [name for name, _ in loaded.model.named_parameters() if "lora" in name or "modules" in name]
    arguments = (loaded.processor, pictures(1), ["Where?"], COLUMNS, Sampling(6))
    mine = generate_answers(loaded.model, *arguments)[0]
    theirs = generate_answers(trained.get_base_model(), *arguments)[0]
    np.testing.assert_array_equal(mine.ids, theirs.ids)
    np.testing.assert_allclose(mine.logits, theirs.logits, rtol=0, atol=1e-5)
    plain = generate_answers(tiny(FAMILY).model, *arguments)[0]
    assert np.abs(plain.logits[0] - mine.logits[0]).max() > 1e-3


def test_an_adapter_of_peft_alone_names_its_base_itself(adapter: tuple[Path, Any], tmp_path: Path) -> None:
    folder = shutil.copytree(adapter[0], tmp_path / "adapter")
    (folder / "training.json").unlink()
    told = json.loads((folder / "adapter_config.json").read_text())
    told["base_model_name_or_path"] = str(folder_of(FAMILY))
    (folder / "adapter_config.json").write_text(json.dumps(told))
    assert load_model(folder).name == str(folder)


def broken(folder: Path, how: str) -> None:
    """Damage a copy of an adapter."""
    weights = folder / "adapter_model.safetensors"
    if how == "no weights":
        weights.rename(folder / "adapter_model.bin")
    elif how == "cut off":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif how == "other shapes":
        save_file({name: torch.zeros(3) for name in load_file(weights)}, weights)
    elif how == "a layer less":
        kept = {name: value for name, value in load_file(weights).items() if "layers.1" not in name}
        save_file(kept, weights)
    elif how == "no base":
        (folder / "training.json").write_text("{}")
    elif how == "no JSON":
        (folder / "training.json").write_text("\x00")
    elif how == "a base that isn't there":
        (folder / "training.json").write_text(json.dumps({"base": str(folder / "gone")}))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no weights", "adapter_model.safetensors"),
        ("cut off", "doesn't fit"),
        ("other shapes", "doesn't fit"),
        ("a layer less", "doesn't fit"),
        ("no base", "base model"),
        ("no JSON", "base model"),
        ("a base that isn't there", "can't be loaded"),
    ],
)
def test_a_broken_adapter_is_one_line(
    adapter: tuple[Path, Any], tmp_path: Path, how: str, words: str
) -> None:
    folder = shutil.copytree(adapter[0], tmp_path / "adapter")
    broken(folder, how)
    with pytest.raises(InputError, match=words) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    folder = shutil.copytree(folder_of(FAMILY), tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="can't be loaded"):
        load_model(folder)


def test_code_that_comes_with_a_model_does_not_run(tmp_path: Path) -> None:
    folder = shutil.copytree(folder_of(FAMILY), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "strange",
        "auto_map": {"AutoConfig": "evil.C", "AutoModelForImageTextToText": "evil.M"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('')\n")
    with pytest.raises(InputError):
        load_model(folder)
    assert not (tmp_path / "ran").exists()


def test_missing_weights_are_not_made_up(tmp_path: Path) -> None:
    folder = shutil.copytree(folder_of(FAMILY), tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if "layers.1" in name and "q_proj.weight" in name)
    save_file({name: value for name, value in weights.items() if name != gone}, folder / "model.safetensors")
    with pytest.raises(InputError, match="1 weights are missing from its files"):
        load_model(folder)


def test_a_model_without_template_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(folder_of(FAMILY), tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="chat template"):
        load_model(folder)


def test_a_name_that_is_nothing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="can't be loaded") as caught:
        load_model(tmp_path / "nothing")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="device"):
        load_model(folder_of(FAMILY), device="toaster")


def test_a_model_is_ready_to_answer() -> None:
    loaded = tiny("internvl")
    assert loaded.processor.tokenizer.padding_side == "left"
    assert not loaded.model.training
    assert loaded.model.dtype == torch.float32
    assert load_model(folder_of("internvl"), dtype="bfloat16").model.dtype == torch.bfloat16
