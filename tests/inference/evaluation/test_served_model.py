"""A model behind a server under test: what is asked, and whom a fault concerns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inference.evaluation.benchmark_interface import Item
from inference.evaluation.evaluation_run import Done, Task, evaluate
from inference.evaluation.served_model import ServedModel
from inference.generate import Sampling
from inference.server_source import ServerSource
from inference.spider import Spider
from schemas.config import API_KEY_VARIABLE
from schemas.errors import BuildError, InputError
from tests.inference.evaluation.chat_server import TRIAL, serving
from tests.inference.evaluation.toys import HalfSegmenter, Halves, pair
from tests.waiting import LAST_RESORT


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annotation.chat.server_transport.FIRST_WAIT", 0.01)


def model_of(url: str, deadline: float = LAST_RESORT) -> ServedModel:
    source = ServerSource(url, "m", Sampling(9), deadline)
    return ServedModel("m", {"strategy": "grid"}, source, Spider(source, HalfSegmenter()).grounded)


def run(url: str, out: Path, deadline: float = LAST_RESORT) -> Done:
    benchmark = Halves()
    return evaluate(Task(benchmark, benchmark.open(out, None), model_of(url, deadline)), out)


def well(question: str, request: dict[str, Any]) -> str | int:
    return "It is the right side." if question == "Where?" else "right"


def test_a_benchmark_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "secret-key")
    with serving(well) as server:
        done = run(server.url, tmp_path)
        assert len(server.asked) == 24
        pairs = zip(server.asked, server.questions(), strict=True)
        assert all(("logprobs" in request) == (question == "Where?") for request, question in pairs)
        again = run(server.url, tmp_path)
        assert len(server.asked) == 24
        assert server.keys == {"Bearer secret-key"}
    assert again.summary == done.summary
    values = {(m.task, m.measure): m.value for m in done.summary.measured}
    assert values["which", "accuracy"] == pytest.approx(8 / 12)
    assert values["where", "gIoU"] == pytest.approx(8 / 12)
    assert done.summary.settings == {
        "strategy": "grid", "model": "m", "server": server.url, "max_new_tokens": 9,
    }  # fmt: skip
    assert not any(b"secret-key" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_talk_goes_on_after_the_models_own_answers() -> None:
    first = next(iter(pair(0)))
    item = Item("a", "g", "t", ("One?", "Two?"), first.picture)
    with serving(lambda question, _: f"Said {question}", logprobs=False) as server:
        (reply,) = model_of(server.url).ask([item])
    assert reply.texts == ("Said One?", "Said Two?")
    assert [m["role"] for m in server.asked[1]["messages"]] == ["user", "assistant", "user"]
    assert server.asked[1]["messages"][1]["content"] == "Said One?"


@pytest.mark.parametrize(("fault", "reason"), [(0, "timeout"), (500, "no-answer"), (400, "request-refused")])
def test_a_fault_is_its_items_own_and_asked_again(tmp_path: Path, fault: int, reason: str) -> None:
    failing = {"Where?"}
    seen: list[str] = []

    def script(question: str, request: dict[str, Any]) -> str | int:
        picture = str(request["messages"][0]["content"][0])
        seen.append(picture)
        bad = picture == seen[0] and question in failing
        return fault if bad else well(question, request)

    with serving(script) as server:
        done = run(server.url, tmp_path, 3.0 if fault == 0 else LAST_RESORT)
        assert done.summary.errors == {reason: 1}
        failing.clear()
        before = len(server.asked)
        assert run(server.url, tmp_path).summary.errors == {}
        assert len(server.asked) == before + 1


def test_where_all_asked_fail_an_easy_question_tells(tmp_path: Path) -> None:
    with serving(lambda q, r: 400 if q == "Where?" else well(q, r)) as server:
        assert run(server.url, tmp_path).summary.errors == {"request-refused": 12}
        assert server.questions().count(TRIAL) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_what_is_refused_to_all_ends_the_run(
    tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "secret-key")
    with serving(lambda *_: status) as server, pytest.raises(InputError, match=f"HTTP {status}") as caught:
        run(server.url, tmp_path)
    assert "secret-key" not in str(caught.value)


def test_servers_that_answer_nothing_end_the_run(tmp_path: Path) -> None:
    with serving(well) as server:
        url = server.url
    with pytest.raises(BuildError, match="evaluate again"):
        run(url, tmp_path)
    with serving(well, raw=b"<html>Hello</html>") as server, pytest.raises(BuildError, match="completion"):
        run(server.url, tmp_path)
    with serving(lambda *_: 503) as server, pytest.raises(BuildError, match="HTTP 503"):
        run(server.url, tmp_path)


def test_without_logprobs_no_place_can_be_read(tmp_path: Path) -> None:
    with serving(well, logprobs=False) as server, pytest.raises(InputError, match="returns no logprobs"):
        run(server.url, tmp_path)


def test_chosen_words_are_refused() -> None:
    item = Item("a", "g", "t", ("Rate.",), next(iter(pair(0))).picture, words=("good", "poor"))
    with pytest.raises(InputError, match="load the model here"):
        model_of("http://127.0.0.1:9/v1").ask([item])
