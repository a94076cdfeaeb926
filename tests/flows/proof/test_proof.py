"""The proof's flow: the split, the crops, both builds' configurations, points out of answers, the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation.qa.wording import load_wording
from flows.proof.photographs import PHOTOGRAPHS, Photograph, cut, photograph_of
from flows.proof.point_answers import point_of
from flows.proof.proof_config import load_proof
from flows.proof.proof_run import build_config, lines, summary
from inference.generate import decoder, traced
from inference.grounded_answer import Answer
from inference.place_tokens import Vocabulary
from schemas.config import load_config
from schemas.errors import InputError
from training.proof.model import tokenizer
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
        Photograph("nosuchpackage", "a.png", "test").path()


def test_crops_lie_in_their_photograph_s_folder_and_are_cut_once(tmp_path: Path) -> None:
    folder = cut(tmp_path, "test", 2, 64, 0)
    files = sorted(folder.rglob("*.png"))
    held_back = {p.name for p in PHOTOGRAPHS if p.side == "test"}
    assert {photograph_of(str(path.relative_to(folder))) for path in files} == held_back
    assert len(files) == 2 * len(held_back)
    pixels = [np.asarray(Image.open(path)) for path in files]
    assert all(picture.shape == (64, 64, 3) for picture in pixels)
    again = cut(tmp_path / "other", "test", 2, 64, 0)
    assert all(
        np.array_equal(picture, np.asarray(Image.open(path)))
        for picture, path in zip(pixels, sorted(again.rglob("*.png")), strict=True)
    )
    made = files[0].stat().st_mtime_ns
    cut(tmp_path, "test", 2, 64, 0)
    assert files[0].stat().st_mtime_ns == made
    assert len(list(cut(tmp_path, "test", 1, 64, 0).rglob("*.png"))) == len(held_back)


def test_both_builds_keep_to_their_side(tmp_path: Path) -> None:
    options = load_proof(CONFIG).model_copy(update={"out": tmp_path})
    build = load_config(ROOT / options.build)
    train = build_config(options, build, "train", tmp_path / "crops" / "train")
    test = build_config(options, build, "test", tmp_path / "crops" / "test")
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
    """An answer in the proof's words whose every step has these logits, others far below."""
    words = tokenizer(WORDS)
    columns = Vocabulary.of(words).columns
    ids = np.asarray(words.encode(text, add_special_tokens=False), dtype=np.int64)
    row = [logits.get(words.convert_ids_to_tokens(int(column)), -20.0) for column in columns]
    said, offsets = traced(decoder(words), ids.tolist())
    return Answer(ids, said, offsets, columns, np.tile(np.float32(row), (len(ids), 1)))


@pytest.mark.parametrize(
    ("text", "logits", "cell"),
    [
        ("At the top left.", {" top": 5, " left": 5}, (0, 0)),
        ("At the center right.", {" center": 5, " right": 9}, (2, 1)),
        ("At the bottom center.", {" center": 5, " bottom": 9, " left": 3}, (1, 2)),
        ("At the center center.", {" center": 5}, (1, 1)),
    ],
)
def test_two_words_of_the_form_are_a_cell(text: str, logits: dict[str, float], cell: tuple[int, int]) -> None:
    point = point_of(answer(text, logits), Vocabulary.of(tokenizer(WORDS)))
    assert point is not None
    assert tuple(int(3 * part) for part in point) == cell


def test_no_place_is_no_point() -> None:
    assert point_of(answer("It is the wooden table.", {}), Vocabulary.of(tokenizer(WORDS))) is None


def judged_rows(trained: float) -> list[dict[str, Any]]:
    """Rows of six photographs, the trained model right in a share of them, the others in a tenth."""

    def told(share: float, number: int) -> dict[str, Any]:
        hit = number % 10 < share * 10
        return {"point": (0.5, 0.5), "hit": hit, "error": 0.05 if hit else 0.3}

    shares = {"trained": trained, "untrained": 0.1, "centre": 0.1}
    return [
        {"photograph": str(number // 20), **{who: told(share, number) for who, share in shares.items()}}
        for number in range(120)
    ]


def test_the_verdict_needs_every_seed_and_intervals_apart() -> None:
    good, poor = {"seed": 0, "rows": judged_rows(0.7)}, {"seed": 1, "rows": judged_rows(0.1)}
    result = summary([good, good])
    assert result["proved"]
    assert result["seeds"][0]["scores"]["trained"]["hit"] == pytest.approx(0.7)
    assert not summary([good, poor])["proved"]
    told = lines({**result, "seconds": {"data": 1.0, "training": 2.0}})
    assert "every seed beats" in told[-1]
    assert any("trained" in line and "0.700" in line for line in told)
