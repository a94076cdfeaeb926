"""What a run refuses, in one line that names the file or value and says what to do."""

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
Told = Callable[..., str]


@pytest.fixture
def told(tmp_path: Path, base: Base, capsys: pytest.CaptureFixture[str]) -> Told:
    """The last line of `train` on settings that were changed, which ends with the code given."""

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
def test_a_picture_that_cannot_be_decoded(told: Told, tmp_path: Path, workers: int) -> None:
    rows = entries(8)
    rows[2] = (rows[2][0], [rows[2][1][0][:60]])
    said = told(dataset(tmp_path / "data", rows), run__steps=8, data__workers=workers)
    assert "can't be decoded" in said
    assert str(tmp_path / "data") in said
    assert "iqa-spider verify" in said


def test_a_picture_above_the_pixel_limit(told: Told, tmp_path: Path) -> None:
    """It claims 40,000 x 40,000 pixels: refused by its header, before any of them is made."""
    rows = entries(8)
    picture = rows[2][1][0]
    rows[2] = (rows[2][0], [picture[:16] + struct.pack(">II", 40_000, 40_000) + picture[24:]])
    said = told(dataset(tmp_path / "data", rows), run__steps=8)
    assert "too-many-pixels: a stored picture claims 40000 x 40000 pixels" in said


def test_bfloat16_without_a_gpu_for_it(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.utils.import_utils.is_torch_bf16_gpu_available", lambda: False)
    said = told(dataset(tmp_path / "data"), run__device="auto", model__dtype="bfloat16")
    assert said.endswith("set run.device: cpu (slow), or model.dtype: float32")
    assert "no GPU" in said


def test_a_shard_cut_short(told: Told, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data")
    shard = min((data / "data").iterdir())
    shard.write_bytes(shard.read_bytes()[:-100])
    said = told(data)
    assert said.startswith(f"{shard}: can't be read: ") or f" {shard}: can't be read: " in said


def test_a_shard_damaged_in_its_pages(told: Told, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data")
    for shard in (data / "data").iterdir():
        found = bytearray(shard.read_bytes())
        found[4 : len(found) // 2] = bytes(len(found) // 2 - 4)
        shard.write_bytes(found)
    assert "can't be read" in told(data)


def test_a_dataset_that_is_not_there(told: Told, tmp_path: Path) -> None:
    assert "not a dataset (no manifest.json)" in told(tmp_path / "nothing")


def test_a_split_that_is_not_there(told: Told, tmp_path: Path) -> None:
    said = told(dataset(tmp_path / "data"), data__eval_split="test")
    assert "no rows in the split 'test'; it has train" in said


def test_an_evaluation_split_of_which_no_row_fits(told: Told, tmp_path: Path) -> None:
    unfit = [entry(n, [("user", "Read <|im_end|>"), ("assistant", "No.")]) for n in range(2)]
    said = told(dataset(tmp_path / "data", None, unfit), data__eval_split="test")
    assert "no row of the split 'test' fits: 2 special-token; set data.eval_split" in said


def test_a_source_that_is_not_there(told: Told, tmp_path: Path) -> None:
    assert "no row has the source 'q-instruct'" in told(
        dataset(tmp_path / "data"), data__sources=["q-instruct"]
    )


def test_unknown_layers(told: Told, tmp_path: Path, base: Base) -> None:
    data, model = dataset(tmp_path / "data"), base("qwen2.5-vl")
    said = told(data, model=model, lora__layers=["q_proj", "k_porj"])
    assert "lora.layers: the language model has no linear layer 'k_porj'; did you mean 'k_proj'?" in said
    assert "no linear layer 'qkv'" in told(data, model=model, lora__layers=["qkv"])


def test_unknown_keys(told: Told, tmp_path: Path) -> None:
    assert "unknown key 'rates.vison'; did you mean 'vision'" in told(tmp_path, rates__vison=1e-5)


def test_no_row_that_fits(told: Told, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", [entry(n, DIALOGUES[0]) for n in range(4)])
    said = told(data, run__max_tokens=5)
    assert "no row of reader 0 can be trained on: 4 too-long, the last: too-long: row-00" in said


def test_a_loss_that_is_no_number_ends_the_run(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and no checkpoint holds it."""
    adapted = groups.adapted

    def broken(*given: Any, **named: Any) -> Any:
        model = adapted(*given, **named)
        next(value for name, value in model.named_parameters() if "lora_A" in name).data.fill_(float("nan"))
        return model

    monkeypatch.setattr(groups, "adapted", broken)
    values = settings(tmp_path / "out", dataset(tmp_path / "data"), base("internvl"), save_every=1)
    with pytest.raises(BuildError, match=r"the loss of step 1 is nan; lower the rates"):
        fine_tune.train(load_options(written(tmp_path, values)))
    assert not list((tmp_path / "out").glob("checkpoints/checkpoint-*"))


def test_weights_that_are_no_numbers_are_not_saved(
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
    """A copy of a base whose weights `change` writes."""
    folder.mkdir()
    for path in Path(base).iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    change(load_file(Path(base) / "model.safetensors"), folder)
    return str(folder)


def pickled(weights: dict[str, torch.Tensor], folder: Path) -> None:
    torch.save(weights, folder / "pytorch_model.bin")


def cut_short(weights: dict[str, torch.Tensor], folder: Path) -> None:
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def without_one(weights: dict[str, torch.Tensor], folder: Path) -> None:
    name = next(name for name in weights if "q_proj" in name)
    save_file({n: v for n, v in weights.items() if n != name}, folder / "model.safetensors", {"format": "pt"})


def of_another_size(weights: dict[str, torch.Tensor], folder: Path) -> None:
    name = next(name for name in weights if "q_proj" in name)
    save_file({**weights, name: torch.zeros(3, 3)}, folder / "model.safetensors", {"format": "pt"})


def with_own_code(weights: dict[str, torch.Tensor], folder: Path) -> None:
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    named = {"AutoConfig": "own.Config", "AutoModelForImageTextToText": "own.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own", "auto_map": named}))
    (folder / "own.py").write_text("raise SystemExit('this ran')")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (pickled, "no file named model.safetensors"),
        (cut_short, "can't be loaded"),
        (without_one, "1 weights are missing from its files"),
        (of_another_size, "can't be loaded"),
        (with_own_code, "isn't of a family known here"),
    ],
)
def test_a_base_that_is_not_whole_or_not_safe(
    told: Told, base: Base, tmp_path: Path, change: Any, words: str
) -> None:
    model = other_base(base("internvl"), tmp_path / "model", change)
    said = told(dataset(tmp_path / "data"), model=model)
    assert words in said
    assert model in said


def test_code_of_a_base_is_never_run(base: Base, tmp_path: Path) -> None:
    """Loading it would end the process."""
    model = other_base(base("internvl"), tmp_path / "model", with_own_code)
    for load in (
        lambda: saving.load_base(BaseConfig(name=model), model, "float32"),
        lambda: saving.empty_base(BaseConfig(name=model), model),
    ):
        with pytest.raises(InputError, match="it needs its own code, which is never run"):
            load()
    load_processor(model, None)


def test_a_base_that_is_not_there(told: Told, tmp_path: Path) -> None:
    said = told(dataset(tmp_path / "data"), model=str(tmp_path / "nothing"))
    assert f"the processor of '{tmp_path / 'nothing'}' can't be loaded" in said


def test_a_merge_of_nothing(told: Told, tmp_path: Path) -> None:
    said = told(tmp_path, 2, "--merge", str(tmp_path / "merged"))
    assert "no trained model is saved here; `iqa-spider train` makes one" in said
    assert not (tmp_path / "merged").exists()


@pytest.fixture
def trained(base: Base, tmp_path: Path) -> Path:
    """The folder of an adapter of one step; `tmp_path / "out"` is its run."""
    values = settings(tmp_path / "out", dataset(tmp_path / "data"), base("internvl"), steps=1)
    return fine_tune.train(load_options(written(tmp_path, values))).adapter


def test_a_merge_of_an_adapter_without_weights(told: Told, trained: Path, tmp_path: Path) -> None:
    weights = trained / ADAPTER_WEIGHTS
    torch.save(load_file(weights), weights.with_name("adapter_model.bin"))
    weights.write_bytes(weights.read_bytes()[:-1000])
    merge = ("--merge", str(tmp_path / "merged"))
    assert f"{trained}: the adapter can't be loaded" in told(tmp_path, 2, *merge)
    weights.unlink()
    assert f"{weights}: not found" in told(tmp_path, 2, *merge)


@pytest.mark.parametrize("part", ["lora_A", "lora_B", "vision_tower", "multi_modal_projector"])
def test_an_adapter_with_a_missing_key_is_neither_merged_nor_asked(
    told: Told, trained: Path, tmp_path: Path, part: str
) -> None:
    """PEFT alone warns and leaves the layer as it was made."""
    weights = load_file(trained / ADAPTER_WEIGHTS)
    missing = next(name for name in weights if part in name)
    save_file({name: value for name, value in weights.items() if name != missing}, trained / ADAPTER_WEIGHTS)
    line = told(tmp_path, 2, "--merge", str(tmp_path / "merged"))
    assert f"{trained}: the adapter can't be loaded or doesn't fit its base" in line
    assert "missing" in line
    assert not (tmp_path / "merged").exists()
    with pytest.raises(InputError) as caught:
        load_model(trained)
    assert line.endswith(str(caught.value))
