"""Where a chat server is reached, with which key, and what is wrong with either before any request."""

from __future__ import annotations

import ipaddress
import os
from typing import Protocol

import httpx
from pydantic import SecretStr

from schemas.errors import InputError


class ServerSettings(Protocol):
    """How a server is reached. `url` ends in /v1; `api_key_env` names the environment variable with the key;
    `deadline` is in seconds, a request and its answer; `retries` counts further tries after a first fault.
    """

    @property
    def url(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def api_key_env(self) -> str: ...

    @property
    def deadline(self) -> float: ...

    @property
    def retries(self) -> int: ...


def parse_address(url: str, setting: str, key_variable: str) -> httpx.URL:
    """The address alone. Raises InputError, which begins with `setting`, for anything else or more: no
    message repeats what may be a password.
    """
    try:
        found = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL:
        found = httpx.URL()
    if found.userinfo or found.query or found.fragment or (not found.host and any(c in url for c in "@?#")):
        raise InputError(
            f"{setting}: an address has no user, password, query or fragment; give http://HOST:PORT/v1 "
            f"alone, and put a key in the environment variable {key_variable}"
        )
    if found.scheme not in ("http", "https") or not found.host or (found.port or 0) > 65535:
        raise InputError(f"{setting}: {url!r} isn't the address of a server; give http://HOST:PORT/v1")
    return found


def read_api_key(variable: str) -> SecretStr | None:
    """The API key in an environment variable. Raises InputError for one that no header can carry."""
    key = os.environ.get(variable, "").strip()
    if not key:
        return None
    if not all("!" <= character <= "~" for character in key):
        raise InputError(
            f"the environment variable {variable} holds no API key: it has spaces or characters that keys "
            "don't have; set it to the key alone"
        )
    return SecretStr(key)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, which no proxy is asked for."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
