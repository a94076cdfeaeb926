"""Asks an OpenAI-compatible server: bounded, patient with its faults, and quick to stop when it is gone."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ipaddress
import os
import threading
from dataclasses import dataclass

import httpx
from pydantic import SecretStr

from annotation.chat.messages import Call, Reply
from annotation.chat.wire_format import (
    LOST_CALLS,
    BrokenReply,
    Fault,
    Refusal,
    read_fault,
    read_reply,
    request_body,
    retry_after,
    served_models,
)
from schemas.config import VlmConfig
from schemas.errors import BuildError, InputError, SampleError
from schemas.hashing import rng

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Seconds: the wait after a first fault doubles with every further one up to the longest; half is jitter."""
CONNECT_SECONDS = 10.0
MAX_REPLY_BYTES = 8_000_000
_BUSY = (408, 409, 425, 429)


@dataclass(frozen=True)
class Wording:
    """How messages name the settings of address and model, and what to do once they are mended."""

    url: str = "vlm.url"
    model: str = "vlm.model"
    again: str = "build again"


@dataclass(frozen=True)
class _Failure:
    """A try that may go better the next time; `gone` if no server spoke at all."""

    what: str
    gone: bool
    wait: float | None = None


@dataclass
class _Request:
    """A call under way and its body, made of all that the server hasn't refused by then."""

    call: Call
    refused: frozenset[str]
    body: bytes
    began: float = 0.0


class ServerTransport:
    """Sends calls to `config.url` from one event loop on a thread of its own.

    At most `in_flight` requests are open, each on a connection that is kept for the next. A call waits for
    its turn and then holds its place until it is answered or given up, its pauses included. Every request,
    its answer included, has `config.deadline` seconds; 429, 5xx, connection errors, time-outs and broken
    replies are tried again `config.retries` times, a Retry-After honoured up to the deadline's length. A call
    that uses up its tries is a SampleError ("no-answer"), and a BuildError, for all calls that wait as well,
    when the server can't be reached or `LOST_CALLS` calls in a row were lost. The key comes from the
    environment and appears in no message.
    """

    def __init__(self, config: VlmConfig, in_flight: int, wording: Wording = Wording()) -> None:
        self._wording = wording
        try:
            self._url = httpx.URL(config.url.rstrip("/"))
        except httpx.InvalidURL as error:
            raise InputError(
                f"{wording.url}: {config.url!r} is no address: {error}; give one that ends in /v1"
            ) from error
        if (
            self._url.userinfo
            or self._url.query
            or self._url.fragment
            or (self._url.port or 0) > 65535
            or not self._url.host
        ):
            raise InputError(
                f"{wording.url}: give the address alone, without user, password or query; a key belongs into "
                f"the environment variable {config.api_key_env}"
            )
        self._shown = str(self._url)
        self._config = config
        self._key = _key_in(config.api_key_env)
        self._refused: frozenset[str] = frozenset()
        self._lost = 0
        self._heard = -1.0
        self._broken: str | None = None
        self._closed = False
        self._gate = threading.Lock()
        self._jitter = rng(os.getpid(), "backoff", config.url)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._slots = asyncio.Semaphore(in_flight)
        self._tls = httpx.create_ssl_context(trust_env=not _is_loopback(self._url.host))
        self._lanes: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []
        self._thread = threading.Thread(target=self._run, name="vlm-client", daemon=True)
        self._thread.start()

    def _new_lane(self) -> httpx.AsyncClient:
        """A client with one connection: what a shared pool spends on a request grows with its square."""
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        lane = httpx.AsyncClient(
            headers=headers,
            verify=self._tls,
            timeout=httpx.Timeout(None, connect=min(CONNECT_SECONDS, self._config.deadline)),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=4),
            trust_env=not _is_loopback(self._url.host),
        )
        self._lanes.append(lane)
        return lane

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def complete(self, call: Call) -> Reply:
        """The model's next turn; blocks. Raises BuildError and SampleError as the class says."""
        refused = self._refused
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
                raise BuildError(self._broken)
            self._rebuild(request)
            outcome = await self._try(request, lane)
            if isinstance(outcome, Reply):
                self._lost = 0
                return outcome
            if isinstance(outcome, _Failure):
                tries += 1
                if tries > self._config.retries:
                    self._give_up(request, outcome, tries)
                await self._pause(outcome, tries)

    def _rebuild(self, request: _Request) -> None:
        """What the server has refused since the request was made is left out."""
        if request.refused != self._refused:
            request.refused = self._refused
            request.body = request_body(request.call, self._refused)

    async def _try(self, request: _Request, lane: httpx.AsyncClient) -> Reply | _Failure | None:
        """One request: its reply, or what went wrong, or None if it is to be sent again without a field."""
        deadline = self._config.deadline
        try:
            async with asyncio.timeout(deadline):
                status, headers, body = await _send(
                    lane, "POST", f"{self._url}/chat/completions", request.body
                )
        except TimeoutError:
            return _Failure(f"no answer within {deadline:g} s", gone=False)
        except httpx.ConnectTimeout:
            return _Failure("it doesn't take the connection", gone=True)
        except httpx.ConnectError as error:
            return _Failure(self._safe(str(error)) or "no connection", gone=True)
        except BrokenReply as error:
            return _Failure(self._safe(str(error)), gone=False)
        except httpx.TransportError as error:
            return _Failure(
                f"the connection broke ({self._safe(str(error)) or type(error).__name__})", gone=False
            )
        self._heard = self._loop.time()
        if status == 200:
            try:
                return read_reply(body)
            except BrokenReply as error:
                return _Failure(self._safe(str(error)), gone=False)
            except SampleError as error:
                self._lost = 0
                raise SampleError(error.reason, self._safe(error.detail)) from None
        if status in _BUSY or status >= 500:
            wait = retry_after(headers.get("retry-after"))
            return _Failure(f"HTTP {status}", gone=False, wait=wait)
        await self._refuse(status, read_fault(status, body, request.body), lane)
        return None

    async def _refuse(self, status: int, fault: Fault, lane: httpx.AsyncClient) -> None:
        """Remember a field to leave out, or raise what the refusal means."""
        words = self._safe(fault.words)
        variable = self._config.api_key_env
        match fault.kind:
            case Refusal.FIELD if fault.field is not None:
                self._refused |= {fault.field}
            case Refusal.OVERFLOW:
                raise SampleError("context-overflow", f"{words} (HTTP {status})")
            case Refusal.KEY if self._key is None:
                self._break(
                    f"wants an API key (HTTP {status}); put it into the environment variable {variable}"
                )
            case Refusal.KEY:
                self._break(
                    f"refuses the API key in the environment variable {variable} (HTTP {status}); mend it"
                )
            case Refusal.MODEL:
                self._break(await self._about_model(words, lane))
            case Refusal.ADDRESS:
                self._break(
                    f"answers HTTP {status} ({words}); set {self._wording.url} to the server's own address"
                )
            case _:
                raise SampleError("request-refused", f"{words} (HTTP {status})")

    async def _about_model(self, words: str, lane: httpx.AsyncClient) -> str:
        """What is wrong when the server says "not found": the model's name, or the address."""
        model = self._config.model
        try:
            async with asyncio.timeout(min(CONNECT_SECONDS, self._config.deadline)):
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
            f"set {self._wording.model} or start it anew"
        )

    def _give_up(self, request: _Request, failure: _Failure, tries: int) -> None:
        """A call's tries are used up: it is lost; the build stops if the server is gone or always fails."""
        self._lost += 1
        if failure.gone and self._heard < request.began:
            self._break(f"can't be reached, {tries} tries ({failure.what}); {self._remedy()}")
        if self._lost >= LOST_CALLS:
            calls = f"{self._lost} calls in a row got no answer"
            self._break(f"{calls}, {tries} tries each (the last: {failure.what}); {self._remedy()}")
        raise SampleError("no-answer", f"{self._shown}: {tries} tries, the last: {failure.what}")

    def _remedy(self) -> str:
        host, port = self._url.host, self._url.port or (443 if self._url.scheme == "https" else 80)
        command = f"lmdeploy serve api_server {self._config.model} --server-name {host} --server-port {port}"
        return (
            f"start it (`{command}`) or set {self._wording.url}, then {self._wording.again}: "
            "every answer so far is kept"
        )

    def _break(self, what: str) -> None:
        """Stop all calls, those that wait as well."""
        if self._broken is None:
            self._broken = f"the server {self._shown} {what}"
            self._stop.set()
        raise BuildError(self._broken)

    async def _pause(self, failure: _Failure, tries: int) -> None:
        """Wait before the next try, at least as long as the server asks; a stopped build ends the wait."""
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (tries - 1)) * (0.5 + 0.5 * float(self._jitter.random()))
        if failure.wait is not None:
            wait = max(wait, min(failure.wait, self._config.deadline))
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
                raise BrokenReply(f"a reply of more than {MAX_REPLY_BYTES / 1e6:g} MB")
        return response.status_code, response.headers, bytes(body)


def _key_in(variable: str) -> SecretStr | None:
    """The API key in the environment. Raises InputError for one that no header can carry."""
    key = os.environ.get(variable, "").strip()
    if not key:
        return None
    if not all("!" <= character <= "~" for character in key):
        raise InputError(
            f"the environment variable {variable} holds no API key: it has spaces or characters that keys "
            "don't have; set it to the key alone"
        )
    return SecretStr(key)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
