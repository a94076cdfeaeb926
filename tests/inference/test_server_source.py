"""Answers of an OpenAI-compatible server: what it returns is read as logits of a model here are."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from annotation.chat.messages import LostCallError
from annotation.chat.wire_format import read_reply
from inference import Spider, text_to_point
from inference.generate import Sampling
from inference.grounded_answer import Answer
from inference.place_tokens import Vocabulary
from inference.server_source import ServerSource, read_answer
from schemas.config import API_KEY_VARIABLE
from schemas.errors import BuildError, InputError
from schemas.pictures import load_png
from tests.annotation.chat.scripted_server import ScriptedServer, replying
from tests.inference.small import pictures
from tests.inference.test_spider import Counted

URL = "http://127.0.0.1:1/v1"
TEXT = "The dark patch at the top left looks worst."


def token(text: str, chances: dict[str, float] | None = None) -> dict[str, Any]:
    """A step that utters a text, by the chances of the likeliest tokens; its own is among them."""
    chances = {text: 0.99} if chances is None else chances
    top = [entry(other, chance) for other, chance in chances.items()]
    return {**entry(text, chances[text]), "top_logprobs": top}


def entry(text: str, chance: float) -> dict[str, Any]:
    return {"token": text, "logprob": float(np.log(chance)), "bytes": list(text.encode())}


def steps() -> list[dict[str, Any]]:
    return [
        *map(token, ("The", " dark", " patch", " at", " the")),
        token(" top", {" top": 0.7, " bottom": 0.2, " center": 0.06, " left": 0.02}),
        token(" left", {" left": 0.5, "-left": 0.1, " right": 0.3, " center": 0.05, "most": 0.01}),
        *map(token, (" looks", " worst", ".")),
    ]


def completion(content: list[dict[str, Any]] | None, text: str = TEXT) -> bytes:
    choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    choice["logprobs"] = None if content is None else {"content": content}
    return json.dumps({"choices": [choice]}).encode()


def read(body: bytes) -> tuple[Answer, Vocabulary]:
    return read_answer(read_reply(body, logprobs=True), URL)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with replying([(200, completion(steps()))]) as made:
        yield made


def test_a_server_is_asked_as_training_rows_ask(server: ScriptedServer) -> None:
    shown = pictures(2)
    source = ServerSource(server.url, "m", Sampling(33))
    spider = Spider(source, Counted())
    results = spider.ask_many([(shown[0], "Where?"), (shown[1], "And here?")])
    assert [result.answer.text for result in results] == [TEXT, TEXT]
    assert all("flatter" in result.notes[0] for result in results)
    assert {asked["messages"][0]["content"][1]["text"] for asked in server.asked} == {"Where?", "And here?"}
    for asked in server.asked:
        assert asked["path"] == "/v1/chat/completions"
        assert (asked["model"], asked["max_completion_tokens"], asked["temperature"]) == ("m", 33, 0.0)
        assert (asked["logprobs"], asked["top_logprobs"]) == (True, 20)
        picture, question = asked["messages"][0]["content"]
        sent = load_png(base64.b64decode(picture["image_url"]["url"].split(",", 1)[1]))
        wanted = shown[0] if question["text"] == "Where?" else shown[1]
        np.testing.assert_array_equal(sent, wanted)
    assert "m at http" in spider.about


def test_what_is_returned_is_read_as_logits() -> None:
    answer, vocabulary = read(completion(steps()))
    (grounding,) = text_to_point(answer, vocabulary).groundings
    assert answer.text[slice(*grounding.span)].startswith("top left")
    assert grounding.horizontal is not None
    assert grounding.vertical is not None
    assert (grounding.vertical.step, grounding.horizontal.step) == (5, 6)
    left, center, right = 0.5 + 0.1, 0.05, 0.3
    np.testing.assert_allclose(
        grounding.horizontal.probabilities,
        np.array([left, center, right]) / (left + center + right),
        rtol=1e-4,
    )


def test_what_is_not_returned_gets_the_most_it_can_have() -> None:
    content = [token("left", {"left": 0.9, "right": 0.05}), token("right", {"right": 0.6, " a": 0.39})]
    answer, vocabulary = read(completion(content, "leftright"))
    left, right = (vocabulary.place(int(number)) for number in answer.ids)
    np.testing.assert_allclose(answer.logits[0, [left, right]], np.log([0.9, 0.05]), rtol=1e-5)
    np.testing.assert_allclose(answer.logits[1, [left, right]], np.log([0.01, 0.6]), rtol=1e-3)
    answer, vocabulary = read(completion([token("top", {"top": 0.3}), token("left")], "topleft"))
    np.testing.assert_allclose(np.sort(answer.logits[0]), np.log([0.3, 0.3]), rtol=1e-3)


def test_bytes_of_a_character_over_two_tokens() -> None:
    euro = "€".encode()
    content = [
        {"token": "\ufffd", "bytes": list(euro[:2]), "logprob": -0.1},
        {"token": "\ufffd", "bytes": list(euro[2:]), "logprob": -0.1},
        {"token": " left", "bytes": None, "logprob": -0.1},
        {"token": "<|im_end|>", "bytes": None, "logprob": -0.1},
    ]
    answer, _ = read(completion(content, "€ left"))
    assert answer.offsets.tolist() == [[0, 0], [0, 1], [1, 6], [6, 6]]


def test_an_empty_answer_is_one() -> None:
    answer, _ = read(completion([], ""))
    assert answer.text == ""
    assert answer.logits.shape == (0, 0)


@pytest.mark.parametrize("content", [None, []])
def test_a_server_without_logprobs_is_reported(content: list[Any] | None) -> None:
    with pytest.raises(InputError, match="returns no logprobs"):
        read(completion(content))


def test_tokens_that_do_not_spell_the_answer_are_no_answer() -> None:
    with pytest.raises(LostCallError, match="don't spell its answer") as caught:
        read(completion([token("other")]))
    assert caught.value.kind == "not-a-completion"


@pytest.mark.parametrize(
    "reply", [b"", b"<html>", b"[]", completion([{"token": "a"}]), completion([token("other")])]
)
def test_nonsense_is_one_line(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, reply: bytes) -> None:
    monkeypatch.setattr("annotation.chat.server_transport.FIRST_WAIT", 0.01)
    server.replies = [(200, reply)]
    with pytest.raises(BuildError, match=r"no chat completion|don't spell") as caught:
        ServerSource(server.url, "m").ask_all(pictures(1), ["Where?"])
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_busy_server_is_asked_again(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annotation.chat.server_transport.FIRST_WAIT", 0.01)
    server.replies = [(503, b"busy"), (429, b""), (200, completion(steps()))]
    (found,) = ServerSource(server.url, "m").ask_all(pictures(1), ["Where?"])
    assert found[0].text == TEXT
    assert len(server.asked) == 3
    server.replies = [(500, b"broken")]
    with pytest.raises(BuildError, match="HTTP 500: broken"):
        ServerSource(server.url, "m").ask_all(pictures(1), ["Where?"])


def test_a_refusal_is_reported_without_the_key(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "secret-key")
    server.replies = [(401, b'{"error": "secret-key is\n wrong"}')]
    with pytest.raises(InputError, match="HTTP 401") as caught:
        ServerSource(server.url, "m").ask_all(pictures(1), ["Where?"])
    assert server.keys == ["Bearer secret-key"]
    assert "secret-key" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_gone_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annotation.chat.server_transport.FIRST_WAIT", 0.01)
    with pytest.raises(BuildError, match="can't be reached, 3 tries"):
        ServerSource(URL, "m").ask_all(pictures(1), ["Where?"])


@pytest.mark.parametrize(
    "url", ["", "no", "ftp://x/v1", "http://", "http://me:pw@x/v1", "http://x:99999999/v1"]
)
def test_an_invalid_url_is_reported(url: str) -> None:
    with pytest.raises(InputError, match="address"):
        ServerSource(url, "m").ask_all(pictures(1), ["Where?"])


def test_fields_a_server_refuses_are_learned_once(server: ScriptedServer) -> None:
    words = b"Unsupported parameter: 'max_completion_tokens', use 'max_tokens'"
    server.replies = [(400, words), (200, completion(steps()))]
    source = ServerSource(server.url, "m", Sampling(33))
    for _ in range(2):
        source.ask_all(pictures(1), ["Where?"])
    assert [request.get("max_tokens") for request in server.asked] == [None, 33, 33]


def test_a_refusal_of_one_question_is_an_input_error(server: ScriptedServer) -> None:
    server.replies = [(422, b"the picture is too small")]
    with pytest.raises(InputError, match=r"refuses the request: the picture is too small \(HTTP 422\)"):
        ServerSource(server.url, "m").ask_all(pictures(1), ["Where?"])


def test_the_way_to_sample_is_sent(server: ScriptedServer) -> None:
    sampling = Sampling(9, temperature=0.5, top_p=0.8, repetition_penalty=1.1, seed=4)
    ServerSource(server.url, "m", sampling).ask_all(pictures(1), ["Where?"])
    (asked,) = server.asked
    assert (asked["temperature"], asked["top_p"], asked["seed"]) == (0.5, 0.8, 4)
    assert asked["repetition_penalty"] == 1.1
