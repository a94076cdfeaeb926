"""A run moves exactly what it is meant to, is saved and merged exactly, and goes on where it was killed."""

from __future__ import annotations

import html
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForImageTextToText

from flows.cli import main
from schemas.errors import InputError
from tests.training.sft.small import DIALOGUES, FAMILIES, dataset, entries, entry, settings, written
from training.sft import groups, run, saving
from training.sft.options import LoraOptions, RatesConfig, TrainOptions, load_options
from training.sft.rows import collated, encoded
from training.sft.tiny import save_tiny
from training.streaming import stream

ROOT = Path(__file__).parents[3]


def options_of(folder: Path, values: dict[str, Any]) -> TrainOptions:
    return load_options(written(folder, values))


class Ran:
    """A run of three steps, with the model before and after, and the logits of one batch."""

    def __init__(self, family: str, folder: Path) -> None:
        self.data = dataset(folder / "data")
        self.options = options_of(folder, settings(folder / "out", self.data, family))
        kept: dict[str, Any] = {}
        adapted, save_trained = groups.adapted, run.save_trained

        def watched(*given: Any) -> Any:
            model = adapted(*given)
            kept["before"] = {name: value.detach().clone() for name, value in model.named_parameters()}
            return model

        def saved(model: Any, *given: Any) -> Path:
            kept["model"] = model
            return save_trained(model, *given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(groups, "adapted", watched)
            patch.setattr(run, "save_trained", saved)
            self.done = run.train(self.options)
        self.before: dict[str, Any] = kept["before"]
        self.model = kept["model"].eval()
        self.layout = groups.LAYOUTS[self.model.config.model_type]
        prepared = run.prepare(self.options)
        rows = [row for _, row in zip(range(3), stream(self.data), strict=False)]
        examples = [encoded(row, prepared.processor, prepared.marks, 4096) for row in rows]
        self.batch = collated(examples, prepared.processor.tokenizer.pad_token_id)
        self.labels = self.batch.pop("labels")
        self.logits = self.logits_of(self.model)

    def logits_of(self, model: Any) -> Any:
        with torch.no_grad():
            return model(**self.batch).logits


@pytest.fixture(scope="module", params=FAMILIES)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(request.param, tmp_path_factory.mktemp("ran"))


def test_all_that_trains_changed_and_nothing_else(ran: Ran) -> None:
    moved: dict[str, set[bool]] = {}
    for name, value in ran.model.named_parameters():
        changed = not torch.equal(value, ran.before[name])
        group = groups.group_of(name, ran.layout)
        assert changed == (group != groups.FROZEN), name
        assert value.requires_grad == changed, name
        moved.setdefault(group, set()).add(changed)
    assert moved == {"lora": {True}, "vision": {True}, "projector": {True}, "frozen": {False}}


def test_the_loss_fell(ran: Ran) -> None:
    base = AutoModelForImageTextToText.from_pretrained(ran.options.out / "base", dtype="float32").eval()

    def loss(logits: Any) -> float:
        return float(cross_entropy(logits[:, :-1].flatten(0, 1), ran.labels[:, 1:].flatten()))

    assert loss(ran.logits) < loss(ran.logits_of(base)) - 0.05


def test_lora_is_on_every_layer_asked_for_and_only_in_the_language_model(ran: Ran) -> None:
    lora = [name for name in ran.before if "lora_" in name]
    assert len(lora) == 2 * 7 * 2
    assert all(".language_model." in name for name in lora)


def test_saved_and_loaded_it_is_the_same(ran: Ran) -> None:
    again = saving.load_trained(ran.done.adapter)
    assert torch.equal(ran.logits_of(again), ran.logits)
    said = json.loads((ran.done.adapter / saving.RECORD).read_text())
    assert said["options"] == ran.options.model_dump(mode="json")
    assert set(said) >= {"dataset", "versions", "git", "base", "steps"}


def test_merged_it_is_the_same(ran: Ran, tmp_path: Path) -> None:
    saving.merge(ran.done.adapter, tmp_path / "merged")
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged", dtype="float32").eval()
    assert not any("lora" in name for name, _ in plain.named_parameters())
    assert (ran.logits_of(plain) - ran.logits).abs().max() < 1e-4
    base = AutoModelForImageTextToText.from_pretrained(ran.options.out / "base", dtype="float32").eval()
    assert (ran.logits_of(base) - ran.logits).abs().max() > 1e-2
    with pytest.raises(InputError, match="is there already"):
        saving.merge(ran.done.adapter, tmp_path / "merged")


def test_rates_of_zero_freeze_a_part(tmp_path: Path) -> None:
    save_tiny("qwen2.5-vl", tmp_path)
    base = AutoModelForImageTextToText.from_pretrained(tmp_path, dtype="float32")
    layout = groups.layout_of(base)
    rates = RatesConfig(vision=0.0)
    model = groups.adapted(base, LoraOptions(rank=2, alpha=4), rates)
    found = groups.grouped(model, layout)
    assert not found["vision"]
    assert found["lora"]
    assert {name.split(".merger.")[0] for name, _ in found["projector"]} == {
        "base_model.model.model.visual.modules_to_save.default"
    }
    next(iter(model.get_input_embeddings().parameters())).requires_grad_(True)
    with pytest.raises(InputError, match="belongs to no group"):
        groups.grouped(model, layout)


def test_lora_stays_out_of_a_frozen_vision_encoder(tmp_path: Path) -> None:
    save_tiny("qwen2.5-vl", tmp_path)
    base = AutoModelForImageTextToText.from_pretrained(tmp_path, dtype="float32")
    assert any(name.endswith("visual.blocks.0.mlp.gate_proj") for name, _ in base.named_modules())
    model = groups.adapted(base, LoraOptions(rank=2, alpha=4), RatesConfig(vision=0.0, projector=0.0))
    lora = [name for name, _ in model.named_parameters() if "lora_" in name]
    assert len(lora) == 2 * 7 * 2
    assert all(".language_model." in name for name in lora)


def test_an_unknown_layer_is_told(tmp_path: Path) -> None:
    values = settings(tmp_path / "out", dataset(tmp_path / "data"), "qwen2.5-vl")
    values["lora"]["layers"] = ["q_proj", "k_porj"]
    with pytest.raises(InputError, match=r"no linear layer 'k_porj'; did you mean 'k_proj'"):
        run.train(options_of(tmp_path, values))


def test_layers_of_the_vision_encoder_alone_are_unknown(tmp_path: Path) -> None:
    values = settings(tmp_path / "out", dataset(tmp_path / "data"), "qwen2.5-vl")
    values["lora"]["layers"] = ["qkv"]
    with pytest.raises(InputError, match="no linear layer 'qkv'"):
        run.train(options_of(tmp_path, values))


def test_unknown_keys_are_told(tmp_path: Path) -> None:
    values = settings(tmp_path / "out", tmp_path, "qwen2.5-vl")
    values["rates"]["vison"] = 1e-5
    with pytest.raises(InputError, match=r"unknown key 'rates.vison'; did you mean 'vision'"):
        options_of(tmp_path, values)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "train").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_configurations_load(path: Path) -> None:
    assert load_options(path).name == path.stem


def test_unfit_rows_are_counted(tmp_path: Path) -> None:
    rows = entries(4)
    rows[1] = entry(1, [("user", "Read <|im_end|>"), ("assistant", "No.")])
    data = dataset(tmp_path / "data", rows)
    done = run.train(options_of(tmp_path, settings(tmp_path / "out", data, "internvl", steps=4, batch=1)))
    assert done.unfit == {"special-token": 1}


def test_no_row_that_fits_is_told(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", [entry(n, DIALOGUES[0]) for n in range(4)])
    options = options_of(tmp_path, settings(tmp_path / "out", data, "internvl", max_tokens=5))
    with pytest.raises(InputError, match="4 too-long"):
        run.train(options)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_picture_is_told_in_one_line(tmp_path: Path, workers: int) -> None:
    rows = entries(8)
    rows[2] = (rows[2][0], [rows[2][1][0][:60]])
    values = settings(tmp_path / "out", dataset(tmp_path / "data", rows), "internvl", steps=8)
    values["data"]["workers"] = workers
    with pytest.raises(InputError) as caught:
        run.train(options_of(tmp_path, values))
    assert "can't be decoded" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_mixture_begins_no_old_run(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", entries(4))
    values = settings(tmp_path / "out", data, "internvl", steps=1, save_every=1)
    run.train(options_of(tmp_path, values))
    values["data"]["sources"] = ["iqa-spider"]
    with pytest.raises(InputError, match="was begun with data"):
        run.train(options_of(tmp_path, values))


def test_the_check_shows_a_row_and_its_trained_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = dataset(tmp_path / "data", entries(4))
    path = written(tmp_path, settings(tmp_path / "out", data, "qwen3-vl"))
    assert main(["train", str(path), "--check"]) == 0
    page = (tmp_path / "out" / "check.html").read_text()
    marked = [part.split("</mark>")[0] for part in page.split("<mark>")[1:]]
    assert marked
    answers = {text for turns in DIALOGUES for role, text in turns if role == "assistant"}
    assert all(html.unescape(text).removesuffix("<|im_end|>") in answers for text in marked)
    said = capsys.readouterr().out
    assert "projector" in said
    assert "left out: none" in said


def losses(log: list[dict[str, float]]) -> dict[int, float]:
    return {int(said["step"]): said["loss"] for said in log if "loss" in said}


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_it_goes_on_with_the_rows_left(tmp_path: Path, workers: int) -> None:
    rows = entries(12)
    rows[5] = entry(5, [("user", "Read <|im_end|>"), ("assistant", "No.")])
    data = dataset(tmp_path / "data", rows)
    named: dict[str, Any] = {}
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        values = settings(tmp_path / name / "out", data, "qwen3-vl", steps=8, batch=2, save_every=3)
        values["data"]["workers"] = workers
        named[name] = options_of(tmp_path / name, values)
    undisturbed = losses(run.train(named["whole"]).log)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "flows.cli", "train", str(tmp_path / "killed" / "train.yaml")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    mark = named["killed"].out / "checkpoints" / "checkpoint-3" / "place-0.json"
    end = time.monotonic() + 300
    while not mark.is_file():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (named["killed"].out / "adapter").exists()
    resumed = losses(run.train(named["killed"]).log)
    assert resumed.keys() == undisturbed.keys()
    for step, loss in undisturbed.items():
        assert resumed[step] == pytest.approx(loss, abs=1e-5), step
