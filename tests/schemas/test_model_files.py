"""Every loader loads complete models, only from safetensors, or says in one line why it can't."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from annotation.regions.region_models import load_model as load_region_model
from annotation.regions.region_models import place
from inference.load_model import load_model
from schemas.errors import InputError
from schemas.model_files import load_pretrained, load_processor, load_vision_language_model, summarize_error
from schemas.regions_config import DeviceConfig, ModelConfig
from tests.annotation.regions.tiny_labellers import save_closed
from training.sft.saving import load_base
from training.sft.tiny import save_tiny
from training.sft.train_config import BaseConfig


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "internvl"
    save_tiny("internvl", folder, ranks=2000)
    return folder


@pytest.fixture(scope="module")
def region_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_closed(tmp_path_factory.mktemp("model") / "segformer", "segformer")


def load_for_regions(folder: Path) -> Any:
    import transformers

    auto = transformers.SegformerForSemanticSegmentation
    where = place(DeviceConfig(device="cpu", dtype="float32"))
    return load_region_model(auto, ModelConfig(name=str(folder)), "labeller", "regions.vote.model", where)


def load_for_training(folder: Path) -> Any:
    return load_base(BaseConfig(name=str(folder)), str(folder), "float32")


PLACES = {"annotation": load_for_regions, "inference": load_model, "training": load_for_training}
Load = Callable[[Path], Any]


@pytest.fixture(params=PLACES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Load, Path]:
    """How a package loads its model, and a copy of such a model to damage."""
    kind = "region_model" if request.param == "annotation" else "chat_model"
    return PLACES[request.param], shutil.copytree(request.getfixturevalue(kind), tmp_path / "copy")


def load_error(load: Load, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(folder)
    line = str(caught.value)
    assert "\n" not in line
    assert str(folder) in line
    return line


def test_a_whole_model_loads(where: tuple[Load, Path]) -> None:
    load, folder = where
    assert load(folder) is not None


def test_pickled_weights_are_refused(where: tuple[Load, Path]) -> None:
    load, folder = where
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    assert "no file named model.safetensors" in load_error(load, folder)


def test_damaged_files_are_refused(where: tuple[Load, Path]) -> None:
    load, folder = where
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "can't be loaded" in load_error(load, folder)
    for text in ("", "{", "[]", '{"model_type": 3}', '{"model_type": "nothing-known"}', "\x00"):
        (folder / "config.json").write_text(text)
        assert "can't be loaded" in load_error(load, folder)


def test_code_of_a_model_does_not_run(where: tuple[Load, Path]) -> None:
    load, folder = where
    config = json.loads((folder / "config.json").read_text())
    classes = ("AutoConfig", "AutoModelForImageTextToText", "AutoModelForSemanticSegmentation")
    config |= {"model_type": "own", "auto_map": dict.fromkeys(classes, "own.Own")}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()")
    if load is not load_for_regions:  # its class is chosen here, whatever the file names
        assert "it needs its own code, which is never run" in load_error(load, folder)
    else:
        load(folder)
    assert not (folder / "ran").exists()


def test_a_missing_model_says_what_to_do(
    where: tuple[Load, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    load, _ = where
    assert "no such folder; give a model's folder" in load_error(load, tmp_path / "nothing")
    line = load_error(load, Path("no/such-model"))
    assert "download it with `hf download no/such-model` or give a folder" in line


def test_the_hub_is_asked_for_the_revision_and_a_folder_is_not(tmp_path: Path) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []

    def load_from(name: str, **options: Any) -> str:
        calls.append((name, options))
        if options.get("local_files_only"):
            raise OSError("not in the cache")
        return name

    assert load_pretrained(load_from, "org/name", "v1", "the model") == "org/name"
    assert load_pretrained(load_from, "org/name", "v1", "the model", cache_first=True) == "org/name"
    with pytest.raises(InputError):
        load_pretrained(load_from, str(tmp_path), "v1", "the model")
    of_hub: dict[str, Any] = {"trust_remote_code": False, "revision": "v1"}
    assert calls == [
        ("org/name", of_hub),
        ("org/name", {**of_hub, "local_files_only": True}),
        ("org/name", of_hub),
        (str(tmp_path), {"trust_remote_code": False, "local_files_only": True}),
    ]


def test_a_model_of_another_kind_is_refused(region_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the model '.*' can't be loaded"):
        load_vision_language_model(str(region_model), None)
    with pytest.raises(InputError, match=r"the processor of '.*' can't be loaded"):
        load_processor(str(tmp_path), None)


def test_a_reason_is_one_short_line() -> None:
    assert summarize_error(OSError("first\nsecond")) == "first"
    assert summarize_error(KeyError()) == "KeyError"
    assert summarize_error(KeyError("a")) == "'a' is missing"
    assert len(summarize_error(ValueError("word " * 1000))) == 300
