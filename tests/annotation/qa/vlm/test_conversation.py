"""What a model is told: the same turns for rows that share them, the truth in full, and the question last."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotation.chat.messages import Call, Reply, Turn
from annotation.qa import check_dialogue, drafts
from annotation.qa.lexicon import load_lexicon
from annotation.qa.read_places import find_places
from annotation.qa.vlm import facts, view_pictures
from annotation.qa.vlm.conversation import Conversation, view_of
from annotation.qa.vlm.prompts import PLACEHOLDERS, PROMPTS_FOLDER, Prompts, load_prompts
from schemas import masks
from schemas.config import VlmConfig
from schemas.errors import InputError, SampleError
from schemas.pictures import load_png
from schemas.records import SAMPLE_KINDS, Message, Sample
from tests.annotation.qa.samples import random_sample, region, sample
from tests.conftest import photograph

PROMPTS = load_prompts()
CONFIG = VlmConfig(picture_side=128)


class Listener:
    """Answers every call with a numbered text and remembers the calls."""

    def __init__(self, text: Callable[[Call], str] | None = None) -> None:
        self.calls: list[Call] = []
        self._text = text

    def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        text = self._text(call) if self._text else f"Said {len(call.turns)}."
        return Reply(text, "stop", 0, 0)


def picture(side: int = 60) -> np.ndarray:
    return cv2.resize(photograph("chelsea", 192), (side, side), interpolation=cv2.INTER_AREA)


def talk(subject: Sample, prompts: Prompts = PROMPTS, config: VlmConfig = CONFIG) -> Conversation:
    return Conversation(config, prompts, subject, 5, picture())


def two_regions() -> Sample:
    regions = [
        region(0, "dog", 6, [("blur_gaussian", 4), ("noise_speckle", 2)], 2.5),
        region(1, "sky", 1, [("compression_jpeg", 2)], 0.9),
        region(2, "person", 4),
        region(3, "person", 8),
    ]
    return sample("hyd", regions, ["r0"], ask="worst")


def test_rows_about_the_same_share_every_turn_but_their_own() -> None:
    subject = two_regions()
    conversation, listener = talk(subject), Listener()
    last = {}
    for draft in drafts(subject):
        opening = conversation.opening(view_of(draft), listener)
        last[draft.row_id] = conversation.last(opening, draft, 1, None, "")
    views = {view_of(draft) for draft in drafts(subject)}
    assert len(last) == 5
    assert len(set(map(repr, listener.calls))) == 1 + 2 * len(views)
    for draft in drafts(subject):
        call = last[draft.row_id]
        assert [turn.role for turn in call.turns] == ["system"] + ["user", "assistant"] * 3 + ["user"]
        if view_of(draft) is not None:
            assert {"r0": "the dog", "r1": "the sky"}[str(draft.subject)] in call.turns[-1].text
        assert call.schema is not None
        assert call.schema.name == draft.task
        assert all(other.schema is None for other in listener.calls)
        assert not call.turns[-1].pictures, "the picture comes first, the question last"


def test_a_grounding_row_sees_all_damaged_regions_and_not_its_answer_alone() -> None:
    subject = two_regions()
    grounding = next(draft for draft in drafts(subject) if draft.task == "grounding_hyd")
    assert grounding.subject == "r0"
    assert view_of(grounding) is None
    opening = talk(subject).opening(None, Listener())
    assert [len(turn.pictures) for turn in opening] == [0, 1, 0, 1, 0, 0, 0]
    close = talk(subject).opening("r0", Listener())
    assert [len(turn.pictures) for turn in close] == [0, 1, 0, 2, 0, 0, 0]


def told(turns: tuple[Turn, ...]) -> dict[str, object]:
    text = turns[5].text
    found: dict[str, object] = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return found


def test_the_facts_are_the_truth_in_words_that_the_checks_accept() -> None:
    subject = two_regions()
    known = told(talk(subject).opening(None, Listener()))
    assert known["whole_picture"] is False
    assert known["regions"] == [
        {
            "number": 1,
            "name": "dog",
            "place": "in the bottom left",
            "damage": [
                {"name": "Gaussian blur", "strength": ["strong", "heavy", "clear", "marked", "considerable"]},
                {"name": "speckle noise", "strength": ["mild", "minor", "weak", "light", "modest"]},
            ],
        },
        {
            "number": 2,
            "name": "sky",
            "place": "at the top",
            "damage": [
                {"name": "JPEG compression", "strength": ["mild", "minor", "weak", "light", "modest"]}
            ],
        },
    ]
    assert [entry["place"] for entry in known["undamaged"]] == ["in the center", "in the bottom right"]  # type: ignore[attr-defined]
    assert set(told(talk(subject).opening("r1", Listener()))) == {"whole_picture", "regions"}


def test_every_name_level_and_place_of_the_facts_passes_the_checks() -> None:
    for name in load_lexicon().names:
        for level in range(1, 6):
            shown = region(0, "dog", 6, [(name, level)], 1.0)
            known = facts.told(shown, whole=False)
            for word in known["damage"][0]["strength"]:
                answer = f"The dog {known['place']} shows {word} {known['damage'][0]['name']}."
                messages = [
                    Message(role="user", content="How is the dog?"),
                    Message(role="assistant", content=answer),
                ]
                assert check_dialogue("referring_long", messages, [shown], ["r0"], False) == [], answer
    for words in masks.position_words("thirds"):
        assert [place.words for place in find_places(f"it is {facts.place(words)}.")] == [words]


def test_nothing_told_names_the_catalog_or_a_number_of_the_truth() -> None:
    generator = np.random.default_rng(4)
    for number in range(60):
        subject = random_sample(generator, SAMPLE_KINDS[number % 6], f"s{number}")
        conversation, listener = talk(subject), Listener()
        for draft in drafts(subject):
            opening = conversation.opening(view_of(draft), listener)
            call = conversation.last(opening, draft, 1, None, "")
            said = "\n".join(turn.text for turn in call.turns)
            for distortion in (d for r in subject.regions for d in r.distortions):
                if "_" in distortion.name:
                    assert distortion.name not in said
            assert "${" not in said
            assert subject.sample_id not in said


def test_whole_and_untouched_pictures_show_all_regions() -> None:
    generator = np.random.default_rng(4)
    for kind in ("whole", "pristine"):
        subject = random_sample(generator, kind, "s")  # type: ignore[arg-type]
        known = told(talk(subject).opening(None, Listener()))
        assert len(known["regions"]) == len(subject.regions)  # type: ignore[arg-type]
        assert known["whole_picture"] is (kind == "whole")
        assert ("damage" in known) is (kind == "whole")


def test_attempts_draw_anew_and_a_refused_reply_comes_back_with_its_reasons() -> None:
    subject = two_regions()
    conversation = talk(subject)
    draft = drafts(subject)[0]
    opening = conversation.opening(view_of(draft), Listener())
    first = conversation.last(opening, draft, 1, None, "")
    second = conversation.last(opening, draft, 2, "not this", "severity: 'mild' is the wrong severity")
    assert first.sampling.seed != second.sampling.seed
    assert second.turns[: len(first.turns)] == first.turns
    assert [turn.role for turn in second.turns[len(first.turns) :]] == ["assistant", "user"]
    assert second.turns[-2].text == "not this"
    assert "severity: 'mild' is the wrong severity" in second.turns[-1].text
    third = conversation.last(opening, draft, 3, "  ", "silent")
    assert third.turns[-2].text == "{}", "no server takes an empty turn"


def test_a_silent_model_is_asked_thrice_with_other_seeds() -> None:
    listener = Listener(lambda call: " ")
    with pytest.raises(SampleError, match="silent"):
        talk(two_regions()).opening(None, listener)
    assert len({call.sampling.seed for call in listener.calls}) == len(listener.calls) == 3


def test_seeds_follow_the_build_the_sample_and_the_turn() -> None:
    def seeds(name: str, seed: int) -> list[int]:
        listener = Listener()
        subject = two_regions().model_copy(update={"sample_id": name})
        Conversation(CONFIG, PROMPTS, subject, seed, picture()).opening(None, listener)
        return [call.sampling.seed for call in listener.calls]

    assert seeds("a", 1) == seeds("a", 1)
    assert not set(seeds("a", 1)) & set(seeds("b", 1))
    assert not set(seeds("a", 1)) & set(seeds("a", 2))
    assert all(0 <= seed < 2**31 for seed in seeds("a", 1))


# ---- pictures


def test_pictures_are_lossless_deterministic_and_no_larger_than_allowed() -> None:
    rgb = photograph("coffee", 192)
    shown = view_pictures.whole(rgb, 896)
    assert np.array_equal(load_png(shown.data), rgb)
    small = view_pictures.whole(rgb, 100)
    assert max(load_png(small.data).shape[:2]) == 100
    assert small.sha256 == view_pictures.whole(rgb.copy(), 100).sha256 != shown.sha256
    assert shown.media_type == "image/png"


def test_an_outline_lies_on_the_regions_edge_and_nowhere_else() -> None:
    rgb = np.full((60, 60, 3), 90, np.uint8)
    marked = region(0, "dog", 4)
    drawn = load_png(view_pictures.outlined(rgb, [marked], 896, numbered=False).data)
    changed = np.any(drawn != rgb, axis=2)
    inside = masks.decode(marked.mask).astype(np.uint8)
    ring = cv2.dilate(inside, np.ones((7, 7))) - cv2.erode(inside, np.ones((7, 7)))
    assert changed.any()
    assert not (changed & (ring == 0)).any()
    numbered = load_png(view_pictures.outlined(rgb, [marked], 896, numbered=True).data)
    assert np.any(numbered != drawn)
    assert np.array_equal(rgb, np.full((60, 60, 3), 90, np.uint8)), "the picture itself stays untouched"


def test_a_crop_holds_the_region_and_some_of_its_surroundings() -> None:
    rgb = picture(200)
    mask = np.zeros((200, 200), bool)
    mask[0:10, 190:200] = True
    corner = region(0, "dog", 4).model_copy(update={"bbox": masks.bounding_box(mask)})
    crop = load_png(view_pictures.cropped(rgb, corner, 896).data)
    assert np.array_equal(crop, rgb[:32, 168:])
    mask[:] = True
    everything = corner.model_copy(update={"bbox": masks.bounding_box(mask)})
    assert np.array_equal(load_png(view_pictures.cropped(rgb, everything, 896).data), rgb)


# ---- prompts


def test_the_packaged_prompts_use_every_placeholder_somewhere() -> None:
    used = {name: set(template.get_identifiers()) for name, template in PROMPTS.texts.items()}
    assert used == {name: set(known) for name, known in PLACEHOLDERS.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROMPTS_FOLDER, tmp_path / "prompts"))


def test_a_copy_has_the_same_version_and_any_change_another(folder: Path) -> None:
    assert load_prompts(folder).version == PROMPTS.version
    (folder / "repair.txt").write_text((folder / "repair.txt").read_text() + "Please.\n")
    assert load_prompts(folder).version != PROMPTS.version


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("picture", "Look at ${subject}.", "unknown placeholder ${subject}"),
        ("truth", "Look.", "the placeholder ${facts} is missing"),
        ("grounding_hyd", "The ${end} ${label}.", "the placeholder ${place} is missing"),
        ("repair", "It costs $5: ${reasons}", "a '$' is neither"),
        ("system", " \n", "1 to 20000 characters"),
        ("system", "x" * 20_001, "1 to 20000 characters"),
        ("referring_medium", "Write.", "no prompt has this name"),
    ],
)
def test_prompts_that_cannot_work_are_one_line(folder: Path, name: str, text: str, said: str) -> None:
    (folder / f"{name}.txt").write_text(text)
    with pytest.raises(InputError) as caught:
        load_prompts(folder)
    assert said in str(caught.value)
    assert f"{name}.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_broken_prompt_files_are_one_line(folder: Path) -> None:
    (folder / "truth.txt").write_bytes(b"\xff\xfe${facts}")
    with pytest.raises(InputError, match=r"truth\.txt: can't read this prompt: not UTF-8"):
        load_prompts(folder)
    (folder / "truth.txt").unlink()
    with pytest.raises(InputError, match=r"truth\.txt: can't read this prompt: No such file"):
        load_prompts(folder)


def test_a_label_that_looks_like_a_placeholder_is_just_a_label() -> None:
    subject = two_regions()
    regions = [subject.regions[0].model_copy(update={"label": "${facts} $5 dog"}), *subject.regions[1:]]
    odd = subject.model_copy(update={"regions": regions})
    opening = talk(odd).opening("r0", Listener())
    assert "the ${facts} $5 dog" in opening[3].text


def test_a_distortion_without_words_is_a_sample_error() -> None:
    subject = two_regions()
    unknown = subject.regions[0].distortions[0].model_copy(update={"name": "made_up"})
    regions = [subject.regions[0].model_copy(update={"distortions": [unknown]}), *subject.regions[1:]]
    with pytest.raises(SampleError, match="no-words"):
        talk(subject.model_copy(update={"regions": regions})).opening(None, Listener())
