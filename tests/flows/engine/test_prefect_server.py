"""Our own Prefect server: quiet, on loopback, without telemetry, and gone when its parent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flows.engine.prefect_server import LoopbackServer, prefect_server, quiet_prefect
from schemas.errors import BuildError
from tests.conftest import run_cli, write_photographs, write_tiny_config
from tests.waiting import LAST_RESORT, wait_until

DEAD = "http://127.0.0.1:1/api"
HOLDER = """
import sys
from pathlib import Path
from flows.engine.prefect_server import LoopbackServer
server = LoopbackServer(Path(sys.argv[1]))
server.wait()
print(server._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def holder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that holds a server of its own, and the server's process id."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, home], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def is_running(pid: int) -> bool:
    """Whether a process of that id is there and not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_serves_on_loopback_with_telemetry_off(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "true")
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    server = LoopbackServer(home)
    try:
        server.wait()
        assert server.url.startswith("http://127.0.0.1:")
        assert os.environ["DO_NOT_TRACK"] == "1"
        settings = httpx.get(f"{server.url}/admin/settings", timeout=LAST_RESORT).raise_for_status().json()
        assert settings["server"]["analytics_enabled"] is False
        assert settings["server"]["ui"]["enabled"] is False
        assert settings["server"]["services"]["scheduler"]["enabled"] is True
        assert (home / "prefect.db").is_file()
    finally:
        server.stop()
    assert not is_running(server._process.pid)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/health")


def test_ends_with_a_killed_parent_and_not_by_a_signal(holder: tuple[subprocess.Popen[str], int]) -> None:
    parent, server = holder
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(server, number)
    time.sleep(0.5)
    assert is_running(server), "a signal to the whole service must leave the server to its parent"
    parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(server), lambda: f"process {server} is still there")


def test_a_server_that_cannot_start_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    (tmp_path / "prefect.db").write_bytes(b"not a database" * 1000)
    server = LoopbackServer(tmp_path)
    with pytest.raises(BuildError, match="the local Prefect server did not start: ") as caught:
        server.wait()
    assert "\n" not in str(caught.value)
    assert not is_running(server._process.pid)


def test_a_given_address_without_server_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", DEAD)
    write_photographs(tmp_path / "images", ["chelsea"], 160)
    config = write_tiny_config(tmp_path / "tiny.yaml", tmp_path / "images", tmp_path / "out")
    for arguments in (["build", config], ["schedule", config, "--cron", "0 3 * * *"]):
        done = run_cli(*arguments)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr == (
            f"iqa-spider: PREFECT_API_URL={DEAD}: no Prefect server answers; start it or unset the variable\n"
        )


def test_a_given_server_is_used_and_left_alone(prefect_url: str, tmp_path: Path) -> None:
    with prefect_server(tmp_path / "home") as server:
        server.wait()
        assert (server.url, server.own) == (prefect_url, False)
    assert not (tmp_path / "home").exists()
    assert httpx.get(f"{prefect_url}/health").json() is True


def test_silence_is_the_default_and_a_log_level_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_LOGGING_LEVEL", raising=False)
    quiet_prefect()
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "CRITICAL"
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    quiet_prefect()
    assert os.environ["PREFECT_LOGGING_LEVEL"] == "DEBUG"
