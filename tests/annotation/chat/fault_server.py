"""A chat server on loopback, OpenAI-compatible, that fails on purpose at set rates, and counts.

In a test's own process:

    with FaultServer(answer, Settings(rates={"500": 0.1, "reset": 0.1})) as server:
        ...server.url...; server.events

In a process of its own, which a killed build doesn't take with it (`answer` as "package.module:function"):

    with FaultServerProcess("tests.some.module:answer", Settings(...)) as server:
        ...server.url...; server.events()

`answer(request)` gets the request's JSON and gives the right reply's text; it may be async. It must depend on
nothing but the request. Whether a request is turned down or its connection fails (`TRANSPORT_FAULTS`) follows
from its content and how often it came; whether its reply is wrong (`REPLY_FAULTS`) follows from its content
alone, so that a reply is the same however often a request has to be sent.

`resent(events, kills)` says which requests came again although they had been answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import email.utils
import hashlib
import importlib
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.waiting import LAST_RESORT, wait_until

ROOT = Path(__file__).parents[3]
TRANSPORT_FAULTS = ("429", "429-retry-after", "500", "slow", "cut-off", "reset", "non-json")
REPLY_FAULTS = ("schema-breaking", "contradicting")
FAULTS = (*TRANSPORT_FAULTS, *REPLY_FAULTS)

Request = dict[str, Any]
Answer = Callable[[Request], str | Awaitable[str]]
Change = Callable[[Request, str], str]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the server behaves. `rates` are shares of requests by fault, each kind's faults sum to 1 at most.

    `latency` and `slow_seconds` are seconds; `retry_after` is the header's value, as an HTTP date that many
    seconds ahead with `retry_after_date`. `api_key` None asks for none. More characters of text than
    `context_chars` overflow the context. `refuse` names request fields that get a 400. Once `answers`
    replies were sent, no other is until the server ends: a client can't run ahead of the test.
    """

    model: str = "OpenGVLab/InternVL2_5-8B"
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    latency: float = 0.0
    slow_seconds: float = 1.0
    retry_after: str = "0"
    retry_after_date: bool = False
    api_key: str | None = None
    context_chars: int | None = None
    refuse: tuple[str, ...] = ()
    answers: int | None = None
    seed: int = 0


@dataclasses.dataclass
class Event:
    """A request: its content's key, when it came, the fault it met, when its reply was sent (time.time())."""

    key: str
    arrived: float
    open: int
    fault: str | None = None
    answered: float | None = None


def spread(total: float, kinds: Sequence[str] = FAULTS) -> dict[str, float]:
    """Rates of `kinds` that sum to `total`, all the same."""
    return {kind: total / len(kinds) for kind in kinds}


def content_key(request: Request) -> str:
    """What a request asks, whatever the names of its limits and whether a schema came with it."""
    shaping = {name: request.get(name) for name in ("model", "messages", "seed", "temperature", "top_p")}
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def resent(events: Sequence[Event], kills: Sequence[float] = (), grace: float = 0.5) -> list[str]:
    """Keys of the requests that came again after they had been answered, a kill between or not.

    A reply sent less than `grace` seconds before a client was killed (`kills`, time.time()) may have died
    with it and doesn't count.
    """
    answered: dict[str, float] = {}
    again = []
    for event in sorted(events, key=lambda event: event.arrived):
        before = answered.get(event.key)
        if (
            before is not None
            and before < event.arrived
            and not any(before <= kill + 0.05 and kill - before < grace for kill in kills)
        ):
            again.append(event.key)
        if event.answered is not None:
            answered[event.key] = event.answered
    return again


def break_json(request: Request, right: str) -> str:
    """The default schema-breaking reply: the right one's first half."""
    return right[: len(right) // 2]


class FaultServer:
    """The server on a thread of its own; see the module."""

    def __init__(
        self,
        answer: Answer,
        settings: Settings | None = None,
        contradict: Change | None = None,
        break_schema: Change = break_json,
        port: int = 0,
    ) -> None:
        self.settings = settings or Settings()
        self.events: list[Event] = []
        self.port = port
        self.open = 0
        self.most_open = 0
        self.connections = 0
        self._answer = answer
        self._changes = {"schema-breaking": break_schema, "contradicting": contradict}
        self._came: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault-server", daemon=True)
        unknown = set(self.settings.rates) - set(FAULTS)
        if unknown or (self.settings.rates.get("contradicting") and contradict is None):
            raise ValueError(f"no such faults: {sorted(unknown)}, or nothing that contradicts")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(LAST_RESORT):
            raise RuntimeError("the fault server didn't start")

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(LAST_RESORT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def answered(self) -> int:
        """Replies sent so far."""
        return sum(event.answered is not None for event in self.events)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._talk, "127.0.0.1", self.port, backlog=1024, limit=2**26)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request by request."""
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in head[1:])
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = head[0].split(" ", 2)
                await self._respond(method, path, headers, body, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            with contextlib.suppress(Exception):
                writer.close()

    async def _respond(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        if path == "/control/events":
            return await _send(writer, 200, [dataclasses.asdict(event) for event in self.events])
        if path == "/control/settings":
            self.settings = dataclasses.replace(self.settings, **json.loads(body))
            return await _send(writer, 200, {})
        if self.settings.api_key and headers.get("authorization") != f"Bearer {self.settings.api_key}":
            return await _error(writer, 401, "Incorrect API key provided", "invalid_api_key")
        if path == "/v1/models":
            return await _send(
                writer, 200, {"object": "list", "data": [{"id": self.settings.model, "object": "model"}]}
            )
        if (method, path) != ("POST", "/v1/chat/completions"):
            return await _error(writer, 404, f"no {path} here", "not_found")
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._chat(json.loads(body), reader, writer)
        finally:
            self.open -= 1

    async def _chat(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        settings = self.settings
        event = Event(content_key(request), time.time(), self.open)
        self.events.append(event)
        turned_down = self._turned_down(request)
        if turned_down is not None:
            event.fault = turned_down[1]
            return await _error(writer, *turned_down)
        if settings.latency:
            await asyncio.sleep(settings.latency)
        event.fault = self._drawn(TRANSPORT_FAULTS, event.key, self._came[event.key])
        self._came[event.key] += 1
        match event.fault:
            case "429":
                return await _error(writer, 429, "Too many requests", "rate_limit")
            case "429-retry-after":
                after = settings.retry_after
                if settings.retry_after_date:
                    after = email.utils.formatdate(time.time() + float(after), usegmt=True)
                return await _error(writer, 429, "Too many requests", "rate_limit", {"Retry-After": after})
            case "500":
                return await _error(writer, 500, "Internal error", "internal")
            case "non-json":
                return await _send(writer, 200, b"<html><body>Bad gateway</body></html>")
            case "reset":
                return _reset(writer)
            case "slow":
                await asyncio.sleep(settings.slow_seconds)
        while self.settings.answers is not None and self.answered >= self.settings.answers:
            await asyncio.sleep(0.01)
        given = self._answer(request)
        text = given if isinstance(given, str) else await given
        wrong = self._drawn(REPLY_FAULTS, event.key)
        if wrong is not None:
            event.fault = event.fault or wrong
            change = self._changes[wrong]
            assert change is not None
            text = change(request, text)
        reply = _completion(request, text)
        if event.fault == "cut-off":
            data = json.dumps(reply).encode()
            await _send(writer, 200, data[: len(data) // 2], len(data))
            raise ConnectionResetError
        if not (writer.is_closing() or reader.at_eof()):
            event.answered = time.time()
            await _send(writer, 200, reply)
        return None

    def _turned_down(self, request: Request) -> tuple[int, str, str] | None:
        """Status, message and code for a request that can't be served."""
        settings = self.settings
        if request.get("model") != settings.model:
            return 404, f"The model '{request.get('model')}' does not exist.", "model_not_found"
        for name in settings.refuse:
            if name in request:
                return 400, f"Unrecognized request argument supplied: {name}", "invalid_request"
        if settings.context_chars is not None:
            length = len(texts(request))
            if length > settings.context_chars:
                limit = f"This model's maximum context length is {settings.context_chars} tokens"
                return 400, f"{limit}. However, you requested {length} tokens.", "context_length_exceeded"
        return None

    def _drawn(self, kinds: Sequence[str], *decided_by: object) -> str | None:
        """The fault that the request meets, if any."""
        told = json.dumps([self.settings.seed, kinds[0], *decided_by]).encode()
        drawn = int.from_bytes(hashlib.sha256(told).digest()[:8], "big") / 2**64
        for kind in kinds:
            drawn -= self.settings.rates.get(kind, 0.0)
            if drawn < 0:
                return kind
        return None


def texts(request: Request) -> str:
    """All that a request says in words."""
    said = []
    for message in request["messages"]:
        content = message["content"]
        if isinstance(content, str):
            said.append(content)
        else:
            said += [item["text"] for item in content if item["type"] == "text"]
    return "\n".join(said)


def _completion(request: Request, text: str) -> dict[str, Any]:
    usage = {"prompt_tokens": len(texts(request).split()), "completion_tokens": len(text.split())}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    body: Any,
    length: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"Content-Type": "application/json", "Content-Length": str(length or len(data)), **(headers or {})}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in told.items())
    writer.write(head.encode() + b"\r\n" + data)
    await writer.drain()


async def _error(
    writer: asyncio.StreamWriter,
    status: int,
    message: str,
    code: str,
    headers: Mapping[str, str] | None = None,
) -> None:
    told = {"object": "error", "message": message, "type": "invalid_request_error", "code": code}
    await _send(writer, status, {"error": told}, headers=headers)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the client sees its connection reset."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    raise ConnectionResetError


class FaultServerProcess:
    """The server in a process of its own; functions are named "package.module:function"."""

    def __init__(
        self,
        answer: str,
        settings: Settings | None = None,
        contradict: str | None = None,
        break_schema: str | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        port_file = Path(self._folder.name) / "port"
        arguments = ["--answer", answer, "--port-file", str(port_file)]
        arguments += ["--settings", json.dumps(dataclasses.asdict(settings or Settings()))]
        arguments += ["--contradict", contradict] if contradict else []
        arguments += ["--break-schema", break_schema] if break_schema else []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.annotation.chat.fault_server", *arguments], cwd=ROOT
        )
        wait_until(lambda: port_file.exists() or self._process.poll() is not None)
        if not port_file.exists():
            self.stop()
            raise RuntimeError("the fault server's process didn't start")
        self.port = int(port_file.read_text())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def events(self) -> list[Event]:
        return [Event(**event) for event in self._control("events")]

    def change(self, **settings: Any) -> None:
        """Give some of the settings another value from now on."""
        self._control("settings", json.dumps(settings).encode())

    def _control(self, name: str, body: bytes | None = None) -> Any:
        address = f"http://127.0.0.1:{self.port}/control/{name}"
        with urllib.request.urlopen(urllib.request.Request(address, data=body), timeout=LAST_RESORT) as told:
            return json.load(told)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(LAST_RESORT)
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _function(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def echo(request: Request) -> str:
    """An answer for tests of the wire: the last words of the request."""
    return texts(request).rsplit("\n", 1)[-1]


def main() -> None:
    """Serve until killed; the port is written to a file once it is open."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answer", default="tests.annotation.chat.fault_server:echo")
    parser.add_argument("--contradict")
    parser.add_argument("--break-schema", default="tests.annotation.chat.fault_server:break_json")
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--port-file", type=Path, required=True)
    options = parser.parse_args()
    told = {**options.settings, "refuse": tuple(options.settings.get("refuse", ()))}
    contradict = _function(options.contradict) if options.contradict else None
    break_schema = _function(options.break_schema)
    server = FaultServer(_function(options.answer), Settings(**told), contradict, break_schema)
    server.start()
    temporary = options.port_file.with_suffix(".part")
    temporary.write_text(str(server.port))
    temporary.rename(options.port_file)
    threading.Event().wait()


if __name__ == "__main__":
    main()
