"""Chat completions of an OpenAI-compatible server: the connection, tries, and what a failure is about."""

from __future__ import annotations

import ipaddress
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import httpx

from schemas.errors import BuildError, InputError

KEY_VARIABLE = "IQA_SPIDER_API_KEY"
MOST_BYTES = 32_000_000
_TRIES = 3
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
"""Seconds: between tries, doubled with each; and the most that a server's Retry-After is heard for."""
_BUSY = (408, 429)
_OF_REQUEST = (400, 413, 422)
"""Refusals that may be about one request: a picture too large, a text too long."""


class RefusedError(InputError):
    """A server refuses a request. `of_request` says whether it may take others: HTTP 400, 413 and 422, but
    not a wrong key, address or model.
    """

    reason = "request-refused"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.of_request = status in _OF_REQUEST


class LostError(BuildError):
    """A request without a usable answer; `reason` is a word for counts: "timeout", "no-answer" (not
    reached, or errors of its own), "not-a-completion", "too-long".
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def connect(url: str, deadline: float) -> httpx.Client:
    """A client for one address; `deadline` in seconds. A key comes from IQA_SPIDER_API_KEY.

    Raises InputError for what is no address, and for a key that no header can carry.
    """
    if any(letter in url for letter in "@?#"):
        raise InputError(
            "--server: an address has no user, password or ?query; give http://HOST:PORT/v1, "
            f"and a key by {KEY_VARIABLE}"
        )
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InputError(f"--server: {url!r} is no address: {error}; give one that ends in /v1") from error
    host, port = parsed.host, parsed.port or 0
    if parsed.scheme not in ("http", "https") or not host or port > 65535:
        raise InputError(f"--server: {url!r} is no address; give http://HOST:PORT/v1")
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not all("!" <= letter <= "~" for letter in key):
        raise InputError(f"the environment variable {KEY_VARIABLE} holds no API key; set it to the key alone")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(
        headers=headers,
        timeout=httpx.Timeout(deadline, connect=min(10.0, deadline)),
        trust_env=not _is_loopback(host),
        follow_redirects=False,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def post(client: httpx.Client, url: str, body: dict[str, Any], deadline: float) -> bytes:
    """The body of a 200 to a chat completion's request, which has `deadline` seconds, its answer included.

    Connection errors, timeouts, 408, 429 and 5xx are tried again, after the Retry-After that a server
    asks for. Raises RefusedError, LostError.
    """
    content = json.dumps(body).encode()
    address = f"{url.rstrip('/')}/chat/completions"
    wrong, reason, asked = "", "no-answer", 0.0
    for wait in _waits():
        time.sleep(max(wait, asked))
        try:
            with client.stream(
                "POST", address, content=content, headers={"Content-Type": "application/json"}
            ) as response:
                data = b"".join(_bounded(response.iter_bytes(), url, time.monotonic() + deadline))
        except httpx.RequestError as error:
            late = isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout)
            wrong, reason, asked = str(error) or type(error).__name__, "timeout" if late else "no-answer", 0.0
            continue
        status = response.status_code
        if status == 200:
            return data
        wrong, reason = f"HTTP {status}: {_said(data)}", "no-answer"
        if status not in _BUSY and status < 500:
            raise RefusedError(f"the server {url} refuses: {_safe(wrong)}", status)
        asked = _retry_after(response)
    raise LostError(
        f"the server {url} doesn't answer, {_TRIES} tries, the last: {_safe(wrong)}; start it anew", reason
    )


def _waits() -> Iterator[float]:
    yield 0.0
    yield from (_FIRST_WAIT * 2.0**k for k in range(_TRIES - 1))


def _retry_after(response: httpx.Response) -> float:
    told = response.headers.get("Retry-After", "").strip()
    return min(float(told), _LONGEST_WAIT) if told.isascii() and told.isdigit() else 0.0


def _bounded(parts: Iterator[bytes], url: str, until: float) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        if size > MOST_BYTES:
            raise LostError(f"the server {url} sends more than {MOST_BYTES / 1e6:g} MB", "too-long")
        if time.monotonic() > until:
            raise httpx.ReadTimeout("the answer doesn't end")
        yield part


def _said(data: bytes) -> str:
    """What a server says about an error, on one line."""
    text = data[:2000].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


def _safe(text: str) -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return text.replace(key, "[key]") if key else text
