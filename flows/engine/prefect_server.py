"""A Prefect server for the time of a run: the one at PREFECT_API_URL, or one of our own on loopback."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
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
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from schemas.errors import BuildError, InputError

START_SECONDS = 600.0
"""A slow machine under load needs minutes; a server that ends is noticed at once."""
ANSWER_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1
_BACKLOG = 128

SERVER_SETTINGS = {
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
}
"""Our own server does without what no build uses: interface, blocks, stored events, work pools, triggers."""


def quiet_prefect() -> None:
    """Set what Prefect reads when it is imported: no telemetry, no prompts, no log lines."""
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_CLI_PROMPT", "false")


class Server(Protocol):
    """A Prefect API server: its URL, whether it is ours alone, and what blocks until it answers."""

    url: str
    own: bool

    def wait(self) -> None: ...


@contextmanager
def prefect_server(home: Path) -> Iterator[Server]:
    """The server a run uses.

    With PREFECT_API_URL set, that one (InputError when it doesn't answer). Otherwise one is started on a free
    loopback port with its database in `home` (or PREFECT_HOME); it starts beside the caller's own work and
    ends with this block, or with this process however that dies.
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

    own = False

    def __init__(self, url: str) -> None:
        self.url = url

    def wait(self) -> None:
        if not answers(self.url):
            raise InputError(
                f"PREFECT_API_URL={self.url}: no Prefect server answers; start it or unset the variable"
            )


class LoopbackServer:
    """A Prefect API server of our own: a child process on 127.0.0.1 that ends when this one does.

    The listening socket is made here and handed down, so that no other process can take the port in between.
    """

    own = True

    def __init__(self, home: Path) -> None:
        quiet_prefect()
        home.mkdir(parents=True, exist_ok=True)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
        environment = {
            **os.environ,
            "PREFECT_HOME": os.environ.get("PREFECT_HOME", str(home.resolve())),
            **SERVER_SETTINGS,
        }
        with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listening:
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.engine.prefect_server", str(listening.fileno())],
                env=environment,
                pass_fds=[listening.fileno()],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Block until the server answers. Raises BuildError when it ends or stays silent."""
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._log.seek(0)
                last = self._log.read().decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
                self.stop()
                raise BuildError(
                    f"the local Prefect server did not start: {last[0][:300]}; see its installation"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server: its standard input closes, and it is killed when that is not enough."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def answers(url: str) -> bool:
    """Whether a Prefect API at `url` says within `ANSWER_SECONDS` that it is healthy."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=ANSWER_SECONDS) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def end_with_parent() -> None:
    """End this process when the one that started it dies: by signal on Linux, else by watching the parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _serve(listening: socket.socket) -> None:
    # Importing and migrating leave little garbage, and a quarter of their time was its collection.
    gc.set_threshold(50_000, 20, 100)
    import uvicorn

    config = uvicorn.Config(
        "prefect.server.api.server:create_app", factory=True, log_level="error", timeout_keep_alive=5
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def main() -> None:
    """Serve Prefect's API on the listening socket whose file descriptor is given, until standard input ends.

    Signals that reach every process of a terminal or a service are ignored: the parent says when to end.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_serve, args=(socket.socket(fileno=int(sys.argv[1])),), daemon=True).start()
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
