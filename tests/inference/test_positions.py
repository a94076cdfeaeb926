"""Positions in answers: what is one, what is none, whose noun it is, and answers about the whole picture."""

from __future__ import annotations

import itertools

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.qa.wording import __file__ as wording_module
from inference.clauses import speaks_of_whole
from inference.placed_noun import likeness
from inference.positions import find_positions
from inference.words import Position
from schemas.masks import position_words

FALSE = """\
The lower quality of this shot is plain.
There is an upper limit to its sharpness.
With the right exposure it would look fine.
The rendering is top notch.
The file was left untouched.
Fix the white balance right away.
The noise that the filter left behind is strong.
The bottom line is that it is poor.
The colors take center stage.
On top of that, the noise is heavy.
All right, the picture is sharp.
The tones of the middle ground look dull.
The middle ground between sharp and soft is missed.
The mid-tones are crushed.
It has the right amount of contrast.
This is the right choice of aperture.
The photographer used the right settings.
It is not quite right.
Little detail is left in the shadows.
Nothing is left to see between the squares.
The compression has left visible blocks.
The image was left-right flipped.
A top-down view of a table.
The quality is top-tier.
It is one of the top results.
It ranks at the bottom of the scale.
The score lies in the lower range.
The histogram leans to the right.
The histogram is skewed to the left.
Shadows fill the left side of the histogram.
The upper half of the tonal range is clipped.
The lower part of the dynamic range is lost.
Lower contrast would help.
Higher and lower frequencies are damped.
The upper bound is reached.
Upper-middle class quality, as it were.
Blur covers the top of the car.
The left side of the dog is blurred.
The dog's left ear is noisy.
Her right hand is out of focus.
Its upper lip shows banding.
There is noise above the dog.
The blur below the roof is mild.
The cup to the left of the plate is blurred.
To the right of the tree stands a wall.
The light comes from the left.
It is lit from the right.
Trails are smeared to the left.
The camera was tilted to the right.
The subject is turned to the left.
The bottom of the bottle looks soft.
In the middle of the road there is grain.
It is at the center of attention.
The central idea of the shot works.
The central limit of quality is reached.
It suffers from lower edge contrast.
The shot has the right feel.
It needs a lower ISO.
Overall the exposure is right.
It is a middle-of-the-road photograph.
The best of the top three shots.
Turn the picture right side up.
This was the right way to frame it.
The left one looks like the right one.
The blur lies below and the noise on top.
top_left: (12, 40), bottom_right: (310, 226)
The box: left: 12, top: 40, right: 310
Its top-left corner is at (12, 40).
The lamp above the middle window is soft.
The western part of the town is soft.
""".splitlines()

TRUE = [
    ("The wooden table at the top left is blurred.", ("left", "top"), "wooden table"),
    ("It is the dog in the bottom-right corner.", ("right", "bottom"), "dog"),
    ("Blur covers the upper-left part of the image.", ("left", "top"), None),
    ("The wall on the left side of the photo looks worst.", ("left", None), "wall"),
    ("The wall on the left-hand side looks worst.", ("left", None), "wall"),
    ("The car on the right has suffered the most.", ("right", None), "car"),
    ("The sky at the top of the picture shows noise.", (None, "top"), "sky"),
    ("Noise runs across the top.", (None, "top"), None),
    ("Grain runs down the left side.", ("left", None), None),
    ("The floor in the lower half is blurred.", (None, "bottom"), "floor"),
    ("I would point to the cat in the center.", ("center", "center"), "cat"),
    ("It is in the middle of the image.", ("center", "center"), None),
    ("It is in the centre.", ("center", "center"), None),
    ("The central area is soft.", ("center", "center"), None),
    ("The leftmost window is blurred.", ("left", None), "window"),
    ("The top center is noisy.", ("center", "top"), None),
    ("The middle-left region has banding.", ("left", "center"), None),
    ("It is near the bottom edge.", (None, "bottom"), None),
    ("Upper right.", ("right", "top"), None),
    ("left", ("left", None), None),
    ("**Bottom left**", ("left", "bottom"), None),
    ("The blurriest spot (top right) is the lamp.", ("right", "top"), None),
    ("At the top left, the wooden table is blurred.", ("left", "top"), "wooden table"),
    ("The worst quality is found at the bottom, on the red carpet.", (None, "bottom"), "red carpet"),
    ("It is located towards the upper right-hand corner.", ("right", "top"), None),
    ("The noise is strongest in the picture's left third.", ("left", None), None),
    ("The detail isn't sharp at the top left.", ("left", "top"), None),
    ("Nothing looks worse than the sky at the top.", (None, "top"), "sky"),
    ("The tree to the right is blurred.", ("right", None), "tree"),
    ("The windows on the left show heavy blur.", ("left", None), "windows"),
    ("The tiles at the bottom come out soft.", (None, "bottom"), "tiles"),
    ("The flower show at the bottom is soft.", (None, "bottom"), "flower show"),
    ("At left of the image the grain is strong.", ("left", None), None),
    ("TOP LEFT", ("left", "top"), None),
    ("It is in the lower\nright of the frame.", ("right", "bottom"), None),
    ("The lamp is slightly to the left of the image centre.", ("left", "center"), "lamp"),
    ("The top two-thirds of the image is noisy.", (None, "top"), None),
    ("The mountain in the right background is hazy.", ("right", None), "mountain"),
    ("The left-most window is blurry.", ("left", None), "window"),
    ("top left: 3 people are blurred", ("left", "top"), None),
    ("The group of people on the left is blurred.", ("left", None), "people"),
    ("The plate of food in the middle is noisy.", ("center", "center"), "plate"),
    ("The man wearing the blue hat on the right is blurred.", ("right", None), "man"),
    ("The bottom-left corner contains a plant with strong blur.", ("left", "bottom"), "plant"),
    ("In the top right, there is a yellow sun.", ("right", "top"), "yellow sun"),
    ("Region: tiled floor in the lower right", ("right", "bottom"), "tiled floor"),
    ("Trees at the top are noisy.", (None, "top"), "trees"),
    ("More than half of the picture is soft on the left.", ("left", None), None),
    ("The right edge isn't free of noise.", ("right", None), None),
    ("The left is sharper than the right.", ("left", None), None),
    ("It isn't on the left; it's on the right.", ("right", None), None),
]  # fmt: skip

DENIED = [
    "Not at the top left.",
    "There is no blur on the right.",
    "No distortion is visible, neither on the wall on the left nor on the floor at the bottom.",
    "I find nothing wrong with the sky at the top.",
    "Unlike the left side, it is sharp.",
    "It is free of noise in the center.",
    "The left side isn't the worst one.",
    "The upper part is free of noise.",
    "Compared to the top of the image, it is soft.",
]

PLAIN = (
    "The quality of this photo is poor.", "Heavy blur hides fine detail.", "Colors look pale and tired.",
    "JPEG blocks break up smooth tones.", "The noise grows with brightness.", "Edges look frayed.",
    "It is well exposed and sharp.", "Highlights creep toward white.", "Shadows close up.",
    "The subject stands out from the background.", "Contrast is low.", "Texture turns watery.",
)  # fmt: skip


def names(text: str) -> list[tuple[str | None, str | None]]:
    return [position.names for position in find_positions(text)]


def test_sixty_false_positions() -> None:
    assert len(FALSE) >= 60
    assert {text: found for text in FALSE if (found := names(text))} == {}


@pytest.mark.parametrize(("text", "wanted", "noun"), TRUE)
def test_positions(text: str, wanted: tuple[str | None, str | None], noun: str | None) -> None:
    found = find_positions(text)
    assert [(position.names, position.noun) for position in found] == [(wanted, noun)]
    for position in found:
        for word in (position.horizontal, position.vertical):
            if word is not None:
                assert position.start <= word.start < word.end <= position.end
                assert text[word.start : word.end].casefold()[:3] in (
                    "top", "upp", "bot", "low", "lef", "rig", "cen", "mid"
                )  # fmt: skip


@pytest.mark.parametrize("text", DENIED)
def test_denied_positions(text: str) -> None:
    assert names(text) == []


def test_a_denial_ends_with_its_clause() -> None:
    assert names("Not at the top left but at the bottom.") == [(None, "bottom")]
    assert names("There is no blur in the sky; the noise is strongest at the top.") == [(None, "top")]
    assert names("The blur is not only at the top left.") == [("left", "top")]


def test_several_places_in_one_answer() -> None:
    text = "The sky at the top is noisy, the lamp at the bottom right and the door on the left are dark."
    found = find_positions(text)
    assert [(p.names, p.noun) for p in found] == [
        ((None, "top"), "sky"), (("right", "bottom"), "lamp"), (("left", None), "door"),
    ]  # fmt: skip
    assert names("Both the left and right edges are soft.") == [("left", None), ("right", None)]
    assert names("The upper left and right corners are dark.") == [("left", "top"), ("right", "top")]
    assert names("It is in the south-eastern part of the image.") == [("right", "bottom")]
    assert names("Northwest") == [("left", "top")]
    assert names("The top left and bottom right.") == [("left", "top"), ("right", "bottom")]
    assert names("1. The statue on the left\n2. The tree on the right") == [("left", None), ("right", None)]
    assert names("| Top left | blur |\n| Center | noise |") == [("left", "top"), ("center", "center")]


def grid_words(position: Position) -> str:
    horizontal, vertical = (None if name == "center" else name for name in position.names)
    return " ".join(word for word in (vertical, horizontal) if word) or "center"


def test_every_wording_of_the_dataset() -> None:
    """Each way in which the grammar words a place, for each place of the grid, in one of its own answers."""
    from pathlib import Path

    wording = yaml.safe_load(
        (Path(wording_module).parent / "wording" / "en.yaml").read_text(encoding="utf-8")
    )
    forms = wording["places"]
    kinds = {
        "corner": [w for w in position_words() if " " in w],
        "row": ["top", "bottom"],
        "center": ["center"],
    }
    kinds["column"] = ["left", "right"]
    tried = 0
    for kind, places in kinds.items():
        for form, place, picture in itertools.product(forms[kind], places, ("photo", "image")):
            said = form.format_map({"pos": place, "pos-": place.replace(" ", "-"), "pic": picture})
            text = f"I would point to the dark wall {said}, with its heavy blur."
            found = find_positions(text)
            assert [(grid_words(p), p.noun) for p in found] == [(place, "dark wall")], text
            tried += 1
    assert tried > 40


WHOLE = [
    "The whole image is blurred.",
    "Everywhere: the entire photo shows noise.",
    "In the whole photo. No region is free of blur.",
    "You see it across the whole picture, which shows blur from one border to the other.",
    "Mild noise covers the whole photo, from the wall at the top to the patch on the left.",
    "It isn't limited to one region; blur affects the entire picture.",
    "All over the photo: noise reaches every part of it.",
    "Throughout the image, there is banding.",
    "The picture as a whole is degraded.",
    "Overall, the picture is blurred.",
    "The blur is global.",
    "The image is blurry and underexposed.",
    "This is a noisy photograph.",
    "There is no specific region; the degradation is uniform.",
    "The picture is soft from corner to corner.",
]
PARTIAL = [
    "Of the whole image, the sky at the top is worst.",
    "The blur is not across the whole image.",
    "The wall at the top is worst. The rest of the whole image is fine.",
    "The noise covers the whole image but is strongest at the top left.",
    "The whole image is free of distortion.",
    "The image is clean everywhere.",
    "It is not good throughout; the wall has suffered.",
    "Overall, the wall on the left is worst.",
    "The dog is blurred.",
    "The background of the image is slightly blurred.",
    "Part of the image is out of focus.",
    "The image is not blurry.",
    "The image is blurry in the background.",
    "The noise is uniform on the wall.",
    "Noise throughout the night sky makes it the worst.",
    "",
]


@pytest.mark.parametrize(("texts", "wanted"), [(WHOLE, True), (PARTIAL, False)])
def test_answers_about_the_whole_picture(texts: list[str], wanted: bool) -> None:
    assert [text for text in texts if speaks_of_whole(text, find_positions(text)) != wanted] == []


@given(st.lists(st.sampled_from(PLAIN), max_size=8), st.sampled_from([" ", "\n", "  "]))
def test_plain_sentences_hold_no_position(sentences: list[str], gap: str) -> None:
    text = gap.join(sentences)
    assert find_positions(text) == []
    assert not speaks_of_whole(text, [])


HOSTILE = st.lists(
    st.one_of(
        st.text(max_size=6),
        st.sampled_from(
            ["the top ", "left", "-", " of the ", "image", "no ", "not ", "center ", "whole ", "\n", ",",
             "'s ", "(", "and the ", "İ", "ſ", "\u2011", "K", "most ", "corner ", "a " * 50]
        ),
    ),
    max_size=60,
).map("".join)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(HOSTILE)
def test_hostile_text(text: str) -> None:
    found = find_positions(text)
    speaks_of_whole(text, found)
    for first, second in itertools.pairwise(found):
        assert first.end <= second.start
    for position in found:
        assert 0 <= position.start < position.end <= len(text)
        assert position.names != (None, None)


def test_a_long_answer_takes_no_longer_for_it() -> None:
    text = "no blur at the top left of the dark wall, " * 2000
    assert find_positions(text) == []
    assert len(find_positions("the wall at the top left, " * 400)) == 400


def test_likeness() -> None:
    assert likeness("dark wall", "dark wall") == 1.0
    assert likeness("dark walls", "wall") == pytest.approx(2 / 3)
    assert likeness("dark wall", "red carpet") == 0.0
    assert likeness("black area", "black patch") > likeness("black area", "grey area")
