"""A run changes exactly what it should, and is saved, loaded and merged exactly."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForImageTextToText

from flows.cli import main
from schemas.errors import InputError
from schemas.meter import Meter
from schemas.model_files import TRAINING_RECORD, load_processor
from tests.training.sft.small import DIALOGUES, FAMILIES, dataset, entries, entry, settings, written
from training.sft import fine_tune, groups, saving
from training.sft.encode_rows import collate, encode_row
from training.sft.train_config import LoraOptions, RatesConfig, TrainOptions, load_options
from training.streaming import stream

ROOT = Path(__file__).parents[3]
Base = Callable[[str], str]


def options_of(folder: Path, values: dict[str, Any]) -> TrainOptions:
    return load_options(written(folder, values))


def plain(folder: str | Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()


class Noted(Meter):
    """A meter that records its calls."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Ran:
    """A run of three steps, with the model before and after, and the logits of one batch."""

    def __init__(self, base: str, folder: Path) -> None:
        self.folder, self.base = folder, base
        self.data = dataset(folder / "data")
        self.options = options_of(folder, settings(folder / "out", self.data, base))
        kept: dict[str, Any] = {}
        adapted, save_trained = groups.add_adapters, fine_tune.save_trained

        def watched(*given: Any, **named: Any) -> Any:
            model = adapted(*given, **named)
            kept["before"] = {name: value.detach().clone() for name, value in model.named_parameters()}
            return model

        def saved(model: Any, *given: Any) -> Path:
            kept["model"] = model
            return save_trained(model, *given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(groups, "add_adapters", watched)
            patch.setattr(fine_tune, "save_trained", saved)
            self.meters: list[Noted] = []
            self.done = fine_tune.train(
                self.options, progress=lambda *given, **named: self.meter(*given, **named)
            )
        self.before: dict[str, Any] = kept["before"]
        self.model = kept["model"].eval()
        self.layout = groups.LAYOUTS[self.model.config.model_type]
        prepared = fine_tune.prepare(self.options)
        rows = [row for _, row in zip(range(12), stream(self.data), strict=False)]
        chosen = [next(row for row in rows if len(row["images"]) == count) for count in (2, 0, 1)]
        self.examples = [encode_row(row, prepared.processor, prepared.marks, 4096) for row in chosen]
        self.batch = collate(self.examples, prepared.processor.tokenizer.pad_token_id)
        self.labels = self.batch.pop("labels")
        self.logits = self.logits_of(self.model)

    def meter(self, *given: Any, **named: Any) -> Noted:
        self.meters.append(Noted(*given, **named))
        return self.meters[-1]

    def logits_of(self, model: Any) -> Any:
        with torch.no_grad():
            return model(**self.batch).logits


def test_a_run_reports_its_steps_and_logs(ran: Ran) -> None:
    (meter,) = ran.meters
    assert (meter.name, meter.total, meter.done, meter.reused) == ("train", 3, 3, 0)
    table, *logs = meter.notes
    assert "lora" in table
    assert sum("loss " in line for line in logs) >= 3
    assert all(line.startswith("step ") for line in logs)


@pytest.fixture(scope="module", params=FAMILIES)
def ran(request: pytest.FixtureRequest, base: Base, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(base(request.param), tmp_path_factory.mktemp("ran"))


def test_all_that_trains_changed_and_nothing_else(ran: Ran) -> None:
    moved: dict[str, set[bool]] = {}
    for name, value in ran.model.named_parameters():
        changed = not torch.equal(value, ran.before[name])
        group = groups.find_group(name, ran.layout)
        assert changed == (group != groups.FROZEN), name
        assert value.requires_grad == changed, name
        moved.setdefault(group, set()).add(changed)
    assert moved == {"lora": {True}, "vision": {True}, "projector": {True}, "frozen": {False}}


def test_no_parameter_of_the_plain_model_is_without_a_group(ran: Ran) -> None:
    """By the plain model's parameter names, before adapters rename them."""
    vision, projectors = ran.layout.vision + ".", tuple(f"{path}." for path in ran.layout.projectors)
    names = {
        name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
        for name, value in ran.model.named_parameters()
        if value.requires_grad and "lora_" not in name
    }
    whole = {name for name, _ in plain(ran.base).named_parameters() if name.startswith((vision, *projectors))}
    assert names == whole


def test_the_loss_fell(ran: Ran) -> None:
    def loss(logits: Any) -> float:
        return float(cross_entropy(logits[:, :-1].flatten(0, 1), ran.labels[:, 1:].flatten()))

    assert loss(ran.logits) < loss(ran.logits_of(plain(ran.base))) - 0.05


def test_rows_of_a_batch_are_as_they_are_alone(ran: Ran) -> None:
    """Two pictures, none and one in a batch: neither padding nor another row's pictures reach a row."""
    for number, example in enumerate(ran.examples):
        given = {name: value for name, value in example.items() if name != "labels"}
        with torch.no_grad():
            alone = ran.model(**given).logits[0]
        assert (ran.logits[number, : len(alone)] - alone).abs().max() < 1e-4


def test_lora_is_on_every_requested_layer_and_only_in_the_language_model(ran: Ran) -> None:
    lora = [name for name in ran.before if "lora_" in name]
    assert len(lora) == 2 * 7 * 2
    assert all(".language_model." in name for name in lora)


def test_saved_and_loaded_it_is_the_same(ran: Ran) -> None:
    again = saving.load_trained(ran.done.adapter)
    assert torch.equal(ran.logits_of(again), ran.logits)
    run_record = json.loads((ran.done.adapter / TRAINING_RECORD).read_text())
    assert run_record["options"] == ran.options.model_dump(mode="json")
    assert set(run_record) >= {"dataset", "versions", "git", "base", "steps"}
    assert json.loads((ran.done.adapter / saving.LOG).read_text()) == ran.done.log


def test_merged_it_is_the_same(ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", str(ran.folder / "train.yaml"), "--merge", str(tmp_path / "merged")]
    assert main(command) == 0
    merged = plain(tmp_path / "merged")
    assert not any("lora" in name for name, _ in merged.named_parameters())
    assert (ran.logits_of(merged) - ran.logits).abs().max() < 1e-4
    assert (ran.logits_of(plain(ran.base)) - ran.logits).abs().max() > 1e-2
    load_processor(str(tmp_path / "merged"), None)
    assert not list((tmp_path / "merged").rglob("*.bin"))
    capsys.readouterr()
    assert main(command) == 2
    output = capsys.readouterr().err.splitlines()[-1]
    assert output.endswith(f"{tmp_path / 'merged'}: already exists; give a folder that doesn't")


def test_a_finished_run_is_not_run_again(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_tune, "load_base", None)
    assert fine_tune.train(ran.options) == ran.done


def test_checkpointing_changes_no_weight_and_bfloat16_trains_float32(ran: Ran, tmp_path: Path) -> None:
    """Frozen weights are bfloat16, trained ones float32, and gradients reach all through checkpointing."""
    values = settings(tmp_path / "out", ran.data, ran.base, checkpointing=True)
    fine_tune.train(options_of(tmp_path, values))
    again = saving.load_trained(tmp_path / "out" / "adapter")
    assert (ran.logits_of(again) - ran.logits).abs().max() < 1e-3
    values = settings(tmp_path / "half", ran.data, ran.base, checkpointing=True, steps=2)
    values["model"]["dtype"] = "bfloat16"
    kept: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fine_tune, "save_trained", lambda model, *given: kept.append(model))
        fine_tune.train(options_of(tmp_path, values))
    for name, value in kept[0].named_parameters():
        assert value.dtype == (torch.float32 if value.requires_grad else torch.bfloat16), name
        assert torch.equal(value.cpu(), ran.before[name].to(value.dtype)) != value.requires_grad, name


def test_rates_of_zero_freeze_a_part(base: Base) -> None:
    model = plain(base("qwen2.5-vl"))
    layout = groups.find_layout(model)
    model = groups.add_adapters(model, LoraOptions(rank=2, alpha=4), RatesConfig(vision=0.0))
    found = groups.group_parameters(model, layout)
    assert not found["vision"]
    assert found["lora"]
    assert {name.split(".merger.")[0] for name, _ in found["projector"]} == {
        "base_model.model.model.visual.modules_to_save.default"
    }
    next(iter(model.get_input_embeddings().parameters())).requires_grad_(True)
    with pytest.raises(InputError, match="belongs to no group"):
        groups.group_parameters(model, layout)


def test_lora_stays_out_of_a_frozen_vision_encoder(base: Base) -> None:
    model = plain(base("qwen2.5-vl"))
    assert any(name.endswith("visual.blocks.0.mlp.gate_proj") for name, _ in model.named_modules())
    rates = RatesConfig(vision=0.0, projector=0.0)
    model = groups.add_adapters(model, LoraOptions(rank=2, alpha=4), rates)
    lora = [name for name, _ in model.named_parameters() if "lora_" in name]
    assert len(lora) == 2 * 7 * 2
    assert all(".language_model." in name for name in lora)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "train").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_configurations_load(path: Path) -> None:
    assert load_options(path).name == path.stem


def test_unfit_rows_are_counted(base: Base, tmp_path: Path) -> None:
    rows = entries(4)
    rows[1] = entry(1, [("user", "Read <|im_end|>"), ("assistant", "No.")])
    data = dataset(tmp_path / "data", rows)
    values = settings(tmp_path / "out", data, base("internvl"), steps=4, batch=1)
    assert fine_tune.train(options_of(tmp_path, values)).unfit == {"special-token": 1}


def test_the_evaluation_is_on_held_out_rows(base: Base, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", entries(4), entries(6)[4:])
    values = settings(tmp_path / "out", data, base("internvl"), steps=2, eval_every=1)
    values["data"]["eval_split"] = "test"
    done = fine_tune.train(options_of(tmp_path, values))
    assert [logged["step"] for logged in done.log if "eval_loss" in logged] == [1, 2]


def test_epochs_of_a_mixture_are_steps_over_its_rows(base: Base, tmp_path: Path) -> None:
    data = dataset(tmp_path / "data", entries(8))
    values = settings(tmp_path / "out", data, base("internvl"), epochs=2, batch=2)
    del values["run"]["steps"]
    values["data"]["mixture"] = {"sources": {"iqa-spider": 0.5}}
    assert fine_tune.train(options_of(tmp_path, values)).steps == 4


def test_the_check_shows_a_row_and_its_trained_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = dataset(tmp_path / "data", entries(4))
    path = written(tmp_path, settings(tmp_path / "out", data, "qwen3-vl"))
    assert main(["train", str(path), "--check"]) == 0
    page = (tmp_path / "out" / "check.html").read_text()
    legend, *marked = [part.split("</mark>")[0] for part in page.split("<mark>")[1:]]
    assert legend == "Marked"
    assert marked
    answers = {text for turns in DIALOGUES for role, text in turns if role == "assistant"}
    assert all(html.unescape(text).removesuffix("<|im_end|>") in answers for text in marked)
    output = capsys.readouterr().out
    assert "projector" in output
    assert "left out: none" in output
