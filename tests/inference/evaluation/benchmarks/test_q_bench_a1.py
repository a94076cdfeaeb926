"""Q-Bench A1: answers read strictly, accuracy by kind of question, files that aren't as published named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.evaluation.benchmark_interface import Item, Reply
from inference.evaluation.benchmarks.q_bench_a1 import INSTRUCTION, QBenchA1, parse
from schemas.errors import InputError
from tests.inference.evaluation.published_files import QUESTIONS, numbers, write_json, write_q_bench

OPTIONS = ("Blurry", "Noisy", "Overexposed", "A bit dark")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_q_bench(tmp_path_factory.mktemp("q-bench"))


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [
        ("B", 1),
        ("b", 1),
        (" B.\n", 1),
        ("(B)", 1),
        ("B)", 1),
        ("B. Noisy", 1),
        ("B: noisy.", 1),
        ("**B. Noisy**", 1),
        ("Noisy", 1),
        ("noisy.", 1),
        ("The answer is B.", 1),
        ("Answer: B", 1),
        ("The correct option is (B) Noisy", 1),
        ("A bit dark", 3),
        ("A", 0),
        ("B, because there is grain everywhere", 1),
        ("D. A bit dark", 3),
        ("", None),
        ("E", None),
        ("E. Sharp", None),
        ("Blurry and noisy", None),
        ("A. Noisy", None),
        ("A. Blurry B. Noisy", None),
        ("A and B", None),
        ("a. grainy mess", None),
        ("Banana", None),
        ("I can't tell from this picture.", None),
        ("A sharp picture", None),
    ],
)
def test_an_answer_chooses_one_candidate_or_none(answer: str, chosen: int | None) -> None:
    assert parse(answer, OPTIONS) == chosen


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=4))
def test_any_answer_is_a_candidates_number_or_none(answer: str, candidates: list[str]) -> None:
    assert parse(answer, candidates) in (None, *range(len(candidates)))


@given(st.sampled_from(range(4)), st.sampled_from(["{}", "{}.", "({})", "Answer: {}", "{}\n", "**{}**"]))
def test_a_letter_is_read_in_every_dress(number: int, dress: str) -> None:
    assert parse(dress.format("ABCD"[number]), ["one", "two", "three", "four"]) == number


def test_questions_are_put_as_the_publishers_do(data: Path) -> None:
    items = list(QBenchA1().open(data, None).items())
    assert items[1].questions == (
        f"What is the main colour of the picture?\nA. Blue\nB. Brown\nC. Green\nD. Red\n{INSTRUCTION}",
    )
    assert items[1].labels == {"type": "what", "concern": "other"}
    assert [item.reference for item in items] == ["A", "B", "A", "A"]
    assert [item.group for item in items] == ["chelsea.jpg", "coffee.jpg", "rocket.jpg", "chelsea.jpg"]
    assert items[1].picture().shape == (64, 96, 3)
    assert items[1].picture().dtype == np.uint8


def test_an_oracle_is_always_right(data: Path) -> None:
    found = numbers(QBenchA1(), data, lambda item: Reply(texts=(item.reference,)))
    assert found.pop("unparsed") == 0.0
    assert set(found.values()) == {1.0}


def test_accuracy_by_kind_and_what_the_published_rule_makes_of_it(data: Path) -> None:
    said = ("No", "Blue or Brown", "A. Sufficient", "An Apt choice")

    def answer(item: Item) -> Reply:
        return Reply(texts=(said[int(item.id[-1])],))

    assert numbers(QBenchA1(), data, answer) == {
        "accuracy": 0.25,
        "accuracy, yes-or-no": 0.0,
        "accuracy, what": 0.0,
        "accuracy, how": 1.0,
        "accuracy, distortion": 0.0,
        "accuracy, other": 0.0,
        "accuracy, in-context distortion": 0.0,
        "accuracy, in-context other": 1.0,
        "accuracy, published rule": 0.75,
        "unparsed": 0.5,
    }


@pytest.mark.parametrize("reply", [Reply(), Reply(texts=("",)), Reply(texts=("A",), error="timeout")])
def test_a_missing_answer_is_wrong_and_not_left_out(data: Path, reply: Reply) -> None:
    found = numbers(QBenchA1(), data, lambda item: reply)
    assert found.pop("unparsed") == 1.0
    assert set(found.values()) == {0.0}


def test_a_limit_takes_the_first_and_needs_their_pictures_only(tmp_path: Path) -> None:
    folder = write_q_bench(tmp_path / "data")
    (folder / "images" / "rocket.jpg").unlink()
    assert QBenchA1().open(folder, 2).count == 2


def test_another_folder_of_the_publishers_and_the_file_itself_will_do(tmp_path: Path) -> None:
    folder = write_q_bench(tmp_path / "data")
    (folder / "images").rename(folder / "llvisionqa_qbench_dev")
    assert QBenchA1().open(folder / "llvisionqa_dev.json", None).count == 4


def test_identity_follows_questions_and_pictures(tmp_path: Path) -> None:
    folder = write_q_bench(tmp_path / "data")
    before = QBenchA1().open(folder, None).identity
    assert QBenchA1().open(folder, None).identity == before
    assert QBenchA1().open(folder, 2).identity == before
    picture = folder / "images" / "rocket.jpg"
    picture.write_bytes(picture.read_bytes() + b"more")
    other = QBenchA1().open(folder, None).identity
    assert other != before
    write_json(folder / "llvisionqa_dev.json", QUESTIONS[:3])
    assert QBenchA1().open(folder, None).identity not in (before, other)


def changed(**values: Any) -> list[dict[str, Any]]:
    """The questions, the second one with other values; None takes a field out."""
    record = {key: value for key, value in {**QUESTIONS[1], **values}.items() if value is not None}
    return [QUESTIONS[0], record, *QUESTIONS[2:]]


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (changed(img_path=None), "record 1: 'img_path' is missing"),
        (changed(img_path="../coffee.jpg"), "record 1: 'img_path'"),
        (changed(img_path="/etc/hostname"), "record 1: 'img_path'"),
        (changed(img_path=7), "record 1: 'img_path'"),
        (changed(question=" "), "record 1: 'question'"),
        (changed(candidates="Blue"), "record 1: 'candidates'"),
        (changed(candidates=["Brown"]), "record 1: 'candidates'"),
        (changed(candidates=["Brown", 3]), "record 1: candidates: '1' is not a text"),
        (changed(candidates=["Brown", "\ud800"]), "record 1: candidates: '1' holds"),
        (changed(question="is\x00it"), "record 1: 'question' holds control characters"),
        (changed(candidates=list("ABCDEFGHI")), "record 1: 'candidates'"),
        (changed(correct_ans=None), "record 1: no 'correct_ans'"),
        (changed(correct_ans="Violet"), "record 1: 'correct_ans' 'Violet'"),
        (changed(type=3), "record 1: 'type' is '3'"),
        (changed(type=True), "record 1: 'type'"),
        (changed(concern="1"), "record 1: 'concern'"),
        ([QUESTIONS[0], "text"], "record 1: str, not an object"),
        ({"rows": QUESTIONS}, "not a list of records"),
        ([], "not a list of records"),
        (changed(img_path=f"{'x' * 300}.jpg"), "1 of 3 files are missing"),
        (changed(img_path="lost.jpg"), "1 of 3 files are missing, the first 'lost.jpg'; unpack"),
    ],
)
def test_what_isnt_as_published_is_named_in_one_line(tmp_path: Path, records: Any, said: str) -> None:
    folder = write_q_bench(tmp_path / "data")
    write_json(folder / "llvisionqa_dev.json", records)
    with pytest.raises(InputError) as raised:
        QBenchA1().open(folder, None)
    assert said in str(raised.value)
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"img_path": "a.jpg",\n "question"]', "line 2: not valid JSON"),
        (b"\xff\xfe[", "byte 0 is not UTF-8"),
        (b"[" * 100_000, "nested too deep"),
        (b"", "line 1: not valid JSON"),
        (b"[" + b"9" * 5000 + b"]", "not valid JSON: exceeds the limit"),
    ],
)
def test_a_file_that_is_no_json_is_named_with_its_line(tmp_path: Path, content: bytes, said: str) -> None:
    folder = write_q_bench(tmp_path / "data")
    (folder / "llvisionqa_dev.json").write_bytes(content)
    with pytest.raises(InputError) as raised:
        QBenchA1().open(folder, None)
    assert said in str(raised.value)
    assert "llvisionqa_dev.json" in str(raised.value)


def test_a_folder_without_the_file_or_with_several_asks_which(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no llvisionqa_dev\.json in it"):
        QBenchA1().open(tmp_path, None)
    for name in ("llvisionqa_a.json", "llvisionqa_b.json"):
        write_json(tmp_path / name, QUESTIONS)
    with pytest.raises(InputError, match=r"llvisionqa_a.json, llvisionqa_b.json"):
        QBenchA1().open(tmp_path, None)
    with pytest.raises(InputError, match="no such folder"):
        QBenchA1().open(tmp_path / "nowhere", None)


def test_a_picture_that_leads_out_of_the_folder_counts_as_missing(tmp_path: Path) -> None:
    folder = write_q_bench(tmp_path / "data")
    (tmp_path / "outside.jpg").write_bytes((folder / "images" / "coffee.jpg").read_bytes())
    (folder / "images" / "coffee.jpg").unlink()
    (folder / "images" / "coffee.jpg").symlink_to(tmp_path / "outside.jpg")
    with pytest.raises(InputError, match=r"1 of 3 files are missing, the first 'coffee.jpg'"):
        QBenchA1().open(folder, None)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1", b"<html>"])
def test_a_file_that_is_no_picture_is_counted_before_anything_is_asked(
    tmp_path: Path, content: bytes
) -> None:
    folder = write_q_bench(tmp_path / "data")
    (folder / "images" / "coffee.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"1 of 3 files are not pictures, the first 'coffee.jpg'; unpack"):
        QBenchA1().open(folder, None)


def test_a_picture_that_is_broken_is_named_when_it_is_looked_at(tmp_path: Path) -> None:
    folder = write_q_bench(tmp_path / "data")
    whole = (folder / "images" / "coffee.jpg").read_bytes()
    (folder / "images" / "coffee.jpg").write_bytes(whole[: len(whole) // 2])
    items = list(QBenchA1().open(folder, None).items())
    with pytest.raises(InputError, match=r"coffee.jpg: truncated"):
        items[1].picture()


_LEAVES = (
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.sampled_from(["Brown", "a.jpg", "../x"])
)
_ANY = st.recursive(_LEAVES | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@given(st.dictionaries(st.sampled_from([*QUESTIONS[1], "more"]), _ANY, min_size=1))
def test_any_record_is_read_or_named_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "hostile-q-bench"
    write_json(folder / "llvisionqa_dev.json", [QUESTIONS[0] | values])
    with pytest.raises(InputError) as raised:
        QBenchA1().open(folder, None)
    assert "record 0" in str(raised.value) or "files are missing" in str(raised.value)
    assert str(raised.value).isprintable()
