"""Estimates against counted operations and saved tensors; the page's pictures against the photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as photographs
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from flows.cli import main
from schemas.model_files import load_processor
from schemas.records import TASKS
from tests.training.sft.small import FAMILIES, dataset, settings, written
from training.backends.families import find_family
from training.sft import estimates, groups
from training.sft.check_page import restore_pictures
from training.sft.encode_rows import encode_row, find_marks
from training.sft.saving import empty_base
from training.sft.tiny import save_tiny
from training.sft.train_config import BaseConfig, LoraOptions, RatesConfig, TrainOptions, load_options

PICTURE_TOKEN = 590
CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "train").glob("*.yaml"))


def options(vision: float, checkpointing: bool = False) -> TrainOptions:
    values: dict[str, Any] = {
        "name": "x", "out": "x", "model": {"name": "x", "dtype": "float32"}, "data": {"dataset": "x"},
        "rates": {"vision": vision, "projector": vision}, "lora": {"rank": 2, "alpha": 4, "dropout": 0.0},
        "run": {"steps": 1, "checkpointing": checkpointing},
    }  # fmt: skip
    return TrainOptions.model_validate(values)


def model_and_row(vision: float, attention: str) -> tuple[Any, groups.ModelLayout, dict[str, Any]]:
    """A Qwen2.5-VL as wide as a row is long, and a row of 200 words and 64 picture tokens."""
    text = {
        "vocab_size": 600, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 3,
        "num_attention_heads": 8, "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6]},
    }  # fmt: skip
    eyes = {
        "depth": 3, "hidden_size": 160, "intermediate_size": 420, "num_heads": 4, "out_hidden_size": 256,
        "fullatt_block_indexes": [0, 1, 2],
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config=eyes, image_token_id=PICTURE_TOKEN, vision_start_token_id=591
    )
    config._attn_implementation = attention
    torch.manual_seed(0)
    base = Qwen2_5_VLForConditionalGeneration(config)
    layout = groups.find_layout(base)
    selected = options(vision)
    ids = torch.cat([torch.tensor([591]), torch.full((64,), PICTURE_TOKEN), torch.arange(200)])[None]
    row = {
        "input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.randn(256, 1176),
        "image_grid_thw": torch.tensor([[1, 16, 16]]), "mm_token_type_ids": (ids == PICTURE_TOKEN).long(),
        "labels": ids.clone(),
    }  # fmt: skip
    return groups.add_adapters(base, selected.lora, selected.rates), layout, row


@pytest.mark.parametrize("vision", [1e-5, 0.0])
def test_operations_are_those_counted(vision: float) -> None:
    model, layout, row = model_and_row(vision, "eager")
    size = estimates.measure_row(row, model.config)
    assert size == estimates.RowSize(265, 64, 256)
    with FlopCounterMode(display=False) as counter:
        model(**row).loss.backward()
    expected = estimates.count_operations(size, estimates.measure_model(model, layout), options(vision))
    all_pairs = 3 * 2.0 * 3 * 256 * size.tokens**2
    assert counter.get_total_flops() == pytest.approx(expected + all_pairs, rel=0.05)


@pytest.mark.parametrize("vision", [1e-5, 0.0])
def test_activations_are_those_saved(vision: float) -> None:
    model, layout, row = model_and_row(vision, "sdpa")
    weights = {value.untyped_storage().data_ptr() for value in model.state_dict().values()}
    kept: dict[int, int] = {}

    def note(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        hidden = model.base_model.model.model(**{k: v for k, v in row.items() if k != "labels"})[0]
    assert hidden.requires_grad
    shape = estimates.measure_model(model, layout)
    expected = estimates.count_activation_bytes(
        [estimates.measure_row(row, model.config)], shape, options(vision)
    )
    assert 0.6 < sum(kept.values()) / expected < 1.6


@pytest.fixture(scope="module", params=FAMILIES)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    save_tiny(request.param, folder)
    return folder


def test_a_pictures_patches_become_the_picture_again(tiny: Path) -> None:
    processor = load_processor(str(tiny), None)
    photograph = Image.fromarray(photographs.astronaut()).resize((224, 224))
    row = {
        "id": "r", "images": [photograph, photograph.rotate(90)],
        "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}],
    }  # fmt: skip
    found = encode_row(row, processor, find_marks(processor), 4096)
    seen = restore_pictures(found, processor)
    if "image_grid_thw" not in found:
        tiles = len(seen) // 2
        assert tiles == 5
        seen = [seen[tiles - 1], seen[-1]]
    for picture, original in zip(seen, row["images"], strict=True):
        wanted = np.asarray(original.resize(picture.size, Image.Resampling.BICUBIC), np.float32)
        assert np.abs(np.asarray(picture, np.float32) - wanted).mean() < 4


def test_a_model_without_weights_has_the_same_shape(tiny: Path) -> None:
    selected = options(1e-5)
    base = BaseConfig(name=str(tiny), dtype="float32")
    whole = AutoModelForImageTextToText.from_pretrained(tiny, dtype="float32")
    empty = empty_base(base, str(tiny))
    layout = groups.find_layout(whole)
    lines = []
    for model in (whole, empty):
        tuned = groups.add_adapters(model, LoraOptions(rank=2, alpha=4), RatesConfig())
        sizes = [estimates.RowSize(1000, 256, 1024), estimates.RowSize(700, 256, 1024)]
        lines.append(
            (
                groups.parameter_table(tuned, layout, RatesConfig()),
                estimates.memory_line(tuned, layout, sizes, selected),
                estimates.hours_line(tuned, layout, sizes, selected, 33_000),
            )
        )
    assert next(iter(empty.parameters())).is_meta
    assert lines[0] == lines[1]


def test_checkpointing_costs_time_and_saves_memory() -> None:
    shape = estimates.ModelShape(
        7_000_000_000, 500_000_000, 600_000_000, 40_000_000, (28, 3584, 512, 18944), (32, 1280, 3420)
    )
    size = estimates.RowSize(1500, 1200, 4800)
    plain, saving = options(1e-5), options(1e-5, checkpointing=True)
    assert estimates.count_operations(size, shape, saving) > estimates.count_operations(size, shape, plain)
    assert (
        estimates.count_activation_bytes([size], shape, saving)
        < estimates.count_activation_bytes([size], shape, plain) / 5
    )


def test_the_check_measures_on_the_cpu_and_shows_each_task(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, settings(tmp_path / "out", dataset(tmp_path / "data"), "qwen2.5-vl"))
    assert main(["train", str(path), "--check"]) == 0
    output = capsys.readouterr().out
    assert "s per row on cpu" in output
    assert "activations" in output
    page = (tmp_path / "out" / "check.html").read_text()
    tasks = {line.split()[0] for line in output.splitlines() if line.startswith(TASKS)}
    assert {part.split("</h2>")[0] for part in page.split("<h2>")[1:]} == tasks
    assert "&times;" in page


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_lets_rows_of_two_of_its_largest_pictures_through(path: Path) -> None:
    selected = load_options(path)
    kind = find_family(selected)
    if kind == "phi3_v":
        pytest.skip("no processor of it here says what a picture takes")
    if kind == "internvl":
        tokens = 13 * 256
    else:
        side = 32 if kind == "qwen3_vl" else 28
        assert selected.pixels.min is not None
        assert selected.pixels.max is not None
        assert selected.pixels.min % side**2 == selected.pixels.max % side**2 == 0
        tokens = selected.pixels.max // side**2
    assert 2 * tokens + 300 <= selected.run.max_tokens
