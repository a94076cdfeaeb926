"""The client against a real server: every fault, its limits, its stops, and a key that shows nowhere."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from annotation.chat import server_transport as client
from annotation.chat.messages import Call, LostCallError, Picture, Reply, Turn
from annotation.chat.server_address import parse_address
from annotation.chat.server_transport import ServerRefusesError, ServerTransport
from annotation.chat.wire_format import LOST_CALLS, retry_after
from schemas.errors import BuildError, InputError, SampleError, SpiderError
from tests.annotation.chat.calls import MODEL, SCHEMA, call, config
from tests.annotation.chat.fault_server import (
    TRANSPORT_FAULTS,
    Answer,
    FaultServer,
    Request,
    Settings,
    echo,
    resent,
    spread,
    texts,
)
from tests.annotation.chat.scripted_server import Scripted, ScriptedServer, replying
from tests.waiting import LAST_RESORT

SECRET = "sk-a-very-secret-key-0123456789"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.02)
    monkeypatch.delenv("IQA_SPIDER_API_KEY", raising=False)


@contextmanager
def talking(
    settings: Settings | None = None, answer: Answer = echo, in_flight: int = 8, **reached: Any
) -> Iterator[tuple[FaultServer, ServerTransport]]:
    with (
        FaultServer(answer, settings, contradict=lambda request, right: "no") as server,
        closing(ServerTransport(config(server.url, **reached), in_flight)) as transport,
    ):
        yield server, transport


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lost(transport: ServerTransport, one: Call) -> SampleError:
    with pytest.raises(SampleError) as caught:
        transport.complete(one)
    return caught.value


def stopped(transport: ServerTransport, one: Call) -> str:
    with pytest.raises(BuildError) as caught:
        transport.complete(one)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_reply_and_its_tokens() -> None:
    with talking() as (server, transport):
        assert transport.complete(call("three small words")) == Reply("three small words", "stop", 3, 3)
        assert server.answered == 1


def test_what_the_server_gets() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    png = cv2.imencode(".png", image)[1].tobytes()
    got: list[Request] = []

    def answer(request: Request) -> str:
        got.append(request)
        return "fine"

    before = (Turn("system", "You look."), Turn("user", "Look.", (Picture(png, "image/png"),)))
    with talking(answer=answer) as (_, transport):
        transport.complete(call("And?", turns=(*before, Turn("assistant", "I do.")), schema=SCHEMA, seed=7))
    (request,) = got
    assert [message["role"] for message in request["messages"]] == ["system", "user", "assistant", "user"]
    picture, text = request["messages"][1]["content"]
    assert text == {"type": "text", "text": "Look."}
    head, _, data = picture["image_url"]["url"].partition(",")
    assert (picture["type"], head) == ("image_url", "data:image/png;base64")
    assert base64.b64decode(data) == png
    assert request["model"] == MODEL
    assert (request["temperature"], request["top_p"], request["seed"]) == (0.7, 0.9, 7)
    assert request["max_completion_tokens"] == 64
    assert request["response_format"]["json_schema"] == {"name": "answer", "schema": dict(SCHEMA.schema)}


@pytest.mark.parametrize("fault", TRANSPORT_FAULTS)
def test_every_fault_is_survived(fault: str) -> None:
    settings = Settings(rates={fault: 0.3}, slow_seconds=LAST_RESORT)
    deadline = 2.0 if fault == "slow" else LAST_RESORT
    with (
        talking(settings, retries=12, deadline=deadline) as (server, transport),
        ThreadPoolExecutor(16) as pool,
    ):
        said = [f"number {i}" for i in range(30)]
        replies = list(pool.map(lambda text: transport.complete(call(text)).text, said))
        assert replies == said
        faults = [event.fault for event in server.events].count(fault)
        assert 3 <= faults <= len(server.events) - len(said)
        if fault != "slow":  # a machine that needs 2 seconds for a right reply meets the deadline too
            assert resent(server.events) == []


def test_all_faults_at_once() -> None:
    settings = Settings(rates=spread(0.5, TRANSPORT_FAULTS), slow_seconds=0.01)
    with talking(settings, retries=16) as (server, transport), ThreadPoolExecutor(8) as pool:
        said = [f"number {i}" for i in range(100)]
        assert list(pool.map(lambda text: transport.complete(call(text)).text, said)) == said
        assert resent(server.events) == []


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honored(as_date: bool) -> None:
    seconds = "2" if as_date else "1"
    settings = Settings(rates={"429-retry-after": 0.4}, retry_after=seconds, retry_after_date=as_date)
    with talking(settings, retries=12) as (server, transport), ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: transport.complete(call(f"number {i}")), range(8)))
        came: dict[str, list[float]] = {}
        for event in server.events:
            came.setdefault(event.key, []).append(event.arrived)
        waits = [b - a for times in came.values() for a, b in pairwise(times)]
    # A date has whole seconds: up to one of them is gone when it is written.
    assert waits
    assert min(waits) >= (0.95)


def test_retry_after_is_bounded_by_the_deadline() -> None:
    settings = Settings(rates={"429-retry-after": 1.0}, retry_after="3600")
    with talking(settings, retries=1, deadline=2.0) as (server, transport):
        assert lost(transport, call()).reason == "no-answer"
        first, second = server.events
        assert second.arrived - first.arrived < 3000


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), (" 0.5 ", 0.5), (None, None), ("soon", None), ("-1", None), ("9" * 30, None),
     ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0), ("Fri, 99 Dec 1999 23:59:59 GMT", None)],
)  # fmt: skip
def test_retry_after_is_read(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_a_server_that_drips_meets_the_deadline() -> None:
    """Each byte comes in time; the whole doesn't."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def drip() -> None:
            while not over.is_set():
                connection, _ = listener.accept()
                connection.recv(65536)
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                    while not over.wait(0.05):
                        connection.sendall(b"x")
                except OSError:
                    pass
                connection.close()

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with closing(ServerTransport(config(url, deadline=2.0, retries=0), 4)) as transport:
            assert "no answer within 2 s" in lost(transport, call()).detail
            over.set()


def test_a_reply_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_REPLY_BYTES", 100_000)
    with talking(answer=lambda request: "x" * 200_000, retries=0) as (_, transport):
        assert "a reply of more than" in lost(transport, call()).detail


def test_a_call_that_gets_no_answer_is_lost_alone() -> None:
    settings = Settings(rates={"500": 1.0})
    with talking(settings, retries=2) as (server, transport):
        assert lost(transport, call("first")).reason == "no-answer"
        assert len(server.events) == 3
        server.settings = Settings()
        assert transport.complete(call("second")).text == "second"


def test_calls_lost_in_a_row_stop_the_build() -> None:
    with talking(Settings(rates={"500": 1.0}), retries=0) as (server, transport):
        for i in range(LOST_CALLS - 1):
            lost(transport, call(f"number {i}"))
        line = stopped(transport, call("the last straw"))
        assert f"{LOST_CALLS} calls in a row got no answer" in line
        assert "HTTP 500" in line
        assert stopped(transport, call("afterwards")) == line
        assert len(server.events) == LOST_CALLS


def test_a_reply_between_lost_calls_starts_the_count_anew() -> None:
    with talking(retries=0) as (server, transport):
        for i in range(3 * LOST_CALLS):
            rate = 0.0 if i % (LOST_CALLS - 1) == 0 else 1.0
            server.settings = Settings(rates={"500": rate})
            if rate:
                lost(transport, call(f"number {i}"))
            else:
                transport.complete(call(f"number {i}"))


def test_a_dead_server_stops_all_callers_with_one_line() -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    with closing(ServerTransport(config(url), 8)) as transport, ThreadPoolExecutor(16) as pool:
        lines = set(pool.map(lambda i: stopped(transport, call(f"number {i}")), range(40)))
    (line,) = lines
    assert f"the server {url} can't be reached, 4 tries" in line
    assert f"lmdeploy serve api_server {MODEL} --server-name 127.0.0.1" in line
    assert "every answer so far is kept" in line


def test_a_server_that_dies_on_the_way_stops_the_build() -> None:
    with talking() as (server, transport):
        assert transport.complete(call("one")).text == "one"
        server.stop()
        assert "can't be reached" in stopped(transport, call("two"))


def test_a_server_that_comes_back_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.2)
    port = closed_port()
    transport = ServerTransport(config(f"http://127.0.0.1:{port}/v1", retries=20), 8)
    with closing(transport), ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(transport.complete, call(f"number {i}")) for i in range(4)]
        time.sleep(0.4)
        assert not any(one.done() for one in waiting)
        with FaultServer(echo, port=port):
            assert [one.result().text for one in waiting] == [f"number {i}" for i in range(4)]


def test_a_wrong_key_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(api_key="another key")
    with talking(settings) as (_, transport):
        line = stopped(transport, call())
        assert "wants an API key (HTTP 401); put it in the environment variable IQA_SPIDER_API_KEY" in line
    monkeypatch.setenv("MY_KEY", SECRET)
    with talking(settings, api_key_env="MY_KEY") as (_, transport):
        assert "refuses the API key in the environment variable MY_KEY" in stopped(transport, call())
        assert "MY_KEY" in stopped(transport, call("once more"))


def test_a_stop_wakes_those_who_pause() -> None:
    settings = Settings(rates={"429-retry-after": 1.0}, retry_after="3500")
    with talking(settings, deadline=3600.0) as (server, transport), ThreadPoolExecutor(2) as pool:
        pausing = pool.submit(stopped, transport, call("told to wait"))
        while not server.events or server.open:
            time.sleep(0.01)
        server.settings = Settings(api_key="another")
        line = stopped(transport, call("wrong key"))
        assert pausing.result(LAST_RESORT) == line


def test_the_right_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQA_SPIDER_API_KEY", f"{SECRET}\n")
    with talking(Settings(api_key=SECRET)) as (_, transport):
        assert transport.complete(call("hello")).text == "hello"


@pytest.mark.parametrize("key", ["two words", "nul\0", "kéy", "a\nb"])
def test_a_key_no_header_can_carry_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setattr("os.environ", {"IQA_SPIDER_API_KEY": key})
    with pytest.raises(InputError) as caught:
        ServerTransport(config("http://127.0.0.1:1/v1"), 1)
    assert "IQA_SPIDER_API_KEY" in str(caught.value)
    assert key not in str(caught.value)


def everything_about(error: BaseException | None) -> str:
    told = []
    while error is not None:
        told += [str(error), repr(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    return " ".join(told)


def provoke_401(transport: ServerTransport, server: FaultServer) -> None:
    server.settings = Settings(api_key="another")
    transport.complete(call("wrong key"))


def provoke_404(transport: ServerTransport, server: FaultServer) -> None:
    server.settings = Settings(model=f"another {SECRET}")
    transport.complete(call("unknown model"))


def provoke_400(transport: ServerTransport, server: FaultServer) -> None:
    server.settings = Settings(refuse=("messages", SECRET))
    transport.complete(call(SECRET))


def provoke_overflow(transport: ServerTransport, server: FaultServer) -> None:
    server.settings = Settings(context_chars=3)
    transport.complete(call("too long"))


def provoke_loss(transport: ServerTransport, server: FaultServer) -> None:
    faults = [fault for fault in TRANSPORT_FAULTS if fault != "slow"]
    server.settings = Settings(rates=spread(1.0, faults))
    for _ in range(LOST_CALLS - 1):
        assert SECRET not in everything_about(lost(transport, call("lost")))
    transport.complete(call("lost"))


def provoke_death(transport: ServerTransport, server: FaultServer) -> None:
    server.stop()
    transport.complete(call("gone"))


@pytest.mark.parametrize(
    "provoke",
    [provoke_401, provoke_404, provoke_400, provoke_overflow, provoke_loss, provoke_death],
)
def test_the_key_shows_nowhere(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    provoke: Callable[[ServerTransport, FaultServer], None],
) -> None:
    monkeypatch.setenv("IQA_SPIDER_API_KEY", SECRET)
    caplog.set_level(logging.DEBUG)
    with talking(retries=1) as (server, transport):
        assert transport.complete(call(SECRET)).text == SECRET, "a reply's text is the model's alone"
        with pytest.raises((SpiderError, SampleError)) as caught:
            provoke(transport, server)
        assert SECRET not in everything_about(caught.value)
        assert SECRET not in repr(transport) + repr(vars(transport))
    assert caplog.records
    assert SECRET not in caplog.text
    assert not any(SECRET in f"{record.args!r}{record.msg!r}" for record in caplog.records)


def test_a_model_that_is_not_served() -> None:
    with talking(Settings(model="org/other-model")) as (_, transport):
        line = stopped(transport, call())
    assert f"doesn't serve the model '{MODEL}'" in line
    assert "it serves org/other-model: set vlm.model" in line


def test_an_address_without_chat() -> None:
    with FaultServer(echo) as server:
        url = server.url.replace("/v1", "/v2")
        with closing(ServerTransport(config(url), 2)) as transport:
            assert "set vlm.url to an OpenAI-compatible server's /v1" in stopped(transport, call())


@pytest.mark.parametrize(
    "url",
    [
        "http://user:word@127.0.0.1/v1", "http://127.0.0.1/v1?key=word", "http://127.0.0.1/v1#word",
        "http://me:word@x:99999999/v1", "http://127.0.0.1:99999/v1", "http://x:99999999/v1", "", "no",
        "ftp://x/v1", "http://", "http://\0/v1",
    ],
)  # fmt: skip
def test_an_address_that_is_none_or_more_than_one_is_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"^--server: .*give http://HOST:PORT/v1") as caught:
        parse_address(url, "--server", "MY_KEY")
    assert "word@" not in str(caught.value)
    assert "=word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_transport_checks_its_address() -> None:
    with pytest.raises(InputError, match=r"vlm\.url"):
        ServerTransport(config("http://127.0.0.1/v1?key=1"), 2)


GOOD = json.dumps({"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]}).encode()


@contextmanager
def scripted(*replies: Scripted, **reached: Any) -> Iterator[tuple[ScriptedServer, ServerTransport]]:
    lost_calls = reached.pop("lost_calls", LOST_CALLS)
    with (
        replying(replies) as server,
        closing(ServerTransport(config(server.url, **reached), 8, lost_calls=lost_calls)) as transport,
    ):
        yield server, transport


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529, 599])
def test_a_status_that_passes_is_tried_again(status: int) -> None:
    with scripted((status, b""), (status, b"busy"), (200, GOOD)) as (server, transport):
        assert transport.complete(call()).text == "fine"
        assert len(server.asked) == 3
        assert {request["path"] for request in server.asked} == {"/v1/chat/completions"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 418, 422])
def test_a_status_that_stays_is_not_tried_again(status: int) -> None:
    with scripted((status, b"no")) as (server, transport):
        with pytest.raises((SampleError, BuildError), match=f"HTTP {status}"):
            transport.complete(call())
        assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_takes_the_key_along(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("IQA_SPIDER_API_KEY", SECRET)
    with replying([(200, GOOD)]) as other:
        to = {"Location": f"{other.url}/chat/completions"}
        with scripted((status, b"over there", to)) as (server, transport):
            with pytest.raises(ServerRefusesError, match=f"answers HTTP {status}.*; set vlm.url"):
                transport.complete(call())
            assert server.keys == [f"Bearer {SECRET}"]
    assert other.asked == []


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        ((500, b'{"error": {"message": "out of\\nmemory, no. 17"}}'), "no-answer", "out of memory, no. 17"),
        ((429, b""), "no-answer", ""),
        ((200, b"<html>"), "not-a-completion", ""),
        ((200, b"x" * 200_000), "too-long", ""),
    ],
)  # fmt: skip
def test_a_lost_call_says_how_it_was_lost(
    monkeypatch: pytest.MonkeyPatch, reply: Scripted, kind: str, words: str
) -> None:
    """What the server said, which may differ each time, is kept out of what is stored of the call."""
    monkeypatch.setattr(client, "MAX_REPLY_BYTES", 100_000)
    with scripted(reply, retries=0) as (_, transport):
        error = lost(transport, call())
    assert isinstance(error, LostCallError)
    assert (error.reason, error.kind, error.words) == ("no-answer", kind, words)
    assert not words or words not in error.detail


def test_a_call_lost_to_the_clock_is_a_timeout() -> None:
    with talking(Settings(latency=LAST_RESORT), retries=0, deadline=2.0) as (_, transport):
        error = lost(transport, call())
    assert isinstance(error, LostCallError)
    assert error.kind == "timeout"


def test_any_number_of_calls_may_be_lost() -> None:
    with scripted((500, b""), retries=0, lost_calls=None) as (server, transport):
        for _ in range(2 * LOST_CALLS):
            lost(transport, call())
        server.replies = [(200, GOOD)]
        assert transport.complete(call()).text == "fine"


def test_the_next_connection_knows_what_was_refused() -> None:
    refused: set[str] = set()
    with FaultServer(echo, Settings(refuse=("seed",))) as server:
        for _ in range(2):
            with closing(ServerTransport(config(server.url), 2, refused=refused)) as transport:
                assert transport.complete(call("hello")).text == "hello"
        assert len(server.events) == 3
    assert refused == {"seed"}


def test_log_probabilities_come_with_the_reply() -> None:
    steps = [
        {"token": "fi", "logprob": -0.1, "bytes": [102, 105],
         "top_logprobs": [{"token": "fi", "logprob": -0.1}, {"token": "x", "logprob": -2.5}]},
        {"token": "ne", "logprob": -0.2},
    ]  # fmt: skip
    choice = {"message": {"content": "fine"}, "finish_reason": "stop", "logprobs": {"content": steps}}
    body = json.dumps({"choices": [choice]}).encode()
    with scripted((200, body)) as (server, transport):
        reply = transport.complete(replace(call(), top_logprobs=2))
        assert [step.token for step in reply.steps] == [b"fi", b"ne"]
        assert [dict(step.logprobs) for step in reply.steps] == [{b"fi": -0.1, b"x": -2.5}, {b"ne": -0.2}]
        assert transport.complete(call()).steps == ()
        first, second = server.asked
        assert (first["logprobs"], first["top_logprobs"]) == (True, 2)
        assert not {"logprobs", "top_logprobs", "repetition_penalty"} & second.keys()


def test_a_context_overflow_is_the_samples_alone() -> None:
    with talking(Settings(context_chars=50)) as (server, transport):
        error = lost(transport, call("long " * 20))
        assert error.reason == "context-overflow"
        assert "maximum context length is 50" in error.detail
        assert len(server.events) == 1, "what overflows once overflows always"
        assert transport.complete(call("short")).text == "short"


@pytest.mark.parametrize("field", ["response_format", "max_completion_tokens", "seed"])
def test_a_refused_field_is_left_out_from_then_on(field: str) -> None:
    got: list[Request] = []

    def answer(request: Request) -> str:
        got.append(request)
        return "{}"

    with talking(Settings(refuse=(field,)), answer=answer) as (server, transport):
        for i in range(4):
            assert transport.complete(call(f"number {i}", schema=SCHEMA)).text == "{}"
        assert len(server.events) == 5
    assert not any(field in request for request in got)
    assert all(("max_tokens" in request) == (field == "max_completion_tokens") for request in got)


def test_a_request_that_is_refused_for_another_reason_is_lost() -> None:
    with talking(Settings(refuse=("messages",))) as (server, transport):
        error = lost(transport, call())
        assert (error.reason, len(server.events)) == ("request-refused", 1)
        assert "messages" in error.detail


def test_the_window_slides_and_is_never_wider() -> None:
    """No reply is given while the window isn't full: a client that waits for a batch's last never ends."""
    width, total = 32, 300

    async def answer(request: Request) -> str:
        while server.open < min(width, total - server.answered):
            await asyncio.sleep(0.002)
        return texts(request)

    with (
        talking(answer=answer, in_flight=width) as (server, transport),
        ThreadPoolExecutor(2 * width) as pool,
    ):
        waiting = [pool.submit(transport.complete, call(f"number {i}")) for i in range(total)]
        assert [one.result(LAST_RESORT).text for one in waiting] == [f"number {i}" for i in range(total)]
        assert server.most_open == width
        assert server.connections == width


def test_closing_ends_what_waits() -> None:
    hold = threading.Event()

    async def answer(request: Request) -> str:
        while not hold.is_set():
            await asyncio.sleep(0.01)
        return ""

    with talking(answer=answer) as (server, transport), ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(stopped, transport, call())
        while not server.events:
            time.sleep(0.01)
        transport.close()
        assert "closed" in waiting.result(LAST_RESORT)
        assert "closed" in stopped(transport, call())
        assert not any(thread.name == "chat-client" for thread in threading.enumerate())
        hold.set()
