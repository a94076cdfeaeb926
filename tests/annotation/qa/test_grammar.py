"""The grammar back end: every dialogue passes every check, answers differ, and the same request gives the
same text.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.qa import GrammarBackend, Request, annotate_sample, check_dialogue, check_row, create, drafts
from annotation.qa.lexicon import load_lexicon
from annotation.qa.wording import WORDING_FILE, load_wording, wording_version
from schemas.errors import InputError, SampleError
from schemas.records import SAMPLE_KINDS, TASKS, Message, Provenance, Row, Sample, SampleKind, Task
from tests.annotation.qa.samples import LABELS, random_sample, region, sample

BACKEND = GrammarBackend()


def dialogues(subject: Sample, attempt: int = 1) -> list[tuple[Task, tuple[Message, ...], list[str]]]:
    """Task, messages and failed checks of every row of a sample."""
    result = []
    for draft in drafts(subject):
        messages = BACKEND.write(Request(draft, subject, attempt, (), 0, None)).messages
        found = check_dialogue(
            draft.task,
            messages,
            subject.regions,
            draft.target_region_ids,
            draft.whole_image,
            subject.order_effect,
        )
        result.append((draft.task, messages, [f"{f.name}: {f.reason}" for f in found]))
    return result


@pytest.mark.parametrize("seed", [11, 12])
def test_grammar_dialogues_pass_all_checks_at_the_first_attempt(seed: int) -> None:
    """A repeated ten-word run is the one failure that chance may bring; a few more attempts cure it."""
    generator = np.random.default_rng(seed)
    rows = failed = 0
    for number in range(900):
        subject = random_sample(generator, SAMPLE_KINDS[number % 6], f"s{number}")
        for at, (_, messages, found) in enumerate(dialogues(subject)):
            rows += 1
            if not found:
                continue
            failed += 1
            assert all(reason.startswith("repetition: the same ten") for reason in found), (messages, found)
            assert not all(dialogues(subject, attempt)[at][2] for attempt in (2, 3, 4)), messages
    assert rows > 3000
    assert failed < rows / 300


words = st.sampled_from(sorted(set(re.findall(r"[a-z]+", WORDING_FILE.read_text()))))
hostile_labels = st.one_of(
    words,
    st.lists(words, min_size=2, max_size=4).map(" ".join),
    st.sampled_from(sorted(load_lexicon().phrases)),
    st.sampled_from(sorted(load_lexicon().severity)),
    st.sampled_from(
        [
            "",
            " ",
            "the",
            "\u4eba",
            "a.b! c?",
            "{the}",
            "person on the left",
            "x" * 300,
            "top left",
            "Mask",
            "line\nbreak",
            "-",
        ]
    ),
    st.text(max_size=30),
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(SAMPLE_KINDS),
    seed=st.integers(0, 2**32 - 1),
    labels=st.lists(hostile_labels, min_size=7, max_size=7),
)
def test_hostile_labels_still_give_checked_rows(kind: SampleKind, seed: int, labels: list[str]) -> None:
    """Whatever regions are called, a row ships only when it passes, and a label never breaks the writer."""
    subject = random_sample(np.random.default_rng(seed), kind, f"s{seed}", tuple(labels))
    written, lost = annotate_sample(subject, BACKEND, 12, 0, set())
    assert len(written) + len(lost) == len(drafts(subject))
    for row in written:
        draft = row.draft
        assert not check_dialogue(
            draft.task,
            row.messages,
            subject.regions,
            draft.target_region_ids,
            draft.whole_image,
            subject.order_effect,
        )


@pytest.mark.parametrize(
    "label", [*sorted(load_lexicon().reserved), *sorted(load_lexicon().severity), "blur", "noise", "jpeg"]
)
def test_labels_that_read_like_claims_are_told_apart(label: str) -> None:
    others = [region(1, "sky", 1, [("compression_jpeg", 2)], 0.5), region(2, "dog", 8)]
    subject = sample(
        "hyd",
        [region(0, label, 3, [("blur_gaussian", 4), ("noise_speckle", 2)], 2.0), *others],
        ["r0"],
        ask="worst",
    )
    written, lost = annotate_sample(subject, BACKEND, 12, 0, set())
    assert not lost
    assert len(written) == 5


def test_answers_of_500_rows_are_all_different() -> None:
    generator = np.random.default_rng(5)
    seen: set[str] = set()
    used: set[str] = set()
    rows = answers = 0
    number = 0
    while rows < 500:
        subject = random_sample(generator, SAMPLE_KINDS[number % 6], f"s{number}", LABELS[:6])
        written, lost = annotate_sample(subject, BACKEND, 12, 0, used)
        assert not lost
        for row in written:
            texts = [message.content for message in row.messages if message.role == "assistant"]
            answers += len(texts)
            seen.update(texts)
        rows += len(written)
        number += 1
    assert len(seen) == answers


def test_few_answers_coincide_without_the_used_set() -> None:
    generator = np.random.default_rng(6)
    texts: list[str] = []
    for number in range(125):
        subject = random_sample(generator, SAMPLE_KINDS[number % 6], f"s{number}")
        for _, messages, _ in dialogues(subject):
            texts += [message.content for message in messages if message.role == "assistant"]
    assert len(texts) - len(set(texts)) <= 4


def test_same_request_same_text_other_attempt_other_text() -> None:
    subject = random_sample(np.random.default_rng(3), "hyd", "s3")
    assert dialogues(subject) == dialogues(subject)
    assert GrammarBackend().identity == BACKEND.identity
    changed = [a[1] != b[1] for a, b in zip(dialogues(subject), dialogues(subject, attempt=2), strict=True)]
    assert all(changed)


def test_rows_do_not_depend_on_other_samples() -> None:
    generator = np.random.default_rng(4)
    subjects = [random_sample(generator, kind, f"s{i}") for i, kind in enumerate(SAMPLE_KINDS)]
    forward = {s.sample_id: annotate_sample(s, BACKEND, 12, 0, set()) for s in subjects}
    backward = {s.sample_id: annotate_sample(s, BACKEND, 12, 0, set()) for s in reversed(subjects)}
    assert forward == backward


def test_english_of_articles_lists_and_numbers() -> None:
    generator = np.random.default_rng(8)
    for number in range(300):
        subject = random_sample(
            generator,
            SAMPLE_KINDS[number % 6],
            f"s{number}",
            ("skis", "people", "grass", "sky", "trees", "lens", "bus"),
        )
        for _, messages, _ in dialogues(subject):
            for message in messages:
                text = message.content
                assert not re.search(r"\ba [aeiou]", text), text
                assert not re.search(r"\ban [^aeiou]", text), text
                start = r"(?:^|[.] )The "
                assert not re.search(
                    start + r"(?:skis|people|trees) (?:is|has|shows|looks|suffers)\b", text
                ), text
                assert not re.search(
                    start + r"(?:grass|sky|lens|bus) (?:are|have|show|look|suffer)\b", text
                ), text
                assert not re.search(r"  | [,.;:?]|[{}@]|\.\.|,\.|, and,", text), text
                assert text[0].isupper(), text
                assert text[-1] in ".?", text


def test_every_task_comes_up_and_ids_are_unique() -> None:
    generator = np.random.default_rng(2)
    ids: list[str] = []
    tasks = set()
    for number, kind in enumerate(SAMPLE_KINDS):
        for draft in drafts(random_sample(generator, kind, f"s{number}")):
            ids.append(draft.row_id)
            tasks.add(draft.task)
            assert draft.row_id.startswith(f"s{number}-{draft.task}")
    assert tasks == set(TASKS)
    assert len(ids) == len(set(ids))


def _row(subject: Sample, task: str) -> Row:
    written, _ = annotate_sample(subject, BACKEND, 12, 0, set())
    found = next(row for row in written if row.draft.task == task)
    identity = found.identity
    provenance = Provenance(
        generator=identity.generator,
        model=identity.model,
        revision=identity.revision,
        prompt_version=identity.prompt_version,
        attempt=found.attempt,
        config_hash="",
        code_version="",
        seed=0,
    )
    return Row(
        id=found.draft.row_id,
        source="iqa-spider",
        task=task,
        split="train",
        messages=list(found.messages),
        regions=subject.regions,
        target_region_ids=list(found.draft.target_region_ids),
        whole_image=found.draft.whole_image,
        order_effect=subject.order_effect,
        source_image=subject.source_image,
        provenance=provenance,
    )


def test_a_published_row_can_be_checked_again_and_a_changed_one_fails() -> None:
    subject = random_sample(np.random.default_rng(9), "hyd", "s9")
    row = _row(subject, "grounding_hyd")
    assert check_row(row) == []
    other = next(r for r in subject.regions if r.region_id not in row.target_region_ids)
    answer = Message(role="assistant", content=f"It is the {other.label} at the {other.position}.")
    assert check_row(row.model_copy(update={"messages": [row.messages[0], answer]}))
    assert check_row(row.model_copy(update={"target_region_ids": [other.region_id]}))


def test_rows_of_other_datasets_are_not_judged() -> None:
    row = _row(random_sample(np.random.default_rng(9), "hyd", "s9"), "grounding_hyd")
    foreign = row.model_copy(update={"provenance": None, "messages": []})
    assert check_row(foreign) == []


def test_lexicon_covers_the_catalog() -> None:
    catalog = pytest.importorskip("distortions").catalog
    lexicon = load_lexicon()
    assert lexicon.missing(entry.name for entry in catalog()) == []
    assert set(lexicon.names) == {entry.name for entry in catalog()}
    for entry in catalog():
        assert lexicon.group(entry.name).category == entry.category


def test_lexicon_names_what_it_misses() -> None:
    assert load_lexicon().missing(["blur_gaussian", "snow"]) == ["snow"]


def test_unknown_distortions_go_to_quarantine() -> None:
    known = region(0, "dog", 0, [("blur_gaussian", 3)], 1.0)
    strange = known.model_copy(
        update={"distortions": [known.distortions[0].model_copy(update={"name": "snow"})]}
    )
    subject = sample("single", [strange, region(1, "sky", 1)], ["r0"], ask="where")
    written, lost = annotate_sample(subject, BACKEND, 2, 0, set())
    assert not written
    assert {item.reason for item in lost} == {"no-words"}
    assert all(item.stage == "annotate" and item.sample_id == subject.sample_id for item in lost)


class _Liar:
    """A back end that always says the same wrong thing, then fails."""

    identity = BACKEND.identity
    needs_picture = False

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def write(self, request: Request) -> object:
        self.requests.append(request)
        if request.attempt == 2:
            raise SampleError("cut-off", "the reply ended early")
        messages = BACKEND.write(Request(request.draft, request.sample, 1, (), 0, None)).messages
        wrong = Message(role="assistant", content="The dog shows noticeable pixelation at the center.")
        return type(BACKEND.write(Request(request.draft, request.sample, 1, (), 0, None)))(
            (messages[0], wrong)
        )


def test_failed_rows_are_tried_again_with_reasons_then_quarantined() -> None:
    subject = sample(
        "single", [region(0, "dog", 0, [("blur_gaussian", 3)], 1.0), region(1, "sky", 1)], ["r0"], ask="where"
    )
    liar = _Liar()
    written, lost = annotate_sample(subject, liar, 3, 0, set())  # type: ignore[arg-type]
    assert not written
    assert len(lost) == len(drafts(subject))
    assert [r.attempt for r in liar.requests[:3]] == [1, 2, 3]
    assert len(liar.requests[2].reasons) == 2
    assert "cut-off" in liar.requests[2].reasons[1]
    assert all("distortion_invented" in item.error and "attempt 3" in item.error for item in lost)


def test_used_answers_are_not_given_again() -> None:
    subject = random_sample(np.random.default_rng(12), "hyd", "s12")
    used: set[str] = set()
    first, _ = annotate_sample(subject, BACKEND, 12, 0, used)
    again, _ = annotate_sample(subject, BACKEND, 12, 0, used)
    assert all(row.attempt > 1 for row in again)
    texts = [m.content for row in [*first, *again] for m in row.messages if m.role == "assistant"]
    assert len(texts) == len(set(texts))


def test_ill_posed_questions_are_not_asked() -> None:
    close = [
        region(0, "dog", 0, [("blur_gaussian", 3)], 1.0),
        region(1, "sky", 1, [("noise_poisson", 3)], 1.05),
    ]
    assert "grounding_hyd" not in [d.task for d in drafts(sample("hyd", close, ["r1"], ask="worst"))]
    twins = [
        region(0, "dog", 0, [("blur_gaussian", 3)], 2.0),
        region(1, "dog", 0, [("noise_poisson", 3)], 0.5),
    ]
    assert [d.task for d in drafts(sample("hyd", twins, ["r0"], ask="worst"))] == []
    both = [
        region(i, label, i, [("blur_gaussian", 3), ("noise_poisson", 3)], 1.0)
        for i, label in enumerate(("dog", "sky"))
    ]
    asked = sample("dao", both, ["r0"], ask="order", order=["blur_gaussian", "noise_poisson"], effect=1.0)
    assert "grounding_dao" not in [d.task for d in drafts(asked)]


def test_wording_file_is_validated_and_versioned(tmp_path: Path) -> None:
    data = yaml.safe_load(WORDING_FILE.read_text())
    changed = tmp_path / "mine.yaml"
    changed.write_text(yaml.safe_dump({**data, "pictures": ["shot"]}))
    assert wording_version(changed) != wording_version()
    assert create("grammar").identity.prompt_version == wording_version()
    data["phrases"]["item"] = ["{np} {v:show} {distss}."]
    changed.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match="distss"):
        load_wording(changed)
    del data["phrases"]["item"]
    changed.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match="item"):
        load_wording(changed)
    with pytest.raises(InputError, match="can't read"):
        load_wording(tmp_path / "none.yaml")


def test_an_unknown_back_end_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown question-and-answer back end 'gramar'; .* 'grammar'\?"):
        create("gramar")


def test_severity_words_written_are_read_at_the_same_level() -> None:
    severity = load_lexicon().severity
    for level, entry in load_wording().severity.items():
        for word in [*entry.adj, *entry.adv]:
            assert severity[word] == {level}
