"""What answers claim, read from their words."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.qa.lexicon import load_lexicon
from annotation.qa.read_claims import Claim, read_claims
from tests.annotation.qa.claim_rows import GLOBAL, LOCAL, LONG, SCENE, row


def test_names_levels_and_regions() -> None:
    text = "The wooden table shows mild JPEG compression, while the brown dog has no speckle noise."
    found = read_claims(GLOBAL, [text])
    jpeg, speckle = frozenset({"compression_jpeg"}), frozenset({"noise_speckle"})
    assert found.distortions == (
        Claim(jpeg, frozenset({"compression"}), frozenset({0}), frozenset({2})),
        Claim(speckle, frozenset({"noise"}), frozenset({1}), denied=True),
    )
    assert (found.clean, found.damage, found.disorders) == ((), False, 0)


def test_an_effect_is_a_hint_and_the_rest_is_left_out() -> None:
    found = read_claims(LONG, ["The wooden table looks grainy. The rest of the picture shows speckle noise."])
    assert [(claim.hint, claim.names >= {"noise_speckle"}) for claim in found.distortions] == [(True, True)]


def test_clean_and_damage_without_a_kind() -> None:
    found = read_claims(GLOBAL, ["The green lamp is undamaged. The brown dog is visibly degraded."])
    assert (found.distortions, found.clean, found.damage) == ((), (frozenset({2}),), True)


def test_order() -> None:
    right = "The wooden table was blurred first and JPEG-compressed afterwards."
    wrong = "The wooden table was JPEG-compressed first and blurred afterwards."
    assert [read_claims(asked, [text]).disorders for asked in (LOCAL, GLOBAL) for text in (right, wrong)] == [
        0, 1, 0, 1,
    ]  # fmt: skip


def test_a_name_without_words_is_its_own_kind() -> None:
    lexicon = load_lexicon()
    assert lexicon.kind("blur_gaussian") == "blur_gaussian"
    assert lexicon.kind("a distortion of somebody's own") == "a distortion of somebody's own"


def test_an_answer_points_by_label() -> None:
    asked = row("grounding_hyd", *SCENE, targets=("r0",))
    assert read_claims(asked, ["The wooden table in the top left."]).pointed == (frozenset({0}),)
    assert read_claims(asked, ["It is the brown dog."]).pointed == (frozenset({1}),)
    assert read_claims(asked, ["At the top left."]).pointed == ()


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    for asked in (GLOBAL, LOCAL):
        read_claims(asked, [text])


def test_a_model_that_repeats_itself_is_read_in_time() -> None:
    for unit in ("blur ", "no blur, ", "no visible ", "the wooden table and "):
        read_claims(GLOBAL, [unit * 300])
