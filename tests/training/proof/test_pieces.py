"""The proof's parts: words and first layer of the tiny model, base rows, scores, a short real run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from schemas import masks
from schemas.errors import InputError
from schemas.pictures import encode
from schemas.records import Message
from tests.schemas import rows as make
from tests.training.published import Entry, publish
from training.proof.proof_rows import position_answer
from training.proof.scores import are_disjoint, decode_target, judge_point, score_points

ANSWERS = ("The red area in the top left.", "It is the blue area in the bottom.", "The salt-and-pepper one.")


def entries(count: int) -> list[Entry]:
    """Rows about 64 x 64 parts of a real photograph; every third asks for the weakest."""
    cat, made = data.chelsea(), []
    for number in range(count):
        question = "Where is the noise " + ("weakest?" if number % 3 == 2 else "strongest?")
        texts = [question, ANSWERS[number % len(ANSWERS)], "How do you know?", "It shows severe noise."]
        messages = [
            Message(role="assistant" if place % 2 else "user", content=text)
            for place, text in enumerate(texts)
        ]
        region = make.region(size=(64, 64))
        row = make.row(f"row-{number:03d}").model_copy(
            update={"messages": messages, "regions": [region], "task": "grounding_sid"}
        )
        made.append((row, [encode(np.ascontiguousarray(cat[number : number + 64, 100:164]))]))
    return made


def test_the_tokenizer_round_trips_and_knows_no_other_word() -> None:
    pytest.importorskip("transformers")
    from training.proof.tiny_internvl import make_tokenizer
    from training.sft.encode_rows import find_marks

    words = make_tokenizer(ANSWERS)
    for text in ANSWERS:
        ids = words.encode(text, add_special_tokens=False)
        assert words.decode(ids, clean_up_tokenization_spaces=False) == text
        assert words.unk_token_id not in ids
    assert words.unk_token_id in words.encode("a zebra", add_special_tokens=False)
    pieces = words.convert_ids_to_tokens(
        words.encode(ANSWERS[0] + " " + ANSWERS[2], add_special_tokens=False)
    )
    assert {" top", " left", "-pepper"} <= set(pieces)

    class Reader:
        tokenizer = words

    assert len(find_marks(Reader()).header) == 3


def test_the_position_embeddings_tell_every_cell_apart() -> None:
    from training.proof.tiny_internvl import sine_cosine_grid

    grid = sine_cosine_grid(8, 128)
    assert grid.shape == (64, 128)
    assert np.abs(grid).max() <= 1
    apart_by = np.linalg.norm(grid[:, None] - grid[None], axis=2)
    assert apart_by[~np.eye(64, dtype=bool)].min() > 0.5


def test_the_first_layer_keeps_what_differs_between_patches() -> None:
    from training.proof.tiny_internvl import principal_components

    pixels = np.random.default_rng(0).normal(size=(20, 3, 64, 64)).astype(np.float32) + 3
    filters, offset = principal_components(pixels, 128)
    assert filters.shape == (128, 3, 8, 8)
    patches = pixels.reshape(20, 3, 8, 8, 8, 8).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 192)
    out = patches @ filters.reshape(128, 192).T + offset
    assert np.abs(out.mean(axis=0)).max() < 1e-2
    assert 0.8 < out.std(axis=0).min() <= out.std(axis=0).max() < 1.2


def test_a_point_is_judged_by_the_region_it_lies_in() -> None:
    mask = np.zeros((10, 20), dtype=bool)
    mask[:, 10:] = True
    assert judge_point((0.75, 0.5), mask) == (True, 0.0)
    hit, error = judge_point((0.25, 0.5), mask)
    assert not hit
    assert error == pytest.approx(0.5 / np.sqrt(2))
    assert judge_point((1.0, 1.0), mask)[0]
    assert judge_point(None, mask) == (False, pytest.approx(0.25 / np.sqrt(2)))
    row = {
        "target_region_ids": ["r1"],
        "regions": [{"region_id": "r1", "mask": masks.encode(mask).model_dump()}],
    }
    assert (decode_target(row) == mask).all()


def test_intervals_are_over_photographs_and_not_over_rows() -> None:
    hits = [True] * 50 + [False] * 50
    many = score_points(hits, [0.0] * 100, [str(number) for number in range(100)])
    two = score_points(hits, [0.0] * 100, ["a"] * 50 + ["b"] * 50)
    assert many.hit == two.hit == 0.5
    assert many.hit_interval[1] - many.hit_interval[0] < 0.25
    assert two.hit_interval == (0.0, 1.0)
    assert score_points([True, True], [0.1, 0.3], ["a", "b"]).error == pytest.approx(0.2)
    assert are_disjoint((0.4, 0.5), (0.1, 0.3))
    assert not are_disjoint((0.2, 0.5), (0.1, 0.3))


def test_a_short_run_from_base_to_answers(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    import torch

    from flows.proof.point_answers import answer_rows
    from schemas.model_files import load_processor
    from training.proof.proof_rows import load_proof_rows
    from training.proof.train_seed import BaseSchedule, train_seed
    from training.sft.saving import load_base, load_trained
    from training.sft.train_config import TrainOptions

    held = publish(tmp_path / "test", entries(6), files=1, split="test")
    known = publish(tmp_path / "train", entries(24), files=1)
    texts: dict[str, Any] = {
        "name": "proof", "out": str(tmp_path / "run"),
        "model": {"name": "none", "dtype": "bfloat16"},
        "data": {"dataset": str(known), "eval_split": None},
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
        "rates": {"lora": 0.01, "vision": 0.01, "projector": 0.01},
        "run": {
            "steps": 2, "batch": 4, "accumulation": 1, "checkpointing": False, "log_every": 1,
            "save_every": 1000, "device": "cpu",
        },
    }  # fmt: skip
    options = TrainOptions.model_validate(texts)
    threads = torch.get_num_threads()
    try:
        trained = train_seed(options, BaseSchedule(3, 4, 1e-3))
    finally:
        torch.set_num_threads(threads)
    rows = load_proof_rows(held, "test", 3)
    assert len(rows) == 3
    assert all("strongest" in row["messages"][0]["content"] for row in rows)
    reader = load_processor(str(trained.base), None)
    before = answer_rows(load_base(options.model, str(trained.base), "float32").eval(), reader, rows)
    after = answer_rows(load_trained(trained.adapter).get_base_model(), reader, rows)
    assert len(before) == len(after) == 3
    assert not np.array_equal(before[0].logits[0], after[0].logits[0])
    run_record = json.loads((trained.adapter / "training.json").read_text())
    assert run_record["left_out"]["other-question"] > 0


@pytest.mark.parametrize(
    ("position", "answer"),
    [("top left", "At the top left."), ("bottom", "At the bottom center."), ("right", "At the center right."),
     ("center", "At the center center.")],
)  # fmt: skip
def test_the_fixed_form_answer_is_the_targets_position(position: str, answer: str) -> None:
    from training.proof.proof_rows import to_pointing_row
    from training.sft.encode_rows import UnfitRow

    asked = {"role": "user", "content": "Where is the Gaussian noise strongest?"}
    row = {
        "id": "a",
        "messages": [asked, {"role": "assistant", "content": "The red area."}, asked, asked],
        "regions": [{"region_id": "r1", "position": "top"}, {"region_id": "r2", "position": position}],
        "target_region_ids": ["r2"],
    }
    assert to_pointing_row(row)["messages"] == [asked, {"role": "assistant", "content": answer}]
    other = {**asked, "content": "Where is the Gaussian noise weakest?"}
    with pytest.raises(UnfitRow, match="other-question"):
        to_pointing_row({**row, "messages": [other, asked]})


def test_a_dataset_without_the_question_is_refused(tmp_path: Path) -> None:
    from training.proof.proof_rows import load_proof_rows

    known = publish(tmp_path / "train", entries(6)[2::3], files=1)
    with pytest.raises(InputError, match="asks where something is strongest"):
        load_proof_rows(known, "train")


def test_a_patch_is_where_its_row_says() -> None:
    from training.proof.base import make_base_rows

    gray = Image.fromarray(np.full((64, 64, 3), 127, np.uint8))
    made = make_base_rows([{"id": str(number), "images": [gray]} for number in range(60)], 0)
    answers = set()
    for row in made:
        changed = (np.asarray(row["images"][0]) != 127).any(axis=2)
        rows, columns = np.nonzero(changed)
        share = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) / changed.size
        assert 0.04 < share < 0.22
        box = np.zeros_like(changed)
        box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        question, answer = row["messages"]
        assert question["content"] == "Where is the patch?"
        assert answer == position_answer(masks.position(box))
        answers.add(answer["content"])
    assert len(answers) >= 7
    again = make_base_rows([{"id": "a", "images": [gray]}], 0)
    assert np.array_equal(again[0]["images"][0], made[0]["images"][0])
    assert (np.asarray(gray) == 127).all()
