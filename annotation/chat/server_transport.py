"""Asks an OpenAI-compatible server: bounded, patient with its faults, and quick to stop when it is gone."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from dataclasses import dataclass

import httpx

from annotation.chat.messages import Call, LossKind, LostCallError, Reply
from annotation.chat.server_address import ServerSettings, is_loopback, parse_address, read_api_key
from annotation.chat.wire_format import (
    LOST_CALLS,
    BrokenReply,
    Fault,
    Refusal,
    read_fault,
    read_reply,
    request_body,
    retry_after,
    said,
    served_models,
)
from schemas.errors import BuildError, SampleError
from schemas.hashing import rng

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Seconds: the wait after a first fault doubles with every further one up to the longest; half is jitter."""
CONNECT_SECONDS = 10.0
MAX_REPLY_BYTES = 32_000_000
"""With 20 alternatives each, a token takes some 1.6 kB: room for 20,000 of them."""
_BUSY = (408, 409, 425, 429)


@dataclass(frozen=True)
class Wording:
    """How messages name the settings of address and model, and what to do once they are right."""

    url: str = "vlm.url"
    model: str = "vlm.model"
    again: str = "build again: every answer so far is kept"


class ServerRefusesError(BuildError):
    """No request can succeed: the server refuses the key, the model or the address."""


@dataclass(frozen=True)
class _Failure:
    """A try that may go better the next time; `gone` if no server spoke at all, `words` if it said why."""

    what: str
    kind: LossKind = "no-answer"
    gone: bool = False
    words: str = ""
    wait: float | None = None

    @property
    def told(self) -> str:
        return f"{self.what}: {self.words}" if self.words else self.what


@dataclass
class _Request:
    """A call under way and its body, made of all that the server hasn't refused by then."""

    call: Call
    refused: frozenset[str]
    body: bytes
    began: float = 0.0


class ServerTransport:
    """Sends calls to `settings.url` from one event loop on a thread of its own.

    At most `in_flight` requests are open, each on a connection that is kept for the next. A call waits for
    its turn and then holds its place until it is answered or given up, its pauses included. Every request,
    its answer included, has `settings.deadline` seconds; 408, 409, 425, 429, 5xx, connection errors,
    time-outs and broken replies are tried again `settings.retries` times, a Retry-After honored up to the
    deadline's length. A call that uses up its tries is a LostCallError, and a BuildError, for all calls that
    wait as well, when the server can't be reached or `lost_calls` calls in a row were lost (None: however
    many). No redirect is followed. The key comes from the environment and appears in no message.

    `refused` are the fields that requests go without: those the server refuses are added, so that a set
    that is given to the next connection spares it from learning them again.
    """

    def __init__(
        self,
        settings: ServerSettings,
        in_flight: int,
        wording: Wording = Wording(),
        *,
        lost_calls: int | None = LOST_CALLS,
        refused: set[str] | None = None,
    ) -> None:
        self._wording = wording
        self._url = parse_address(settings.url, wording.url, settings.api_key_env)
        self._shown = str(self._url)
        self._settings = settings
        self._key = read_api_key(settings.api_key_env)
        self._refused = set() if refused is None else refused
        self._lost_calls = lost_calls
        self._lost = 0
        self._heard = -1.0
        self._broken: BuildError | None = None
        self._closed = False
        self._gate = threading.Lock()
        self._jitter = rng(os.getpid(), "backoff", settings.url)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._slots = asyncio.Semaphore(in_flight)
        self._tls = httpx.create_ssl_context(trust_env=not is_loopback(self._url.host))
        self._lanes: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []
        self._thread = threading.Thread(target=self._run, name="chat-client", daemon=True)
        self._thread.start()

    def _new_lane(self) -> httpx.AsyncClient:
        """A client with one connection: what a shared pool spends on a request grows with its square."""
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        lane = httpx.AsyncClient(
            headers=headers,
            verify=self._tls,
            timeout=httpx.Timeout(None, connect=min(CONNECT_SECONDS, self._settings.deadline)),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=4),
            trust_env=not is_loopback(self._url.host),
            follow_redirects=False,
        )
        self._lanes.append(lane)
        return lane

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def complete(self, call: Call) -> Reply:
        """The model's next turn; blocks. Raises BuildError and SampleError as the class says."""
        refused = frozenset(self._refused)
        request = _Request(call, refused, request_body(call, refused))
        with self._gate:
            if self._closed:
                raise BuildError(f"{self._shown}: the connection was closed; {self._wording.again}")
            waiting = asyncio.run_coroutine_threadsafe(self._complete(request), self._loop)
        try:
            return waiting.result()
        except concurrent.futures.CancelledError as error:
            raise BuildError(
                f"{self._shown}: closed while a reply was waited for; {self._wording.again}"
            ) from error
        except BaseException:
            waiting.cancel()
            raise

    def close(self) -> None:
        """End what is under way and the thread; may be called twice."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _shut(self) -> None:
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for lane in self._lanes:
            await lane.aclose()

    async def _complete(self, request: _Request) -> Reply:
        async with self._slots:
            lane = self._idle.pop() if self._idle else self._new_lane()
            try:
                return await self._persist(request, lane)
            finally:
                self._idle.append(lane)

    async def _persist(self, request: _Request, lane: httpx.AsyncClient) -> Reply:
        """Send the request until it is answered or its tries are used up."""
        tries = 0
        request.began = self._loop.time()
        while True:
            if self._broken is not None:
                raise type(self._broken)(str(self._broken))
            self._rebuild(request)
            outcome = await self._try(request, lane)
            if isinstance(outcome, Reply):
                self._lost = 0
                return outcome
            if isinstance(outcome, _Failure):
                tries += 1
                if tries > self._settings.retries:
                    self._give_up(request, outcome, tries)
                await self._pause(outcome, tries)

    def _rebuild(self, request: _Request) -> None:
        """What the server has refused since the request was made is left out."""
        if request.refused != self._refused:
            request.refused = frozenset(self._refused)
            request.body = request_body(request.call, request.refused)

    async def _try(self, request: _Request, lane: httpx.AsyncClient) -> Reply | _Failure | None:
        """One request: its reply, or what went wrong, or None if it is to be sent again without a field."""
        deadline = self._settings.deadline
        try:
            async with asyncio.timeout(deadline):
                status, headers, body = await _send(
                    lane, "POST", f"{self._url}/chat/completions", request.body
                )
        except TimeoutError:
            return _Failure(f"no answer within {deadline:g} s", "timeout")
        except httpx.ConnectTimeout:
            return _Failure("it doesn't take the connection", gone=True)
        except httpx.ConnectError as error:
            return _Failure(self._safe(str(error)) or "no connection", gone=True)
        except BrokenReply as error:
            return _Failure(self._safe(str(error)), error.kind)
        except httpx.TransportError as error:
            return _Failure(f"the connection broke ({self._safe(str(error)) or type(error).__name__})")
        self._heard = self._loop.time()
        if status == 200:
            try:
                return read_reply(body, logprobs=request.call.top_logprobs > 0)
            except BrokenReply as error:
                return _Failure(self._safe(str(error)), error.kind)
            except SampleError as error:
                self._lost = 0
                raise SampleError(error.reason, self._safe(error.detail)) from None
        if status in _BUSY or status >= 500:
            wait = retry_after(headers.get("retry-after"))
            return _Failure(f"HTTP {status}", words=self._safe(said(body)), wait=wait)
        await self._refuse(status, read_fault(status, body, request.body), lane)
        return None

    async def _refuse(self, status: int, fault: Fault, lane: httpx.AsyncClient) -> None:
        """Remember a field to leave out, or raise what the refusal means."""
        words = self._safe(fault.words)
        variable = self._settings.api_key_env
        match fault.kind:
            case Refusal.FIELD if fault.field is not None:
                self._refused.add(fault.field)
            case Refusal.OVERFLOW:
                raise SampleError("context-overflow", f"{words} (HTTP {status})")
            case Refusal.KEY if self._key is None:
                self._refuse_all(
                    f"wants an API key (HTTP {status}); put it in the environment variable {variable}"
                )
            case Refusal.KEY:
                self._refuse_all(
                    f"refuses the API key in the environment variable {variable} (HTTP {status}); correct it"
                )
            case Refusal.MODEL:
                self._refuse_all(await self._about_model(f"HTTP {status}: {words}", lane))
            case Refusal.ADDRESS:
                self._refuse_all(
                    f"answers HTTP {status} ({words}); set {self._wording.url} to the server's own address"
                )
            case _:
                raise SampleError("request-refused", f"{words} (HTTP {status})")

    async def _about_model(self, words: str, lane: httpx.AsyncClient) -> str:
        """What is wrong when the server says "not found": the model's name, or the address."""
        model = self._settings.model
        try:
            async with asyncio.timeout(min(CONNECT_SECONDS, self._settings.deadline)):
                status, _, body = await _send(lane, "GET", f"{self._url}/models", None)
            names = served_models(body) if status == 200 else []
        except (httpx.TransportError, BrokenReply, TimeoutError):
            names = []
        if not names:
            setting = self._wording.url
            return f"has no chat completions ({words}); set {setting} to an OpenAI-compatible server's /v1"
        shown = self._safe(", ".join(names[:20]) + (", ..." if len(names) > 20 else ""))
        return (
            f"doesn't serve the model {model!r} ({words}); it serves {shown}: "
            f"set {self._wording.model} or restart it with this model"
        )

    def _give_up(self, request: _Request, failure: _Failure, tries: int) -> None:
        """A call's tries are used up: it is lost; the build stops if the server is gone or always fails."""
        self._lost += 1
        if failure.gone and self._heard < request.began:
            self._break(f"can't be reached, {tries} tries ({failure.told}); {self._remedy()}")
        if self._lost_calls is not None and self._lost >= self._lost_calls:
            calls = f"{self._lost} calls in a row got no answer"
            self._break(f"{calls}, {tries} tries each (the last: {failure.told}); {self._remedy()}")
        detail = f"{self._shown}: {tries} tries, the last: {failure.what}"
        raise LostCallError(detail, failure.kind, failure.words)

    def _remedy(self) -> str:
        host, port = self._url.host, self._url.port or (443 if self._url.scheme == "https" else 80)
        model = self._settings.model
        command = f"lmdeploy serve api_server {model} --server-name {host} --server-port {port}"
        return f"start it (`{command}`) or set {self._wording.url}, then {self._wording.again}"

    def _break(self, what: str, kind: type[BuildError] = BuildError) -> None:
        """Stop all calls, those that wait as well."""
        if self._broken is None:
            self._broken = kind(f"the server {self._shown} {what}")
            self._stop.set()
        raise type(self._broken)(str(self._broken))

    def _refuse_all(self, what: str) -> None:
        self._break(what, ServerRefusesError)

    async def _pause(self, failure: _Failure, tries: int) -> None:
        """Wait before the next try, at least as long as the server asks; a stopped build ends the wait."""
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (tries - 1)) * (0.5 + 0.5 * float(self._jitter.random()))
        if failure.wait is not None:
            wait = max(wait, min(failure.wait, self._settings.deadline))
        try:
            async with asyncio.timeout(wait):
                await self._stop.wait()
        except TimeoutError:
            return

    def _safe(self, text: str) -> str:
        """The text without the key, should a server repeat it."""
        return text if self._key is None else text.replace(self._key.get_secret_value(), "[key]")


async def _send(
    lane: httpx.AsyncClient, method: str, url: str, content: bytes | None
) -> tuple[int, httpx.Headers, bytes]:
    """Status, headers and body, which is read up to a limit (BrokenReply)."""
    async with lane.stream(method, url, content=content) as response:
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MAX_REPLY_BYTES:
                raise BrokenReply(f"a reply of more than {MAX_REPLY_BYTES / 1e6:g} MB", "too-long")
        return response.status_code, response.headers, bytes(body)
