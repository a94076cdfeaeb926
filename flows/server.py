"""A Prefect server for the time of a run: the one at PREFECT_API_URL, or one of our own on loopback."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from schemas.errors import BuildError, InputError

START_SECONDS = 120.0
_PR_SET_PDEATHSIG = 1


def quiet_prefect() -> None:
    """Settings that must stand before Prefect is imported: no telemetry, no prompts, and silence where our own one line speaks."""
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_CLI_PROMPT", "false")


class Server(Protocol):
    """A Prefect API server: its URL, and what blocks until it answers."""

    url: str

    def wait(self) -> None: ...


@contextmanager
def prefect_server(home: Path) -> Iterator[Server]:
    """The server a run uses.

    With PREFECT_API_URL set, that one (InputError when it doesn't answer). Otherwise one is started on a free loopback
    port with its database in `home` (or PREFECT_HOME); it starts beside the caller's own work and ends with this block,
    or with this process however that dies.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        yield _GivenServer(given)
        return
    server = LoopbackServer(home)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def prefect_at(server: Server) -> Iterator[None]:
    """Prefect, imported now, talks to `server` inside this block, and so do the processes it starts."""
    quiet_prefect()
    server.wait()
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(updates={PREFECT_API_URL: server.url}):
        yield


class _GivenServer:
    """The server at PREFECT_API_URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def wait(self) -> None:
        if not _answers(self.url):
            raise InputError(
                f"PREFECT_API_URL={self.url}: no Prefect server answers; start it or unset the variable"
            )


class LoopbackServer:
    """A Prefect API server of our own: a child process on 127.0.0.1 that dies with this one."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/api"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
        command = [sys.executable, "-m", "flows.server", str(port)]
        environment = {
            **os.environ,
            "PREFECT_HOME": os.environ.get("PREFECT_HOME", str(home.resolve())),
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        }
        environment.pop("PREFECT_API_URL", None)
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Block until the server answers. Raises BuildError when it ends or stays silent."""
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._log.seek(0)
                last = self._log.read().decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
                self.stop()
                raise BuildError(
                    f"the local Prefect server did not start: {last[0][:300]}; see its installation"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def end_with_parent() -> None:
    """End this process when the one that started it dies: by signal on Linux, by watching standard input anywhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Serve Prefect's API on 127.0.0.1 at the port given, until standard input closes."""
    import uvicorn

    threading.Thread(target=_watch_input, daemon=True).start()
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
        timeout_keep_alive=5,
    )


if __name__ == "__main__":
    main()
