"""The proof's flow: the split, the crops, both builds' configurations, points from answers, the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation.qa.wording import load_wording
from flows.proof.photographs import PHOTOGRAPHS, ProofPhotograph, cut_crops, photograph_name
from flows.proof.point_answers import find_point
from flows.proof.proof_config import load_proof
from flows.proof.proof_run import format_lines, make_build_config, summarize_seeds
from inference.generate import decoder, traced
from inference.grounded_answer import Answer
from inference.place_tokens import Vocabulary
from schemas.config import load_config
from schemas.errors import InputError
from training.proof.tiny_internvl import make_tokenizer
from training.sft.train_config import load_options

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "configs" / "proof" / "proof.yaml"


def test_every_photograph_is_on_one_side() -> None:
    paths = [photograph.path() for photograph in PHOTOGRAPHS]
    assert len(set(paths)) == len(paths)
    names = {side: {p.name for p in PHOTOGRAPHS if p.side == side} for side in ("train", "test")}
    assert len(names["train"]) >= 10
    assert len(names["test"]) >= 5
    assert not names["train"] & names["test"]
    with pytest.raises(InputError, match="nosuchpackage"):
        ProofPhotograph("nosuchpackage", "a.png", "test").path()


def test_crops_are_in_their_photographs_folder_and_are_cut_once(tmp_path: Path) -> None:
    folder = cut_crops(tmp_path, "test", 2, 64, 0)
    files = sorted(folder.rglob("*.png"))
    held_back = {p.name for p in PHOTOGRAPHS if p.side == "test"}
    assert {photograph_name(str(path.relative_to(folder))) for path in files} == held_back
    assert len(files) == 2 * len(held_back)
    pixels = [np.asarray(Image.open(path)) for path in files]
    assert all(picture.shape == (64, 64, 3) for picture in pixels)
    again = cut_crops(tmp_path / "other", "test", 2, 64, 0)
    assert all(
        np.array_equal(picture, np.asarray(Image.open(path)))
        for picture, path in zip(pixels, sorted(again.rglob("*.png")), strict=True)
    )
    made = files[0].stat().st_mtime_ns
    cut_crops(tmp_path, "test", 2, 64, 0)
    assert files[0].stat().st_mtime_ns == made
    assert len(list(cut_crops(tmp_path, "test", 1, 64, 0).rglob("*.png"))) == len(held_back)


def test_both_builds_keep_to_their_side(tmp_path: Path) -> None:
    options = load_proof(CONFIG).model_copy(update={"out": tmp_path})
    build = load_config(ROOT / options.build)
    train = make_build_config(options, build, "train", tmp_path / "crops" / "train")
    test = make_build_config(options, build, "test", tmp_path / "crops" / "test")
    assert (train.merge.test_share, test.merge.test_share) == (0.0, 1.0)
    assert train.images.folder == tmp_path / "crops" / "train"
    assert test.images.folder == tmp_path / "crops" / "test"
    assert train.out != test.out
    assert train.annotate.wording is not None
    wording = load_wording(train.annotate.wording)
    assert wording.phrases["sid_strongest_ask"] == ["Where is the {bare} strongest?"]
    assert load_options(ROOT / options.stage_one).data.tasks == ["grounding_sid"]


WORDS = ("At the top left.", "At the bottom right.", "At the center center.", "It is the wooden table.")


def answer(text: str, logits: dict[str, float]) -> Answer:
    """An answer in the proof's vocabulary; every step has these logits, all others far lower."""
    words = make_tokenizer(WORDS)
    columns = Vocabulary.of(words).columns
    ids = np.asarray(words.encode(text, add_special_tokens=False), dtype=np.int64)
    row = [logits.get(words.convert_ids_to_tokens(int(column)), -20.0) for column in columns]
    text_read, offsets = traced(decoder(words), ids.tolist())
    return Answer(ids, text_read, offsets, columns, np.tile(np.float32(row), (len(ids), 1)))


@pytest.mark.parametrize(
    ("text", "logits", "cell"),
    [
        ("At the top left.", {" top": 5, " left": 5}, (0, 0)),
        ("At the center right.", {" center": 5, " right": 9}, (2, 1)),
        ("At the bottom center.", {" center": 5, " bottom": 9, " left": 3}, (1, 2)),
        ("At the center center.", {" center": 5}, (1, 1)),
    ],
)
def test_the_two_words_of_an_answer_are_a_cell(
    text: str, logits: dict[str, float], cell: tuple[int, int]
) -> None:
    point = find_point(answer(text, logits), Vocabulary.of(make_tokenizer(WORDS)))
    assert point is not None
    assert tuple(int(3 * part) for part in point) == cell


def test_an_answer_without_a_position_has_no_point() -> None:
    assert find_point(answer("It is the wooden table.", {}), Vocabulary.of(make_tokenizer(WORDS))) is None


def judged_rows(trained: float) -> list[dict[str, Any]]:
    """Rows of six photographs: the trained model hits in this share of them, the others in a tenth."""

    def judged(share: float, number: int) -> dict[str, Any]:
        hit = number % 10 < share * 10
        return {"point": (0.5, 0.5), "hit": hit, "error": 0.05 if hit else 0.3}

    shares = {"trained": trained, "untrained": 0.1, "center": 0.1}
    return [
        {"photograph": str(number // 20), **{who: judged(share, number) for who, share in shares.items()}}
        for number in range(120)
    ]


def test_the_verdict_needs_every_seed_and_disjoint_intervals() -> None:
    good, poor = {"seed": 0, "rows": judged_rows(0.7)}, {"seed": 1, "rows": judged_rows(0.1)}
    result = summarize_seeds([good, good])
    assert result["proved"]
    assert result["seeds"][0]["scores"]["trained"]["hit"] == pytest.approx(0.7)
    assert not summarize_seeds([good, poor])["proved"]
    result_lines = format_lines({**result, "seconds": {"data": 1.0, "training": 2.0}})
    assert "every seed beats" in result_lines[-1]
    assert any("trained" in line and "0.700" in line for line in result_lines)
