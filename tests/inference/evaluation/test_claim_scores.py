"""Claims of answers scored against the truth: right, half right, wrong, vague."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.qa.lexicon import load_lexicon
from annotation.qa.read_claims import Claim, Claims, read_claims
from inference.evaluation.benchmark_interface import Values
from inference.evaluation.claim_scores import score_claims, score_missing
from schemas.records import Distortion, Row
from tests.annotation.qa.claim_rows import (
    BLUR,
    EVERYWHERE,
    GLOBAL,
    JPEG,
    LOCAL,
    LONG,
    NOISE,
    PRISTINE,
    SCENE,
    crafted,
    region,
    row,
)
from tests.annotation.qa.test_crafted_answers import RIGHT, WRONG


def scored(asked: Row, *texts: str) -> Values:
    return score_claims(asked, read_claims(asked, texts))


def test_all_named() -> None:
    found = scored(LONG, "The wooden table suffers from strong Gaussian blur and mild JPEG compression.")
    assert (found["told"], found["truths"], found["right"], found["claimed"]) == (2, 2, 2, 2)
    assert found["f1"] == found["class_f1"] == 1.0
    assert (found["level_near"], found["level_truths"]) == (2, 2)
    assert found["false_claims"] == 0


def test_one_missed_and_one_invented() -> None:
    found = scored(LOCAL, "The wooden table shows Gaussian blur and speckle noise.")
    assert (found["told"], found["right"], found["claimed"]) == (1, 1, 2)
    assert found["f1"] == pytest.approx(0.5)
    assert found["false_claims"] == 1
    assert found["level_truths"] is None


def test_the_right_class_with_the_wrong_name() -> None:
    found = scored(LOCAL, "The wooden table shows motion blur and JPEG compression.")
    assert found["f1"] == pytest.approx(0.5)
    assert found["class_f1"] == 1.0


def test_one_word_for_several_kinds_tells_one_of_them() -> None:
    both = (BLUR, Distortion(name="blur_motion", category="blur", level=3, order=2))
    asked = row("local_description", region(0, "wooden table", *both), targets=("r0",))
    found = scored(asked, "The wooden table is blurry.")
    assert (found["told"], found["truths"]) == (1, 2)
    assert (found["right"], found["claimed"]) == (1, 1)
    named = scored(asked, "The wooden table shows blur, namely Gaussian blur and motion blur.")
    assert named["f1"] == 1.0


def test_saying_it_twice_counts_once() -> None:
    once = scored(LOCAL, "The wooden table shows speckle noise.")
    twice = scored(LOCAL, "The wooden table shows speckle noise.", "The speckle noise is easy to see there.")
    assert once == twice


def test_other_words_for_a_true_kind_hide_no_false_one() -> None:
    plain = scored(LOCAL, "The wooden table shows Gaussian blur and speckle noise.")
    stuffed = scored(LOCAL, "The wooden table shows blur, blurriness, Gaussian blur and speckle noise.")
    assert (stuffed["right"], stuffed["claimed"]) == (plain["right"], plain["claimed"]) == (1, 2)
    assert stuffed["f1"] == plain["f1"] == pytest.approx(0.5)


def test_every_level_is_no_level() -> None:
    text = "The wooden table shows slight {0}. It shows moderate {0}. It shows extreme {0}."
    found = scored(LONG, text.format("Gaussian blur"), text.format("JPEG compression"))
    assert (found["level_near"], found["level_truths"]) == (0, 2)


def test_a_level_is_held_against_its_own_region() -> None:
    weak, strong = (
        Distortion(name="noise_speckle", category="noise", level=level, order=1) for level in (1, 5)
    )
    asked = row(
        "global_description", region(0, "wooden table", strong), region(1, "brown dog", weak),
        targets=("r0", "r1"),
    )  # fmt: skip
    text = "The wooden table shows {} speckle noise. The brown dog shows {} speckle noise."
    assert scored(asked, text.format("extreme", "slight"))["level_near"] == 1
    assert scored(asked, text.format("slight", "extreme"))["level_near"] == 0
    general = scored(asked, "There is slight speckle noise in this picture.")
    assert general["level_near"] == 1


def test_one_word_for_two_kinds_may_have_the_level_of_either() -> None:
    both = (BLUR, Distortion(name="blur_motion", category="blur", level=1, order=2))
    asked = row("referring_long", region(0, "wooden table", *both), targets=("r0",))
    found = scored(asked, "The wooden table is severely blurred. It shows slight motion blur.")
    assert (found["level_near"], found["level_truths"]) == (2, 2)


def test_levels_are_right_within_one() -> None:
    text = "The wooden table shows {} Gaussian blur and {} JPEG compression."
    near = scored(LONG, text.format("moderate", "mild"))
    far = scored(LONG, text.format("slight", "extreme"))
    none = scored(LONG, "The wooden table shows Gaussian blur and JPEG compression.")
    assert [found["level_near"] for found in (near, far, none)] == [2, 0, 0]
    assert near["f1"] == far["f1"] == none["f1"] == 1.0


def test_a_claim_about_another_region_is_judged_there() -> None:
    right = scored(LOCAL, "The wooden table shows Gaussian blur, while the brown dog shows speckle noise.")
    wrong = scored(LOCAL, "The wooden table shows Gaussian blur, while the green lamp shows speckle noise.")
    assert (right["right"], right["claimed"], right["false_claims"]) == (1, 1, 0)
    assert (wrong["right"], wrong["claimed"], wrong["false_claims"]) == (1, 1, 1)


def test_placed_recall_wants_the_place() -> None:
    placed = scored(
        GLOBAL,
        "The wooden table shows strong Gaussian blur and mild JPEG compression. "
        "The brown dog shows moderate speckle noise.",
    )
    assert (placed["placed_told"], placed["placed_truths"], placed["f1"]) == (3, 3, 1.0)
    assert (placed["level_near"], placed["level_truths"]) == (3, 3)
    swapped = scored(
        GLOBAL,
        "The brown dog shows Gaussian blur and JPEG compression. The wooden table shows speckle noise.",
    )
    assert (swapped["placed_told"], swapped["f1"]) == (0, 1.0)
    assert swapped["false_claims"] == 3
    loose = scored(GLOBAL, "There is Gaussian blur, JPEG compression and speckle noise in this picture.")
    assert (loose["placed_told"], loose["f1"], loose["false_claims"]) == (0, 1.0, 0)


def test_denying_and_calling_clean_are_false_claims() -> None:
    assert scored(LOCAL, "There is no Gaussian blur on the wooden table.")["false_claims"] == 1
    assert scored(LOCAL, "There is no speckle noise on the wooden table.")["false_claims"] == 0
    clean = scored(LOCAL, "The wooden table is free of distortions.")
    assert (clean["f1"], clean["false_claims"]) == (0.0, 1)


def test_an_untouched_picture_is_right_when_the_answer_says_so() -> None:
    assert scored(PRISTINE, "No distortion is visible in this picture.")["f1"] == 1.0
    vague = scored(PRISTINE, "A dog lies beside a table.")
    assert (vague["f1"], vague["false_claims"]) == (0.0, 0)
    wrong = scored(PRISTINE, "The wooden table shows strong Gaussian blur.")
    assert (wrong["f1"], wrong["false_claims"]) == (0.0, 1)


def test_an_untouched_region_is_right_when_the_answer_says_so_of_it() -> None:
    lamp = row("local_description", *SCENE, targets=("r2",))
    assert scored(lamp, "The brown dog is undamaged.")["f1"] == 0.0
    assert scored(lamp, "The green lamp is undamaged.")["f1"] == 1.0
    beside = scored(lamp, "The green lamp is undamaged, while the brown dog shows speckle noise.")
    assert (beside["f1"], beside["false_claims"]) == (1.0, 0)


def test_a_missing_answer_is_wrong_even_where_nothing_is_to_be_told() -> None:
    for asked in (PRISTINE, GLOBAL, LOCAL):
        found = score_missing(asked)
        assert (found["f1"], found["class_f1"], found["told"]) == (0.0, 0.0, 0)
    assert score_missing(GLOBAL)["truths"] == 3


def test_the_same_kind_everywhere_is_one_kind() -> None:
    found = scored(EVERYWHERE, "Strong Gaussian blur lies over the whole picture.")
    assert (found["told"], found["truths"], found["f1"]) == (1, 1, 1.0)
    assert found["placed_truths"] is None
    assert (found["level_near"], found["false_claims"]) == (1, 0)


def test_kinds_that_no_words_tell_apart_are_one() -> None:
    twins = [
        Distortion(name=name, category="brighten", level=3, order=1)
        for name in ("brightness_brighten_gamma_RGB", "brightness_brighten_gamma_HSV")
    ]
    assert load_lexicon().kind(twins[0].name) == load_lexicon().kind(twins[1].name)
    asked = row(
        "global_description", region(0, "wooden table", twins[0]), region(1, "brown dog", twins[1]),
        targets=("r0", "r1"),
    )  # fmt: skip
    found = scored(asked, "The wooden table is overexposed. The brown dog is overexposed too.")
    assert (found["truths"], found["placed_truths"], found["placed_told"], found["f1"]) == (1, 2, 2, 1.0)


def test_an_order_turned_around_is_a_false_claim() -> None:
    right = scored(LOCAL, "The wooden table was blurred first and JPEG-compressed afterwards.")
    wrong = scored(LOCAL, "The wooden table was JPEG-compressed first and blurred afterwards.")
    assert (right["false_claims"], wrong["false_claims"]) == (0, 1)


OF_CLAIMS = ("distortion_invented", "distortion_missing", "distortion_denied", "clean_claim", "clean_missing")


@pytest.mark.parametrize("case", [c for c in RIGHT if not c["task"].startswith("grounding")], ids=str)
def test_right_answers_in_other_words_score_best(case: dict[str, Any]) -> None:
    asked, texts = crafted(case)
    found = scored(asked, *texts)
    assert (found["f1"], found["class_f1"], found["false_claims"]) == (1.0, 1.0, 0)


@pytest.mark.parametrize(
    "case",
    [c for c in WRONG if c["fails"] in OF_CLAIMS and not c["task"].startswith("grounding")],
    ids=str,
)
def test_wrong_claims_cost(case: dict[str, Any]) -> None:
    asked, texts = crafted(case)
    found = scored(asked, *texts)
    assert found["f1"] != 1.0 or found["false_claims"] != 0


NAMES = st.sampled_from([BLUR, JPEG, NOISE]).map(lambda d: (frozenset({d.name}), frozenset({d.category})))
CLAIM = st.builds(
    lambda kind, regions, levels, denied, hint: Claim(*kind, regions, levels, denied, hint),
    NAMES,
    st.frozensets(st.integers(0, 2)),
    st.none() | st.frozensets(st.integers(1, 5)),
    st.booleans(),
    st.booleans(),
)
CLAIMS = st.builds(
    Claims,
    st.lists(CLAIM, max_size=6).map(tuple),
    st.lists(st.frozensets(st.integers(0, 2)), max_size=2).map(tuple),
    st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(CLAIMS, st.sampled_from([LOCAL, LONG, GLOBAL]))
def test_scores_of_any_claims_are_possible(claims: Claims, asked: Row) -> None:
    found = {name: -1.0 if v is None else v for name, v in score_claims(asked, claims).items()}
    for prefix in ("", "class_"):
        assert 0 <= found[f"{prefix}told"] <= found[f"{prefix}truths"]
        assert 0 <= found[f"{prefix}right"] <= found[f"{prefix}claimed"]
        assert found[f"{prefix}told"] <= found[f"{prefix}right"]
        assert 0 <= found[f"{prefix}f1"] <= 1
    assert found["level_near"] <= found["level_truths"]
    assert found["placed_told"] <= found["placed_truths"]
    assert found["false_claims"] >= 0
