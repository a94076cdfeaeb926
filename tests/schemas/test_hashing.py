"""Hashing: canonical JSON, keys and seeds that never change, generators that don't depend on each other."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.hashing import canonical_json, content_key, derived_seed, rng

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_canonical_json_keeps_the_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), st.integers(), max_size=6))
def test_order_of_keys_is_of_no_matter(value: dict[str, int]) -> None:
    turned = dict(reversed(list(value.items())))
    assert canonical_json(turned) == canonical_json(value)
    assert content_key(turned) == content_key(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_what_json_lacks_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(value)


def test_keys_and_seeds_are_those_of_every_earlier_version() -> None:
    assert content_key("stage", {"a": [1, 2.5, None, "ü"]}) == (
        "b8737dd26ff854caa8db7d3d0c72078c90c45aa2b0856a233036f4cbcf7ad176"
    )
    assert derived_seed(7, "distort", "x") == 6656867671781700648
    assert rng(7, "distort", "x").integers(2**32) == 2120731962


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_other_names_give_other_seeds(first: list[str], second: list[str]) -> None:
    assert (derived_seed(1, *first) == derived_seed(1, *second)) == (first == second)
    assert derived_seed(1, *first) != derived_seed(2, *first)


def test_parts_are_not_glued_together() -> None:
    assert content_key("ab", "c") != content_key("a", "bc")
    assert derived_seed(0, "ab", "c") != derived_seed(0, "a", "bc")


def test_a_generator_is_untouched_by_other_draws() -> None:
    alone = rng(3, "a").random(5)
    np.random.seed(0)  # noqa: NPY002
    rng(3, "b").random(100)
    assert np.array_equal(rng(3, "a").random(5), alone)
