"""Logits read while an answer is made are those of a second pass; offsets say which token wrote what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.generate import Sampling, decoder, generate_answers, prompt, traced
from inference.grounded_answer import Answer
from schemas.errors import InputError
from tests.inference.small import FAMILIES, pictures, tiny

COLUMNS = np.array([2115, 2359, 5415, 13727, 7950, 1290, 1909, 5622, 4126, 151645], np.int64)
QUESTIONS = ("Where is it worst?", "Which region of this picture has the best quality?", "Is it sharp?")


def second_pass(model: Any, processor: Any, inputs: Any, made: Any, columns: Any) -> Any:
    """(T, K) logits of one forward pass over the prompt and the tokens that were generated after it."""
    ids = torch.cat([inputs["input_ids"], made], dim=1)
    more = {"attention_mask": torch.ones_like(ids)}
    if "mm_token_type_ids" in inputs:
        kinds = inputs["mm_token_type_ids"]
        more["mm_token_type_ids"] = torch.cat([kinds, kinds.new_zeros(made.shape)], dim=1)
    rest = {key: value for key, value in inputs.items() if key not in ("input_ids", *more)}
    with torch.inference_mode():
        logits = model(input_ids=ids, **more, **rest, use_cache=False).logits[0]
    first = inputs["input_ids"].shape[1] - 1
    return logits[first : first + made.shape[1]][:, torch.as_tensor(columns)].numpy()


def alone(family: str, picture: Any, question: str, answer: Answer) -> Any:
    loaded = tiny(family)
    inputs = prompt(loaded.processor, [picture], [question])
    return second_pass(
        loaded.model, loaded.processor, inputs, torch.as_tensor(answer.ids)[None], answer.columns
    )


@pytest.mark.parametrize(("temperature", "penalty"), [(0.0, None), (1.0, 1.05), (0.7, 1.3)])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_a_second_pass(family: str, temperature: float, penalty: float | None) -> None:
    loaded = tiny(family)
    sampling = Sampling(8, temperature, 0.9, penalty, seed=5)
    shown = pictures(1)
    answer = generate_answers(loaded.model, loaded.processor, shown, QUESTIONS[:1], COLUMNS, sampling)[0]
    assert answer.logits.shape == (len(answer.ids), len(COLUMNS))
    assert answer.logits.dtype == np.float32
    np.testing.assert_allclose(
        answer.logits, alone(family, shown[0], QUESTIONS[0], answer), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_batch_end_at_different_steps(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny(family)
    shown = pictures(3)
    sampling = Sampling(8, 1.0, 1.0, 1.1, seed=2)
    longest = generate_answers(loaded.model, loaded.processor, shown, QUESTIONS, COLUMNS, sampling)
    ends = [int(longest[0].ids[3]), int(longest[1].ids[5]), loaded.model.generation_config.eos_token_id]
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", ends)
    found = generate_answers(loaded.model, loaded.processor, shown, QUESTIONS, COLUMNS, sampling)
    assert [len(answer.ids) for answer in found][:2] == [4, 6]
    for picture, question, answer, whole in zip(shown, QUESTIONS, found, longest, strict=True):
        np.testing.assert_array_equal(answer.ids, whole.ids[: len(answer.ids)])
        np.testing.assert_allclose(answer.logits, alone(family, picture, question, answer), rtol=0, atol=1e-5)


def test_a_penalty_changes_the_answer_and_not_what_is_read() -> None:
    """What the sampler sees differs from what is read: otherwise the test above would prove little."""
    loaded = tiny("qwen2.5-vl")
    shown = pictures(1)
    inputs = prompt(loaded.processor, shown, QUESTIONS[:1])
    told = loaded.model.generate(
        **inputs, max_new_tokens=12, do_sample=False, repetition_penalty=1.3, output_scores=True,
        return_dict_in_generate=True,
    )  # fmt: skip
    read = generate_answers(
        loaded.model, loaded.processor, shown, QUESTIONS[:1], told.sequences[0, -12:].numpy(),
        Sampling(12, repetition_penalty=1.3),
    )[0]  # fmt: skip
    scores = torch.stack(told.scores, 1)[0].gather(1, torch.as_tensor(read.columns)[None].repeat(12, 1))
    assert np.abs(scores.numpy() - read.logits).max() > 0.1


def test_sampling_leaves_the_global_generators_alone() -> None:
    loaded = tiny("qwen2.5-vl")
    before = torch.random.get_rng_state()
    drawn = [
        generate_answers(
            loaded.model, loaded.processor, pictures(1), QUESTIONS[:1], COLUMNS, Sampling(8, 1.0, seed=seed)
        )[0].ids.tolist()
        for seed in (1, 1, 2)
    ]
    assert torch.equal(before, torch.random.get_rng_state())
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("question", "words"), [("", "empty"), ("Is <|image_pad|> sharp?", "image_pad"), (" ", "empty")]
)
def test_a_question_that_would_break_the_template_is_refused(question: str, words: str) -> None:
    loaded = tiny("qwen2.5-vl")
    with pytest.raises(InputError, match=words):
        generate_answers(loaded.model, loaded.processor, pictures(1), [question], COLUMNS)


def test_beams_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny("qwen2.5-vl")
    monkeypatch.setattr(loaded.model.generation_config, "num_beams", 4)
    with pytest.raises(InputError, match="beams"):
        generate_answers(loaded.model, loaded.processor, pictures(1), QUESTIONS[:1], COLUMNS)


def test_columns_of_another_vocabulary_are_refused() -> None:
    loaded = tiny("qwen2.5-vl")
    with pytest.raises(InputError, match="another"):
        generate_answers(loaded.model, loaded.processor, pictures(1), QUESTIONS[:1], np.array([999_999]))


@pytest.mark.parametrize(
    "values", [{"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"repetition_penalty": 0.0}]
)
def test_sampling_that_no_model_takes_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(values))):
        Sampling(**values)


def check_trace(decode: Any, ids: list[int]) -> tuple[str, Any]:
    text, offsets = traced(decode, ids)
    assert text == decode(ids)
    assert "".join(text[start:end] for start, end in offsets.tolist()) == text
    assert offsets.shape == (len(ids), 2)
    assert np.all(offsets[:, 0] <= offsets[:, 1])
    assert np.all(offsets[1:, 0] == offsets[:-1, 1])
    return text, offsets


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=30))
def test_pieces_of_any_text_join_to_it(text: str) -> None:
    tokenizer = tiny("qwen2.5-vl").processor.tokenizer
    ids = tokenizer.encode(text, add_special_tokens=False)
    found, _ = check_trace(decoder(tokenizer), ids)
    assert found == tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 151_656), st.integers(0, 255)), max_size=40))
def test_pieces_of_any_tokens_join_to_their_text(ids: list[int]) -> None:
    """Single bytes among them: broken characters, and whole ones over several tokens."""
    check_trace(decoder(tiny("qwen2.5-vl").processor.tokenizer), ids)


def test_a_character_belongs_to_the_token_that_completes_it() -> None:
    tokenizer = tiny("qwen2.5-vl").processor.tokenizer
    ids = tokenizer.encode("a𓀀 top-left", add_special_tokens=False)
    text, offsets = check_trace(decoder(tokenizer), ids)
    pieces = [text[start:end] for start, end in offsets.tolist()]
    assert pieces[0] == "a"
    assert pieces[1] == ""
    assert "𓀀" in pieces
    assert pieces[-2:] == [" top", "-left"]


def test_special_tokens_write_nothing() -> None:
    tokenizer = tiny("qwen2.5-vl").processor.tokenizer
    ids = [151644, *tokenizer.encode("left", add_special_tokens=False), 151645]
    text, offsets = check_trace(decoder(tokenizer), ids)
    assert text == "left"
    assert offsets.tolist() == [[0, 0], [0, 4], [4, 4]]
