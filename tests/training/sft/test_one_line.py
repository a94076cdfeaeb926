"""What a run refuses, in one line that names the file or value and what to do."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from flows.cli import main
from inference.load_model import load_model
from schemas.errors import BuildError, InputError
from schemas.model_files import ADAPTER_WEIGHTS, load_processor
from tests.training.sft.small import DIALOGUES, dataset, entries, entry, settings, written
from training.sft import fine_tune, groups, saving
from training.sft.train_config import BaseConfig, load_options

Base = Callable[[str], str]
ErrorLine = Callable[..., str]


@pytest.fixture
def error_line(tmp_path: Path, base: Base, capsys: pytest.CaptureFixture[str]) -> ErrorLine:
    """Returns the last line that `train` prints with changed settings; asserts the exit code."""

    def line(data: Path, code: int = 2, *more: str, **changes: Any) -> str:
        values = settings(tmp_path / "out", data, changes.pop("model", None) or base("internvl"))
        for place, change in changes.items():
            part = values
            *inside, name = place.split("__")
            for key in inside:
                part = part[key]
            part[name] = change
        capsys.readouterr()
        assert main(["train", str(written(tmp_path, values)), *more]) == code
        err = capsys.readouterr().err
        assert "Traceback" not in err
        return err.splitlines()[-1].rsplit("\r", 1)[-1]

    return line


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_cannot_be_decoded(error_line: ErrorLine, tmp_path: Path, workers: int) -> None:
    rows = entries(8)
    rows[2] = (rows[2][0], [rows[2][1][0][:60]])
    error = error_line(dataset(tmp_path / "data", rows), run__steps=8, data__workers=workers)
    assert "can't be decoded" in error
    assert str(tmp_path / "data") in error
    assert "iqa-spider verify" in error


def test_a_picture_above_the_pixel_limit(error_line: ErrorLine, tmp_path: Path) -> None:
    """It claims 40,000 x 40,000 pixels: refused by its header, before decoding."""
    rows = entries(8)
    picture = rows[2][1][0]
    rows[2] = (rows[2][0], [picture[:16] + struct.pack(">II", 40_000, 40_000) + picture[24:]])
    error = error_line(dataset(tmp_path / "data", rows), run__steps=8)
    assert "too-many-pixels: a stored picture claims 40000 x 40000 pixels" in error


def test_bfloat16_without_a_gpu_for_it(
    error_line: ErrorLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.utils.import_utils.is_torch_bf16_gpu_available", lambda: False)
    error = error_line(dataset(tmp_path / "data"), run__device="auto", model__dtype="bfloat16")
    assert error.endswith("set run.device: cpu (slow), or model.dtype: float32")
    assert "no GPU" in error


def test_a_truncated_shard(error_line: ErrorLine, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data")
    shard = min((data / "data").iterdir())
    shard.write_bytes(shard.read_bytes()[:-100])
    error = error_line(data)
    assert error.startswith(f"{shard}: can't be read: ") or f" {shard}: can't be read: " in error


def test_a_shard_damaged_in_its_pages(error_line: ErrorLine, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data")
    for shard in (data / "data").iterdir():
        found = bytearray(shard.read_bytes())
        found[4 : len(found) // 2] = bytes(len(found) // 2 - 4)
        shard.write_bytes(found)
    assert "can't be read" in error_line(data)


def test_a_dataset_that_is_not_there(error_line: ErrorLine, tmp_path: Path) -> None:
    assert "not a dataset (no manifest.json)" in error_line(tmp_path / "nothing")


def test_a_split_that_is_not_there(error_line: ErrorLine, tmp_path: Path) -> None:
    error = error_line(dataset(tmp_path / "data"), data__eval_split="test")
    assert "no rows in the split 'test'; it has train" in error


def test_an_evaluation_split_of_which_no_row_fits(error_line: ErrorLine, tmp_path: Path) -> None:
    unfit = [entry(n, [("user", "Read <|im_end|>"), ("assistant", "No.")]) for n in range(2)]
    error = error_line(dataset(tmp_path / "data", None, unfit), data__eval_split="test")
    assert "no row of the split 'test' fits: 2 special-token; set data.eval_split" in error


def test_a_source_that_is_not_there(error_line: ErrorLine, tmp_path: Path) -> None:
    assert "no row has the source 'q-instruct'" in error_line(
        dataset(tmp_path / "data"), data__sources=["q-instruct"]
    )


def test_unknown_layers(error_line: ErrorLine, tmp_path: Path, base: Base) -> None:
    data, model = dataset(tmp_path / "data"), base("qwen2.5-vl")
    error = error_line(data, model=model, lora__layers=["q_proj", "k_porj"])
    assert "lora.layers: the language model has no linear layer 'k_porj'; did you mean 'k_proj'?" in error
    assert "no linear layer 'qkv'" in error_line(data, model=model, lora__layers=["qkv"])


def test_unknown_keys(error_line: ErrorLine, tmp_path: Path) -> None:
    assert "unknown key 'rates.vison'; did you mean 'vision'" in error_line(tmp_path, rates__vison=1e-5)


def test_no_row_that_fits(error_line: ErrorLine, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", [entry(n, DIALOGUES[0]) for n in range(4)])
    error = error_line(data, run__max_tokens=5)
    assert "no row of reader 0 can be trained on: 4 too-long, the last: too-long: row-00" in error


def test_a_loss_that_is_not_finite_ends_the_run(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and no checkpoint holds it."""
    adapted = groups.add_adapters

    def broken(*given: Any, **named: Any) -> Any:
        model = adapted(*given, **named)
        next(value for name, value in model.named_parameters() if "lora_A" in name).data.fill_(float("nan"))
        return model

    monkeypatch.setattr(groups, "add_adapters", broken)
    values = settings(tmp_path / "out", dataset(tmp_path / "data"), base("internvl"), save_every=1)
    with pytest.raises(BuildError, match=r"the loss of step 1 is nan; lower the rates"):
        fine_tune.train(load_options(written(tmp_path, values)))
    assert not list((tmp_path / "out").glob("checkpoints/checkpoint-*"))


def test_weights_that_are_not_finite_are_not_saved(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.sft.trainer import StageOne

    step = StageOne.training_step

    def broken(self: StageOne, model: Any, *given: Any, **named: Any) -> Any:
        loss = step(self, model, *given, **named)
        next(value for value in model.parameters() if value.requires_grad).grad.fill_(float("nan"))
        return loss

    monkeypatch.setattr(StageOne, "training_step", broken)
    data = dataset(tmp_path / "data")
    values = settings(tmp_path / "out", data, base("internvl"), steps=1, save_every=1)
    with pytest.raises(BuildError, match="isn't finite after step 1"):
        fine_tune.train(load_options(written(tmp_path, values)))
    assert not (tmp_path / "out" / "adapter").exists()


def other_base(base: str, folder: Path, change: Callable[[dict[str, torch.Tensor], Path], None]) -> str:
    """A copy of a base, with weights written by `change`."""
    folder.mkdir()
    for path in Path(base).iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    change(load_file(Path(base) / "model.safetensors"), folder)
    return str(folder)


def save_pickle(weights: dict[str, torch.Tensor], folder: Path) -> None:
    torch.save(weights, folder / "pytorch_model.bin")


def save_truncated(weights: dict[str, torch.Tensor], folder: Path) -> None:
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def save_without_one(weights: dict[str, torch.Tensor], folder: Path) -> None:
    name = next(name for name in weights if "q_proj" in name)
    save_file({n: v for n, v in weights.items() if n != name}, folder / "model.safetensors", {"format": "pt"})


def save_other_size(weights: dict[str, torch.Tensor], folder: Path) -> None:
    name = next(name for name in weights if "q_proj" in name)
    save_file({**weights, name: torch.zeros(3, 3)}, folder / "model.safetensors", {"format": "pt"})


def save_own_code(weights: dict[str, torch.Tensor], folder: Path) -> None:
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    named = {"AutoConfig": "own.Config", "AutoModelForImageTextToText": "own.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": named}))
    (folder / "own.py").write_text("raise SystemExit('this ran')")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (save_pickle, "no file named model.safetensors"),
        (save_truncated, "can't be loaded"),
        (save_without_one, "1 weights are missing from its files"),
        (save_other_size, "can't be loaded"),
        (save_own_code, "is not of a supported family"),
    ],
)
def test_a_base_that_is_incomplete_or_unsafe(
    error_line: ErrorLine, base: Base, tmp_path: Path, change: Any, words: str
) -> None:
    model = other_base(base("internvl"), tmp_path / "model", change)
    error = error_line(dataset(tmp_path / "data"), model=model)
    assert words in error
    assert model in error


def test_code_of_a_base_is_never_run(base: Base, tmp_path: Path) -> None:
    """Loading it would end the process."""
    model = other_base(base("internvl"), tmp_path / "model", save_own_code)
    for load in (
        lambda: saving.load_base(BaseConfig(name=model), model, "float32"),
        lambda: saving.empty_base(BaseConfig(name=model), model),
    ):
        with pytest.raises(InputError, match="it needs its own code, which is never run"):
            load()
    load_processor(model, None)


def test_a_base_that_is_not_there(error_line: ErrorLine, tmp_path: Path) -> None:
    error = error_line(dataset(tmp_path / "data"), model=str(tmp_path / "nothing"))
    assert f"the processor of '{tmp_path / 'nothing'}' can't be loaded" in error


def test_a_merge_of_nothing(error_line: ErrorLine, tmp_path: Path) -> None:
    error = error_line(tmp_path, 2, "--merge", str(tmp_path / "merged"))
    assert "no trained model is saved here; train one with `iqa-spider train`" in error
    assert not (tmp_path / "merged").exists()


@pytest.fixture
def trained(base: Base, tmp_path: Path) -> Path:
    """The folder of an adapter of one step; `tmp_path / "out"` is its run."""
    values = settings(tmp_path / "out", dataset(tmp_path / "data"), base("internvl"), steps=1)
    return fine_tune.train(load_options(written(tmp_path, values))).adapter


def test_a_merge_of_an_adapter_without_weights(error_line: ErrorLine, trained: Path, tmp_path: Path) -> None:
    weights = trained / ADAPTER_WEIGHTS
    torch.save(load_file(weights), weights.with_name("adapter_model.bin"))
    weights.write_bytes(weights.read_bytes()[:-1000])
    merge = ("--merge", str(tmp_path / "merged"))
    assert f"{trained}: the adapter can't be loaded" in error_line(tmp_path, 2, *merge)
    weights.unlink()
    assert f"{weights}: not found" in error_line(tmp_path, 2, *merge)


@pytest.mark.parametrize("part", ["lora_A", "lora_B", "vision_tower", "multi_modal_projector"])
def test_an_adapter_with_a_missing_key_is_neither_merged_nor_loaded(
    error_line: ErrorLine, trained: Path, tmp_path: Path, part: str
) -> None:
    """PEFT alone only warns and leaves the layer as initialized."""
    weights = load_file(trained / ADAPTER_WEIGHTS)
    missing = next(name for name in weights if part in name)
    save_file({name: value for name, value in weights.items() if name != missing}, trained / ADAPTER_WEIGHTS)
    line = error_line(tmp_path, 2, "--merge", str(tmp_path / "merged"))
    assert f"{trained}: the adapter can't be loaded or doesn't fit its base" in line
    assert "missing" in line
    assert not (tmp_path / "merged").exists()
    with pytest.raises(InputError) as caught:
        load_model(trained)
    assert line.endswith(str(caught.value))
