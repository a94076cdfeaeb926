"""The chat protocol: servers' replies and refusals of every shape, and hostile ones, are read or refused."""

from __future__ import annotations

import json
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.chat.messages import Call, Picture, Reply, Sampling, TokenStep, Turn
from annotation.chat.wire_format import (
    BrokenReply,
    Refusal,
    read_fault,
    read_reply,
    request_body,
    retry_after,
    said,
    served_models,
)
from schemas.errors import SampleError
from tests.annotation.chat.calls import SCHEMA, call

ASKED = request_body(call(schema=SCHEMA), frozenset())


def completion(**changes: object) -> bytes:
    choice = {"message": {"role": "assistant", "content": "text"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    return json.dumps({"choices": [{**choice, **changes}], "usage": usage}).encode()


def message(**fields: object) -> bytes:
    return completion(message={"role": "assistant", **fields})


def test_a_completion() -> None:
    assert read_reply(completion()) == Reply("text", "stop", 5, 2)
    assert read_reply(completion(finish_reason="length")).finish_reason == "length"
    assert read_reply(completion(finish_reason=None)).finish_reason == "stop"
    assert read_reply(message(content=None)).text == ""


@pytest.mark.parametrize("count", [None, -1, "9", 1e400, 10**30, 1.5, True, [3]])
def test_unknown_counts_are_0(count: object) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count}
    body = json.dumps({"choices": [{"message": {"content": "text"}}], "usage": usage}).encode()
    assert read_reply(body) == Reply("text", "stop", 0, 0)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (message(content=None, refusal="I can't look at this"), "content-refused"),
        (completion(finish_reason="content_filter"), "content-refused"),
        (completion(message={"content": ""}, finish_reason="length"), "context-overflow"),
    ],
)
def test_replies_without_an_answer(body: bytes, reason: str) -> None:
    with pytest.raises(SampleError) as caught:
        read_reply(body)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b'{"choices": []}', b'{"choices": [null]}', b'{"choices": {"0": 1}}',
        b'{"choices": [{"message": null}]}', b'{"choices": [{"message": "text"}]}', b"<html>",
        b'{"error": {"message": "overloaded"}}', b"\xff\xfe", b"[" * 100_000, completion()[:-9],
        message(content=["text"]), message(content=5), completion(finish_reason="error"),
    ],
)  # fmt: skip
def test_what_is_no_completion_is_tried_again(body: bytes) -> None:
    with pytest.raises(BrokenReply) as caught:
        read_reply(body)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("status", "words", "kind", "field"),
    [
        (401, "Unauthorized", Refusal.KEY, None),
        (403, "Forbidden", Refusal.KEY, None),
        (404, "The model `x` does not exist.", Refusal.MODEL, None),
        (404, "Not Found", Refusal.MODEL, None),
        (400, "Model x not found", Refusal.MODEL, None),
        (400, "Server is pinned to 'y'; requested 'x'.", Refusal.MODEL, None),
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000",
         Refusal.OVERFLOW, None),
        (400, "Input length (9) must be smaller than the model context length (8).", Refusal.OVERFLOW, None),
        (400, "'max_completion_tokens' is too large: 768. This model's maximum context length is 512 tokens",
         Refusal.OVERFLOW, None),
        (400, "the request exceeds the available context size", Refusal.OVERFLOW, None),
        (413, "prompt is too long: 9000 tokens > 8000 maximum", Refusal.OVERFLOW, None),
        (400, "Unknown parameter: response_format", Refusal.FIELD, "response_format"),
        (422, "json_schema: unsupported keyword", Refusal.FIELD, "response_format"),
        (400, "Unsupported parameter: 'max_completion_tokens', use 'max_tokens'", Refusal.FIELD,
         "max_completion_tokens"),
        (422, "Unexpected fields in the request: {'seed'}", Refusal.FIELD, "seed"),
        (400, "cannot identify image file", Refusal.REQUEST, None),
        (413, "Request Entity Too Large", Refusal.REQUEST, None),
        (301, "Moved", Refusal.ADDRESS, None),
        (405, "Method Not Allowed", Refusal.ADDRESS, None),
    ],
)  # fmt: skip
def test_refusals(status: int, words: str, kind: Refusal, field: str | None) -> None:
    for body in ({"error": {"message": words}}, {"message": words, "object": "error"}, {"detail": words}):
        fault = read_fault(status, json.dumps(body).encode(), ASKED)
        assert (fault.kind, fault.words, fault.field) == (kind, words, field)
    assert read_fault(status, words.encode(), ASKED).kind is kind


def test_a_field_named_in_a_list_of_faults() -> None:
    body = {"detail": [{"loc": ["body", "response_format"], "msg": "Extra inputs are not permitted"}]}
    assert read_fault(422, json.dumps(body).encode(), ASKED).field == "response_format"


def test_a_field_that_was_not_sent_is_not_dropped_again() -> None:
    bare = request_body(call(schema=SCHEMA), frozenset({"response_format"}))
    assert read_fault(400, b"Unknown parameter: response_format", bare).kind is Refusal.REQUEST


def test_a_request_is_sent_as_it_always_was() -> None:
    """Byte for byte: servers cache by what they get, and so do replays of their traffic."""
    turns = (
        Turn("system", "Be brief."),
        Turn("user", "Wo ist die Unschärfe?", (Picture(b"\x89PNG", "image/png", "ab" * 32),)),
        Turn("assistant", "Left."),
        Turn("user", "Why?"),
    )
    one = Call("m", "r", "p", turns, Sampling(0.7, 0.9, 64, 7), SCHEMA)
    messages = (
        b'{"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", '
        b'"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}, '
        b'{"type": "text", "text": "Wo ist die Unsch\\u00e4rfe?"}]}, {"role": "assistant", '
        b'"content": "Left."}, {"role": "user", "content": "Why?"}], "temperature": 0.7, "top_p": 0.9, '
    )
    schema = (
        b'"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": '
        b'{"type": "object", "properties": {"answer": {"type": "string"}}}}}'
    )
    assert request_body(one, frozenset()) == (
        messages + b'"max_completion_tokens": 64, "seed": 7, ' + schema + b"}"
    )
    assert request_body(one, frozenset({"max_completion_tokens", "seed"})) == (
        messages + schema + b', "max_tokens": 64}'
    )


def with_logprobs(content: object) -> bytes:
    return completion(logprobs={"content": content})


@pytest.mark.parametrize("content", [None, [], False, 0])
def test_a_reply_without_log_probabilities_has_no_steps(content: object) -> None:
    assert read_reply(with_logprobs(content), logprobs=True) == Reply("text", "stop", 5, 2)
    assert read_reply(completion(logprobs=None), logprobs=True).steps == ()


def test_steps_are_read_within_bounds() -> None:
    """A half character comes as bytes; values are at most 0, and minus infinity has a stand-in."""
    entries = [
        {"token": "a", "logprob": 0.5},
        {"token": "b", "logprob": -1e400},
        {"token": "a", "logprob": -3},
    ]
    item = {"token": "?", "bytes": [226, 130], "logprob": -0.5, "top_logprobs": entries}
    (step,) = read_reply(with_logprobs([item]), logprobs=True).steps
    assert step == TokenStep(b"\xe2\x82", {b"\xe2\x82": -0.5, b"a": 0.0, b"b": math.log(1e-9)})


@pytest.mark.parametrize(
    "content",
    [
        3, "text", [3], [None], [[]], [{}], [{"token": "a"}], [{"token": "a", "logprob": "b"}],
        [{"token": "a", "logprob": None}], [{"token": "a", "logprob": float("nan")}], [{"logprob": -1}],
        [{"token": "a", "logprob": -1, "bytes": [300]}], [{"token": "a", "logprob": -1, "bytes": 10**10}],
        [{"token": "a", "logprob": -1, "bytes": "a"}], [{"token": "a", "logprob": -(10**400)}],
        [{"token": "a", "logprob": -1, "top_logprobs": 3}],
        [{"token": "a", "logprob": -1, "top_logprobs": [{"token": "b"}]}],
    ],
)  # fmt: skip
def test_log_probabilities_that_are_none_break_the_reply_if_asked_for(content: object) -> None:
    with pytest.raises(BrokenReply, match="no chat completion"):
        read_reply(with_logprobs(content), logprobs=True)
    assert read_reply(with_logprobs(content)).text == "text"


def test_half_a_character_is_replaced() -> None:
    assert read_reply(message(content="a\ud800b")).text == "a?b"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "finish_reason", "usage", "error", "detail",
                             "data", "id", "refusal", "prompt_tokens", "completion_tokens", "logprobs",
                             "logprob", "top_logprobs", "token", "bytes"]),
            inner, max_size=4,
        )
    ),
    max_leaves=20,
)  # fmt: skip
bodies = st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode())
choices = values.map(lambda value: json.dumps({"choices": [value], "usage": value}).encode())


@given(bodies | choices, st.integers(200, 499))
def test_hostile_bodies_are_read_or_refused(body: bytes, status: int) -> None:
    with suppress(BrokenReply, SampleError):
        reply = read_reply(body, logprobs=True)
        assert reply.text.encode().decode() == reply.text
        assert all(value <= 0 for step in reply.steps for value in step.logprobs.values())
        assert 0 <= reply.prompt_tokens < 2**31
    with suppress(BrokenReply):
        assert all(isinstance(name, str) for name in served_models(body))
    fault = read_fault(status, body, ASKED)
    assert len(fault.words) <= 300
    assert "\n" not in fault.words


@given(st.text(max_size=40))
def test_any_retry_after_is_read_or_ignored(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or seconds >= 0


def test_long_words_are_cut() -> None:
    assert len(said(b"word " * 10_000)) == 300
