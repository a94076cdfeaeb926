"""Intervals and tests against scipy, against cases with a known answer, and over clustered items."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import permutation_test

from inference.evaluation import bootstrap, measures, sampling
from inference.evaluation.benchmark_interface import Measure, Statistic
from inference.evaluation.sampling import Sample


def sample(values: np.ndarray, groups: np.ndarray | None = None) -> Sample:
    columns = values.reshape(len(values), -1).astype(np.float64)
    numbered = np.arange(len(columns)) if groups is None else groups
    return Sample(columns, numbered.astype(np.int64), np.zeros(len(columns), np.int64))


MEAN = measures.mean("score", "score")


def test_the_interval_of_a_mean_is_that_of_scipy() -> None:
    values = np.random.default_rng(3).exponential(1.0, 40)
    mine = bootstrap.interval(MEAN, sample(values), seed=0, resamples=20000)
    other = scipy_bootstrap(
        (values,), np.mean, n_resamples=20000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    assert mine.method == "BCa"
    assert mine.value == pytest.approx(values.mean())
    assert (mine.low, mine.high) == pytest.approx((other.low, other.high), abs=0.02)
    plain = np.quantile(
        sampling.resampled(MEAN, [sample(values)], 20000, np.random.default_rng(1))[0], [0.025, 0.975]
    )
    assert mine.high - plain[1] > 0.02, "skewed values move the interval"


def test_the_interval_of_a_correlation_is_that_of_scipy() -> None:
    random = np.random.default_rng(5)
    x = random.normal(size=60)
    pairs = np.stack([x, x + random.normal(size=60)], axis=1)
    statistic: Statistic = measures.correlations("x", "y")[0]
    mine = bootstrap.interval(statistic, sample(pairs), seed=0)
    other = scipy_bootstrap(
        (pairs[:, 0], pairs[:, 1]), lambda a, b: statistic.of(np.stack([a, b], axis=1)),
        paired=True, vectorized=False, n_resamples=2000, method="BCa", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert (mine.low, mine.high) == pytest.approx((other.low, other.high), abs=0.05)


def test_questions_on_one_picture_are_drawn_together() -> None:
    per_picture = np.random.default_rng(0).random(12)
    repeated = np.repeat(per_picture, 25)
    clustered = bootstrap.interval(MEAN, sample(repeated, np.repeat(np.arange(12), 25)), seed=0)
    alone = bootstrap.interval(MEAN, sample(per_picture), seed=0)
    blind = bootstrap.interval(MEAN, sample(repeated), seed=0)
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high))
    assert (clustered.items, clustered.groups) == (300, 12)
    assert blind.high - blind.low < (clustered.high - clustered.low) / 3


def test_intervals_cover_what_they_should() -> None:
    hits = 0
    for trial in range(200):
        random = np.random.default_rng(trial)
        groups = np.repeat(np.arange(40), 3)
        values = (random.normal(size=40)[groups] + random.normal(size=120)) > 0
        found = bootstrap.interval(MEAN, sample(values, groups), seed=trial, resamples=400)
        hits += found.low <= 0.5 <= found.high
    assert 180 <= hits <= 198


def test_an_interval_needs_two_pictures_and_a_defined_value() -> None:
    one = bootstrap.interval(MEAN, sample(np.array([1.0, 0.0]), np.zeros(2)), seed=0)
    assert one.method == "one group"
    assert one.value == 0.5
    assert math.isnan(one.low)
    none = bootstrap.interval(measures.ratio("r", "a", "b"), sample(np.zeros((4, 2))), seed=0)
    assert none.method == "undefined"
    same = bootstrap.interval(MEAN, sample(np.ones(9)), seed=0)
    assert (same.low, same.high) == (1.0, 1.0)


def test_the_same_seed_gives_the_same_interval_and_another_another() -> None:
    values = sample(np.random.default_rng(0).random(30))
    first, again, other = (bootstrap.interval(MEAN, values, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_swapping_few_pictures_tries_every_way() -> None:
    a = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    b = a + np.array([1.0, 2.0, 0.5, 1.5, 3.0, 0.25])
    found = bootstrap.difference(MEAN, sample(a), sample(b), seed=0)
    assert found.test == "permutation"
    assert found.p == pytest.approx(2 / 2**6)
    assert found.difference == pytest.approx(8.25 / 6)
    assert found.second == "Wilcoxon"
    assert found.low > 0


def test_swapping_many_pictures_agrees_with_scipy() -> None:
    random = np.random.default_rng(2)
    a = random.random(60)
    b = a + random.normal(0.05, 0.2, 60)
    found = bootstrap.difference(MEAN, sample(a), sample(b), seed=0)
    other = permutation_test(
        (a, b), lambda x, y: np.mean(y) - np.mean(x), permutation_type="samples", n_resamples=9999,
        vectorized=False, rng=np.random.default_rng(1),
    )  # fmt: skip
    assert found.p == pytest.approx(other.pvalue, abs=0.02)


def test_pictures_are_swapped_whole() -> None:
    groups = np.repeat(np.arange(4), 50)
    better = np.repeat(np.array([1.0, 1.0, 1.0, 0.0]), 50)
    found = bootstrap.difference(MEAN, sample(np.zeros(200), groups), sample(better, groups), seed=0)
    assert found.p == pytest.approx(4 / 16), "200 items are 4 pictures"
    assert found.second == "McNemar"
    assert found.second_p < 1e-9


def test_a_swap_without_a_value_is_no_proof() -> None:
    precision = measures.ratio("precision", "right", "claimed")
    a = sample(np.array([[1, 1]] * 3 + [[0, 0]] * 3))
    b = sample(np.array([[0, 0]] * 3 + [[0, 1]] * 3))
    # Of 64 swaps two give the difference; in two more one side claims nothing, and has no precision.
    assert bootstrap.difference(precision, a, b, seed=0).p == 4 / 64


def test_swaps_of_many_pictures_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    a, b = (sample(random.random(40) + shift) for shift in (0.0, 0.15))
    at_once = bootstrap.difference(MEAN, a, b, seed=0).p
    monkeypatch.setattr(bootstrap, "_CHUNK", 40 * 1000)
    assert bootstrap.difference(MEAN, a, b, seed=0).p == at_once


def test_mcnemar_counts_what_changed() -> None:
    a = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1], np.float64)
    b = np.array([1, 1, 0, 1, 1, 1, 1, 1, 1, 0, 1, 1], np.float64)
    found = bootstrap.difference(MEAN, sample(a), sample(b), seed=0)
    assert found.second == "McNemar"
    assert found.second_p == pytest.approx(2 * (1 + 7) / 2**7)
    equal = bootstrap.difference(MEAN, sample(a), sample(a), seed=0)
    assert (equal.p, equal.second_p, equal.low, equal.high) == (1.0, 1.0, 0.0, 0.0)


def test_ranks_are_compared_without_swapping_scores_of_two_scales() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=80)
    good = np.stack([1000 * (truth + 0.3 * random.normal(size=80)), truth], axis=1)
    poor = np.stack([truth + 3 * random.normal(size=80), truth], axis=1)
    statistic = measures.correlations("x", "y")[0]
    found = bootstrap.difference(statistic, sample(poor), sample(good), seed=0)
    assert found.test == "bootstrap"
    assert found.p < 0.01
    assert found.low > 0


def test_no_difference_is_rarely_called_one() -> None:
    calls = 0
    for trial in range(100):
        random = np.random.default_rng(trial)
        groups = np.repeat(np.arange(20), 4)
        common = random.random(20)[groups]
        a, b = (common + random.normal(0, 0.3, 20)[groups] for _ in range(2))
        calls += bootstrap.difference(MEAN, sample(a, groups), sample(b, groups), seed=trial).p < 0.05
    assert calls <= 12


def test_a_sum_of_ratios_is_resampled_as_one() -> None:
    random = np.random.default_rng(0)
    pairs = random.integers(0, 50, (30, 2)) + np.array([0, 50])
    ratio: Measure = measures.ratio("cIoU", "i", "u")
    found = bootstrap.interval(ratio, sample(pairs), seed=0)
    assert found.value == pytest.approx(pairs[:, 0].sum() / pairs[:, 1].sum())
    drawn = sampling.resampled(ratio, [sample(pairs)], 500, np.random.default_rng(7))[0]
    counts = sampling.draw_counts(30, 500, np.random.default_rng(7))
    by_hand = (counts @ pairs[:, 0]) / (counts @ pairs[:, 1])
    assert drawn == pytest.approx(by_hand)
    left_out = sampling.without_each(ratio, sample(pairs))
    assert left_out[3] == pytest.approx(np.delete(pairs[:, 0], 3).sum() / np.delete(pairs[:, 1], 3).sum())


def test_holm_by_hand() -> None:
    assert bootstrap.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    adjusted = bootstrap.holm([0.01, float("nan"), 0.5])
    assert adjusted[::2] == pytest.approx([0.02, 0.5])
    assert math.isnan(adjusted[1])
    assert bootstrap.holm([0.9, 0.8]) == [1.0, 1.0]
