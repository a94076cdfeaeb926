"""The rules of merging one by one: whose word counts, what the mixture keeps, which split, which license."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from flows.stages.importers import importer
from flows.stages.keepout import KeepOut, read_list
from flows.stages.merging.candidates import Candidate, Picture, hashed, normalized
from flows.stages.merging.conflicts import without_conflicts
from flows.stages.merging.duplicates import same_pictures, without_repeats
from flows.stages.merging.mixture import allowed, mixed
from flows.stages.merging.splits import split_of, split_rows
from schemas.config import LicensesConfig, MergeConfig, MixtureRule
from schemas.errors import InputError
from schemas.pictures import fingerprint, perceptual_hash, pixel_hash
from schemas.store import Store
from tests.conftest import photograph


def row(row_id: str, source: str, pictures: tuple[str, ...] = ("p",), **more: Any) -> Candidate:
    question, answer = more.pop("question", "Is it sharp?"), more.pop("answer", "Yes.")
    values: dict[str, Any] = {
        "task": "external_question",
        "license": "not stated",
        "stage": "external" if source != "iqa-spider" else "annotate",
        "key": "k",
        "item": row_id,
        "truths": (None,) * len(pictures),
        "dialogue": hashed(question, answer),
        "asked": hashed(question),
        "short": normalized(answer) if len(answer.split()) <= 3 else None,
        "question": question if source == "q-instruct" else None,
        "rank": 0 if source == "iqa-spider" else importer(source).rank,
    }
    return Candidate(row_id=row_id, source=source, pictures=pictures, **{**values, **more})


def kept(rows: list[Candidate]) -> tuple[list[str], dict[str, int]]:
    counts: Counter[str] = Counter()
    return [one.row_id for one in without_conflicts(rows, {}, counts)], dict(counts)


def test_a_measured_truth_counts_more_than_a_generators() -> None:
    mine = row("a", "iqa-spider", truths=((("blur_lens", 3),),))
    same = row("b", "dq-495k", truths=((("blur_lens", 2),),))
    other = row("c", "dq-495k", truths=((("pixelate", 3),),), answer="Pixels, everywhere in it.")
    assert kept([mine, same]) == (["a", "b"], {})
    assert kept([mine, other]) == (["a"], {"conflicts: distortions of one picture: dq-495k": 1})


def test_of_two_generators_truths_neither_stays() -> None:
    rows = [row(name, "dq-495k", truths=((("pixelate", k),),), answer=f"Pixels of size {k}, I think.")
            for k, name in enumerate("ab", 1)]  # fmt: skip
    assert kept(rows) == ([], {"conflicts: distortions of one picture, equal rank: dq-495k": 2})


@pytest.mark.parametrize(
    ("question", "answer", "level", "stays"),
    [
        ("Is this image blurry?", "No.", 4, False),
        ("Is this image blurry?", "No.", 1, True),
        ("Is this image blurry?", "Yes.", 4, True),
        ("Is this image noisy?", "No.", 4, True),
        ("Is the colour vivid?", "No.", 5, True),
    ],
)
def test_people_who_deny_a_plain_distortion_are_left_out(
    question: str, answer: str, level: int, stays: bool
) -> None:
    truth = row("a", "dq-495k", truths=((("blur_gaussian", level),),), answer="A blur, everywhere in it.")
    said = row("b", "q-instruct", question=question, answer=answer)
    names, counts = kept([truth, said])
    assert names == (["a", "b"] if stays else ["a"])
    assert counts == ({} if stays else {"conflicts: text denies a distortion: q-instruct": 1})


def test_short_answers_that_differ_follow_the_rank() -> None:
    rows = [row("a", "dq-495k", answer="No."), row("b", "q-instruct"), row("c", "q-instruct", ("other",))]
    assert kept(rows) == (["a", "c"], {"conflicts: answers to one question: q-instruct": 1})


def test_a_dialogue_twice_is_the_one_that_counts_more() -> None:
    rows = [row("z", "q-instruct", answer="yes"), row("b", "dq-495k"), row("c", "q-instruct", ("near",))]
    counts: Counter[str] = Counter()
    found = without_repeats(rows, {"near": "p"}, counts)
    assert [one.row_id for one in found] == ["b"]
    assert counts == {"duplicates: dialogues: q-instruct": 2}


def stored(name: str, rgb: np.ndarray) -> Picture:
    return Picture(name, "k", 0, name, pixel_hash(rgb), fingerprint(rgb), 1)


def small(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(rgb, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))


def test_near_copies_of_photographs_are_one_picture_and_versions_of_one_are_not() -> None:
    china = photograph("china", 200)
    listed = (stored("a", china), stored("b", small(china)), stored("c", china.copy()))
    pictures = {picture.sha256: picture for picture in listed}
    counts: Counter[str] = Counter()
    assert same_pictures(pictures, set(), 4, counts) == {"a": "a", "b": "a", "c": "a"}
    assert counts == {"duplicates: pictures, exact": 1, "duplicates: pictures, near": 1}
    assert same_pictures(pictures, {"a", "b", "c"}, 4, Counter()) == {"a": "a", "b": "b", "c": "a"}


def test_splits_follow_our_photograph_then_a_published_test() -> None:
    config = MergeConfig(test_share=0.5)
    china, coffee = photograph("china", 200), photograph("coffee", 200)
    for mine in ("1" * 64, "2" * 64, "3" * 64, "4" * 64):
        pictures = {"a": stored("a", small(china)), "b": stored("b", coffee)}
        rows = [
            row("own", "iqa-spider", photograph=mine),
            row("copy", "q-instruct", ("a",)),
            row("version", "dq-495k", ("b",), groups=("KADIS700K:x",)),
            row("test", "dq-495k", ("b",), groups=("KADIS700K:x",), test=True),
            row("text", "q-instruct", ()),
        ]
        placed = split_rows(rows, pictures, [(mine, fingerprint(china))], config, Counter())
        splits = {one.row_id: split for one, split in placed}
        assert splits["copy"] == splits["own"] == split_of(mine, config)
        assert splits["version"] == splits["test"] == "test"
        assert len(splits) == 5


def test_rows_between_our_splits_go() -> None:
    config = MergeConfig(test_share=0.5)
    shas = [f"{k:064x}" for k in range(40)]
    train = next(sha for sha in shas if split_of(sha, config) == "train")
    test = next(sha for sha in shas if split_of(sha, config) == "test")
    china, coffee = photograph("china", 200), photograph("coffee", 200)
    pictures = {"a": stored("a", small(china)), "b": stored("b", small(coffee))}
    rows = [row("own1", "iqa-spider", photograph=train), row("own2", "iqa-spider", photograph=test),
            row("pair", "dq-495k", ("a", "b")), row("published", "dq-495k", ("a",), test=True)]  # fmt: skip
    counts: Counter[str] = Counter()
    photographs = [(train, fingerprint(china)), (test, fingerprint(coffee))]
    placed = split_rows(rows, pictures, photographs, config, counts)
    assert [one.row_id for one, _ in placed] == ["own1", "own2"]
    assert counts == {"between splits: dq-495k": 2}
    placed = split_rows([rows[0], rows[3]], pictures, photographs, config, Counter())
    assert [one.row_id for one, _ in placed] == ["own1"]


def test_mixture_keeps_caps_and_proportions_whatever_the_order() -> None:
    rows = [row(f"q{k}", "q-instruct") for k in range(30)] + [row(f"d{k}", "dq-495k") for k in range(50)]
    rules = [MixtureRule(source="q-instruct", cap=20, weight=2), MixtureRule(source="dq-495k", weight=3.0)]
    found = mixed(rows, rules, 7, Counter())
    assert Counter(one.source for one in found) == {"q-instruct": 20, "dq-495k": 30}
    assert {one.row_id for one in mixed(rows[::-1], rules, 7, Counter())} == {one.row_id for one in found}
    assert {one.row_id for one in mixed(rows, rules, 8, Counter())} != {one.row_id for one in found}
    fewer = mixed([one for one in rows if one.row_id != found[0].row_id], rules[:1], 7, Counter())
    before = {one.row_id for one in found if one.source == "q-instruct"}
    assert len({one.row_id for one in fewer} & before) >= 19


def test_licenses() -> None:
    stated = "Apache-2.0 (dataset card); S-Lab License 1.0, non-commercial (repository)"
    assert allowed(stated, LicensesConfig())
    assert not allowed(stated, LicensesConfig(deny=["*non-commercial*"]))
    assert not allowed(stated, LicensesConfig(allow=["apache-2.0"]))
    assert allowed("Apache-2.0", LicensesConfig(allow=["apache-2.0"], deny=["*s-lab*"]))
    assert not allowed("not stated", LicensesConfig(allow=["*apache*"]))


def test_a_list_of_hashes_keeps_out(tmp_path: Path) -> None:
    china, coffee, rocket = (photograph(name, 200) for name in ("china", "coffee", "rocket"))
    lines = ["# hashes", f"{pixel_hash(china)}  china.png", perceptual_hash(coffee), "", fingerprint(rocket)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    hashes = [("set", value, name) for value, name in read_list(tmp_path / "list.txt")]
    keep_out = KeepOut([], hashes, 4, Store(tmp_path))
    assert keep_out.match("x", pixel_hash(china), fingerprint(china)) == ("set/china.png", "exact")
    for rgb in (small(coffee), small(rocket)):
        found = keep_out.match("x", pixel_hash(rgb), fingerprint(rgb))
        assert found is not None
        assert found[1] == "near"
    assert keep_out.match("x", "y", fingerprint(photograph("astronaut", 200))) is None


@pytest.mark.parametrize("line", ["nonsense", "abcdef", "../china.png", "0123456789abcdeg"])
def test_a_list_of_something_else_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"# ok\n{line}\n")
    with pytest.raises(InputError, match=r"list\.txt:2"):
        read_list(tmp_path / "list.txt")
