"""KADID-10k: higher is better, both readings of the logits, a missing score counted against the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inference.evaluation.benchmark_interface import Item, Reply
from inference.evaluation.benchmarks.kadid10k import READINGS, TYPES, Kadid10k
from schemas.errors import InputError
from tests.inference.evaluation.published_files import numbers, write_dmos, write_kadid

ROWS = [
    [f"I01_01_{level:02}.png", "I01.png", score, "0.4"]
    for level, score in enumerate(("4.57", "4.33", "2.67", "1.67", "1.1"), start=1)
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kadid(tmp_path_factory.mktemp("kadid"))


def logits(item: Item, quality: float) -> tuple[float, ...]:
    """Logits of the item's words, higher for better words the better the quality (0..1)."""
    weights = np.asarray(READINGS[item.task].weights)
    return tuple(float(value) for value in -20 * np.abs(weights - quality))


def oracle(item: Item) -> Reply:
    dmos, _ = item.truth
    return Reply(words=logits(item, (dmos - 1) / 4))


def test_each_picture_is_asked_for_both_readings_as_published(data: Path) -> None:
    items = list(Kadid10k().open(data, None).items())
    assert len(items) == 2 * 2 * 2 * 5
    first, second = items[:2]
    assert (first.questions, first.start, first.words) == (
        ("Rate the quality of the image.",),
        "The quality of the image is",
        ("good", "poor"),
    )
    assert (second.questions, second.words) == (
        ("How would you rate the quality of this image?",),
        ("excellent", "good", "fair", "poor", "bad"),
    )
    assert [first.group, items[-1].group] == ["I01.png", "I02.png"]
    assert first.labels == {"distortion": "gaussian blur", "level": "1"}
    assert first.truth == (4.25, 1)
    assert not np.array_equal(first.picture(), items[8].picture())


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_good_and_poor_are_a_softmax_at_temperature_100(good: float, poor: float) -> None:
    expected = np.exp(good / 100) / (np.exp(good / 100) + np.exp(poor / 100))
    assert READINGS["good-poor"].score((good, poor)) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.floats(-30, 30), min_size=5, max_size=5))
def test_five_levels_are_the_expected_level(values: list[float]) -> None:
    shares = np.exp(values) / np.exp(values).sum()
    expected = (float(shares @ [5, 4, 3, 2, 1]) - 1) / 4
    assert READINGS["five-levels"].score(values) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("task", READINGS)
def test_better_words_make_higher_scores_whatever_the_scale_of_logits(task: str) -> None:
    reading = READINGS[task]
    best, worst = np.zeros(len(reading.words)), np.zeros(len(reading.words))
    best[0] = worst[-1] = 9.0
    assert reading.score(best) > 0.5 > reading.score(worst)
    assert reading.score(best + 1000) == pytest.approx(reading.score(best))


def test_higher_dmos_is_better_in_the_file_and_in_the_result(data: Path) -> None:
    right = numbers(Kadid10k(), data, oracle)
    for task in READINGS:
        assert right[f"{task}: SRCC"] > 0.9
        assert right[f"{task}: PLCC"] > 0.9
        assert right[f"{task}: PLCC fitted"] > 0.9
        assert right[f"{task}: no answer"] == 0.0
    upside_down = numbers(Kadid10k(), data, lambda item: Reply(words=logits(item, (5 - item.truth[0]) / 4)))
    for task in READINGS:
        assert upside_down[f"{task}: SRCC"] == pytest.approx(-right[f"{task}: SRCC"], abs=0.05)
        assert upside_down[f"{task}: SRCC"] < -0.9


@given(st.sampled_from(sorted(READINGS)), st.floats(0, 1))
def test_ideal_logits_read_as_their_score(task: str, score: float) -> None:
    assert READINGS[task].score(READINGS[task].logits(score)) == pytest.approx(score, abs=1e-6)


def test_the_oracles_logits_are_right_to_the_last_picture(data: Path) -> None:
    found = numbers(Kadid10k(), data, lambda item: Reply(words=item.ideal))
    for task in READINGS:
        assert found[f"{task}: SRCC"] == pytest.approx(1.0)
        assert found[f"{task}: PLCC"] == pytest.approx(1.0)


def test_nothing_is_computed_over_both_readings() -> None:
    assert all(measure.tasks is not None and len(measure.tasks) == 1 for measure in Kadid10k().measures)


def test_a_file_whose_scores_run_the_other_way_is_refused(tmp_path: Path) -> None:
    write_kadid(tmp_path, ("chelsea",), 1)
    write_dmos(tmp_path, [[*row[:2], f"{6 - float(row[2]):.2f}", row[3]] for row in ROWS])
    with pytest.raises(InputError, match=r"the wrong way: 1.43 on average at level 1, 4.90 at level 5"):
        Kadid10k().open(tmp_path, None)


def test_correlations_are_those_of_scipy_by_distortion_too(data: Path) -> None:
    random = np.random.default_rng(4)
    said: dict[str, float] = {}

    def guess(item: Item) -> Reply:
        quality = float(np.clip((item.truth[0] - 1) / 4 + random.normal(0, 0.3), 0, 1))
        words = logits(item, quality)
        said[item.id] = READINGS[item.task].score(words)
        return Reply(words=words)

    found = numbers(Kadid10k(), data, guess)
    items = [item for item in Kadid10k().open(data, None).items() if item.task == "five-levels"]
    scores, dmos = np.array([said[i.id] for i in items]), np.array([i.truth[0] for i in items])
    kinds = np.array([i.truth[1] for i in items])
    assert found["five-levels: SRCC"] == pytest.approx(stats.spearmanr(scores, dmos).statistic)
    assert found["five-levels: PLCC"] == pytest.approx(stats.pearsonr(scores, dmos).statistic)
    by_kind = [stats.spearmanr(scores[kinds == kind], dmos[kinds == kind]).statistic for kind in (1, 2)]
    assert found["five-levels: SRCC, 01 gaussian blur"] == pytest.approx(by_kind[0])
    assert found["five-levels: SRCC, 02 lens blur"] == pytest.approx(by_kind[1])
    assert found["five-levels: SRCC, mean over distortions"] == pytest.approx(np.mean(by_kind))
    assert np.isnan(found["five-levels: SRCC, 25 contrast change"])


@pytest.mark.parametrize(
    "reply",
    [
        Reply(),
        Reply(words=(1.0,)),
        Reply(words=(float("nan"),) * 5),
        Reply(words=(1.0, 0.0), error="timeout"),
        Reply(texts=("good",)),
    ],
)
def test_a_missing_score_is_the_wrong_end_of_the_scale(data: Path, reply: Reply) -> None:
    missing = numbers(Kadid10k(), data, lambda item: reply)
    assert all(missing[f"{task}: no answer"] == 1.0 for task in READINGS)
    assert all(missing[f"{task}: SRCC"] < -0.7 for task in READINGS)

    half = numbers(Kadid10k(), data, lambda item: oracle(item) if item.group == "I01.png" else reply)
    full = numbers(Kadid10k(), data, oracle)
    assert all(half[f"{task}: SRCC"] < full[f"{task}: SRCC"] - 0.2 for task in READINGS)


def test_a_limit_counts_items(tmp_path: Path) -> None:
    write_kadid(tmp_path, ("chelsea",), 1)
    (tmp_path / "images" / "I01_01_03.png").unlink()
    opened = Kadid10k().open(tmp_path, 3)
    assert [item.id for item in opened.items()] == [
        "I01_01_01-good-poor", "I01_01_01-five-levels", "I01_01_02-good-poor",
    ]  # fmt: skip
    assert Kadid10k().open(tmp_path, 2).identity == opened.identity
    with pytest.raises(InputError, match=r"1 of 5 files are missing, the first 'I01_01_03.png'"):
        Kadid10k().open(tmp_path, None)


def line(**values: str) -> list[list[str]]:
    """The rows, the third one with other values."""
    names = ("dist_img", "ref_img", "dmos", "var")
    return [*ROWS[:2], [values.get(n, v) for n, v in zip(names, ROWS[2], strict=True)], *ROWS[3:]]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (line(dist_img="I01_26_03.png"), "line 4: 'I01_26_03.png'"),
        (line(dist_img="I1_1_3.png"), "line 4: 'I1_1_3.png'"),
        (line(dist_img="../I01_01_03.png"), "line 4: 'dist_img'"),
        (line(ref_img="I02.png"), "of 'I02.png'"),
        (line(dmos="none"), "line 4: dmos 'none' isn't a number from 1 to 5"),
        (line(dmos="nan"), "line 4: dmos"),
        (line(dmos="0.5"), "line 4: dmos"),
        (line(dmos="67.3"), "line 4: dmos"),
        (line(dmos=""), "line 4: 'dmos'"),
        (line(dist_img="I01_01_02.png"), "line 4: I01_01_02.png is listed twice"),
        ([*ROWS[:2], ROWS[2][:3]], "line 4: 3 values for 4 columns"),
        ([], "no rows"),
    ],
)
def test_a_line_that_isnt_as_published_is_named(tmp_path: Path, rows: list[list[str]], said: str) -> None:
    write_kadid(tmp_path, ("chelsea",), 1)
    write_dmos(tmp_path, rows)
    with pytest.raises(InputError) as raised:
        Kadid10k().open(tmp_path, None)
    assert said in str(raised.value)
    assert f"{tmp_path / 'dmos.csv'}" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"image,score\nI01_01_01.png,3\n", "line 1: the columns are 'image,score'"),
        (b"", "line 1: the columns are ''"),
        (b"\xff\xfe", "not UTF-8"),
        (b'dist_img,ref_img,dmos,var\n"I01_01_01.png', "line 2: not valid CSV"),
    ],
)
def test_a_file_that_isnt_dmos_csv_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "dmos.csv").write_bytes(content)
    with pytest.raises(InputError) as raised:
        Kadid10k().open(tmp_path, None)
    assert said in str(raised.value)


def test_the_25_distortions_have_names() -> None:
    assert len(set(TYPES)) == 25
