"""Scheduled builds on real Prefect servers: the cron, what is rebuilt, overlaps, failures, and their end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.engine.prefect_server import LoopbackServer
from tests.conftest import run_cli, write_photographs, write_tiny_config
from tests.waiting import LAST_RESORT, wait_until

FLOW = "iqa-spider-scheduled-build"
NEVER = "0 0 29 2 *"
LONG = {"hyd: 1, sid: 1, dao: 1": "hyd: 1000, sid: 1000, dao: 1000", "runner: serial": "runner: process"}
MARK = "IQA_SPIDER_TEST_RUN"


def _heed_interrupts() -> None:
    """As a terminal starts it: background jobs of a shell, this suite perhaps, inherit an ignored SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Scheduled:
    """`iqa-spider schedule` in a process of its own, its server's API, and every process it starts."""

    def __init__(self, config: Path, cron: str, log: Path) -> None:
        self.log = log
        self._mark = uuid.uuid4().hex
        command = [sys.executable, "-m", "flows.cli", "schedule", str(config), "--cron", cron]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, MARK: self._mark},
                start_new_session=True,
                preexec_fn=_heed_interrupts,
            )
        try:
            serving = re.compile(r"^serving \S+ at .* on (http\S+) until", re.M)
            line = until(lambda: serving.search(self.text()), self)
        except BaseException:
            self.destroy()
            raise
        self.api = httpx.Client(base_url=line[1], timeout=LAST_RESORT)
        self.name = config.stem

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str, **query: str) -> Any:
        return self._answer("GET", path, params=query)

    def post(self, path: str, **body: Any) -> Any:
        return self._answer("POST", path, json=body)

    def _answer(self, method: str, path: str, **content: Any) -> Any:
        """The API's answer; 503 means that its database is busy, and Prefect's own client tries again too."""

        def answer() -> httpx.Response | None:
            response = self.api.request(method, path, **content)
            return None if response.status_code == 503 else response

        response = wait_until(answer, lambda: f"{path} is busy", 0.5)
        assert response is not None
        return response.raise_for_status().json()

    def start_run(self) -> str:
        """Start a run beside the cron; its id."""
        deployment = self.get(f"/deployments/name/{FLOW}/{self.name}")["id"]
        return str(self.post(f"/deployments/{deployment}/create_flow_run")["id"])

    def state(self, run: str) -> tuple[str, str, str]:
        """The type, name and message of a run's state."""
        state = self.get(f"/flow_runs/{run}")["state"]
        return state["type"], state["name"], state["message"] or ""

    def past(self, run: str) -> list[str]:
        """The types of all states a run has been in."""
        return [state["type"] for state in self.get("/flow_run_states/", flow_run_id=run)]

    def runs(self) -> list[dict[str, Any]]:
        """Runs of the deployment that have begun, the earliest first."""
        ours = {"name": {"any_": [self.name]}}
        found = self.post("/flow_runs/filter", deployments=ours, sort="START_TIME_ASC")
        return [run for run in found if run["start_time"] is not None]

    def finished(self) -> list[dict[str, Any]]:
        """Runs that have ended, without those cancelled for an overlap."""
        return [run for run in self.runs() if run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED")]

    def shards_made(self, run: str) -> dict[str, int]:
        """Shards a run made by stage: the task runs of the build's flow inside it, all completed."""
        tasks = self.post("/task_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run]}})
        assert {task["state"]["type"] for task in tasks} <= {"COMPLETED"}
        return dict(Counter(task["name"].split("-")[0] for task in tasks))

    def processes(self) -> dict[int, str]:
        """Living processes that the schedule started (they inherit its environment), and their commands."""
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and self._mark.encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
        return found

    def ends(self) -> int:
        """The exit code, once neither the schedule nor anything it started is left."""
        code = self.process.wait(LAST_RESORT)
        wait_until(lambda: not self.processes(), self.there, 0.2)
        return code

    def there(self) -> str:
        """What is known of it."""
        return f"processes {self.processes()}; output:\n{self.text()}"

    def destroy(self) -> None:
        self.process.kill()
        self.process.wait()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def until(check: Callable[[], Any], scheduled: Scheduled) -> Any:
    """What `check` returns once that is true; fails when the schedule ends before."""

    def check_alive() -> Any:
        ended = scheduled.process.poll() is not None
        result = check()
        if ended and not result:
            pytest.fail(f"it ended; output:\n{scheduled.text()}")
        return result

    return wait_until(check_alive, scheduled.there, 0.2)


def write_config(folder: Path, name: str, changes: dict[str, str] | None = None) -> Path:
    """A tiny build of two small photographs, with parts of its text changed."""
    write_photographs(folder / "images", ["chelsea", "coffee"], 160)
    path = write_tiny_config(folder / f"{name}.yaml", folder / "images", folder / "out")
    text = path.read_text().replace("name: tiny", f"name: {name}")
    for before, after in (changes or {}).items():
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def minutely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduled]:
    """A schedule on its own server that fires every minute, started before the other tests."""
    folder = tmp_path_factory.mktemp("minutely")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.delenv("PREFECT_HOME", raising=False)
        config = write_config(folder, "minutely", {"test_share: 0.34": "test_share: 0.0"})
        scheduled = Scheduled(config, "* * * * *", folder / "log")
    try:
        yield scheduled
    finally:
        scheduled.destroy()


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_HOME", raising=False)


@pytest.fixture(autouse=True, scope="module")
def _begin_early(prefect_url: str, minutely: Scheduled) -> None:
    """The minutes pass while the other tests run."""


@pytest.mark.parametrize("cron", ["at noon", "61 * * * *", "* * * *", ""])
def test_a_bad_cron_is_one_line(cron: str, tmp_path: Path) -> None:
    done = run_cli("schedule", write_config(tmp_path, "tiny"), "--cron", cron)
    assert done.returncode == 2, done.stdout
    assert done.stdout == ""
    line = r"iqa-spider: --cron .*; give five fields, for example \"0 3 \* \* \*\"\n"
    assert re.fullmatch(line, done.stderr)


def test_a_failing_build_is_a_failed_run_with_one_line(prefect_url: str, tmp_path: Path) -> None:
    config = write_config(tmp_path, "failing")
    for picture in (tmp_path / "images").iterdir():
        picture.write_text(f"{picture.name} is no picture")
    scheduled = Scheduled(config, NEVER, tmp_path / "log")
    try:
        run = scheduled.start_run()
        until(lambda: scheduled.state(run)[0] not in ("SCHEDULED", "PENDING", "RUNNING"), scheduled)
        kind, name, message = scheduled.state(run)
        assert (kind, name) == ("FAILED", "Failed")
        assert message.startswith("ingest: 2 of 2 failed")
        assert "\n" not in message
        scheduled.process.send_signal(signal.SIGTERM)
        assert scheduled.ends() == 0
        lines = scheduled.text().splitlines()
        assert lines[0].startswith("serving failing at '0 0 29 2 *' (UTC) on " + prefect_url)
        assert lines[-2:] == [f"iqa-spider: {message}", "stopped"]
        assert "Traceback" not in scheduled.text()
    finally:
        scheduled.destroy()


def test_an_overlapping_run_is_cancelled_and_a_stop_ends_the_first(prefect_url: str, tmp_path: Path) -> None:
    scheduled = Scheduled(write_config(tmp_path, "long", LONG), NEVER, tmp_path / "log")
    try:
        first = scheduled.start_run()
        until(lambda: "regions " in scheduled.text(), scheduled)
        second = scheduled.start_run()
        until(lambda: scheduled.state(second)[0] != "SCHEDULED", scheduled)
        assert scheduled.state(second)[:2] == ("CANCELLED", "Cancelled")
        assert scheduled.state(first)[0] == "RUNNING"
        assert "RUNNING" not in scheduled.past(second)

        for pid in scheduled.processes():  # as a service manager does
            os.kill(pid, signal.SIGTERM)
        assert scheduled.ends() == 0
        assert scheduled.state(first) == ("CANCELLED", "Cancelled", "the schedule was stopped")
        assert scheduled.text().splitlines()[-1] == "stopped"
        assert "Traceback" not in scheduled.text()
        assert "resource_tracker" not in scheduled.text()
    finally:
        scheduled.destroy()


def test_a_lost_server_ends_it_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = LoopbackServer(tmp_path / "home")
    try:
        server.wait()
        monkeypatch.setenv("PREFECT_API_URL", server.url)
        scheduled = Scheduled(write_config(tmp_path, "lost", LONG), NEVER, tmp_path / "log")
        try:
            scheduled.start_run()
            until(lambda: "regions " in scheduled.text(), scheduled)
            server.stop()
            assert scheduled.ends() == 1
            last = scheduled.text().splitlines()[-1]
            assert last.startswith(f"iqa-spider: the Prefect server at {server.url} was lost: ")
            assert "Traceback" not in scheduled.text()
        finally:
            scheduled.destroy()
    finally:
        server.stop()


def test_killed_with_its_server_it_leaves_nothing_and_the_next_one_builds(
    own_server: None, tmp_path: Path
) -> None:
    config = write_config(tmp_path, "killed", LONG)
    scheduled = Scheduled(config, NEVER, tmp_path / "log")
    try:
        scheduled.start_run()
        until(lambda: "regions " in scheduled.text(), scheduled)
        until(lambda: len(scheduled.processes()) >= 4, scheduled)  # itself, its server, the run, a worker
        scheduled.process.kill()
        assert scheduled.ends() == -signal.SIGKILL
    finally:
        scheduled.destroy()

    again = Scheduled(config, NEVER, tmp_path / "log")
    try:
        run = again.start_run()
        until(lambda: "regions   2 shards: 0/0 made, 2 reused" in again.text(), again)
        assert again.state(run)[0] == "RUNNING"
        assert [run["state"]["type"] for run in again.finished()] == ["CRASHED"]
        os.killpg(again.process.pid, signal.SIGINT)  # as Ctrl-C does
        assert again.ends() == 0
        assert again.text().splitlines()[-1] == "stopped"
        assert "Traceback" not in again.text()
    finally:
        again.destroy()


def test_every_minute_it_builds_then_reuses_then_makes_only_what_is_new(minutely: Scheduled) -> None:
    first, second = until(lambda: minutely.finished()[1:2] and minutely.finished(), minutely)[:2]
    assert (first["state"]["type"], first["state"]["name"]) == ("COMPLETED", "Completed")
    assert re.search(r"\d+ rows; shards: 10 made, 0 reused$", first["state"]["message"])
    whole = {"ingest": 2, "regions": 2, "distort": 2, "annotate": 2, "merge": 1, "publish": 1}
    assert minutely.shards_made(first["id"]) == whole
    assert (second["state"]["type"], second["state"]["name"]) == ("COMPLETED", "NothingChanged")
    assert second["state"]["message"] == "nothing changed"
    assert minutely.shards_made(second["id"]) == {}
    assert all(run["auto_scheduled"] for run in minutely.runs())

    out = Path(first["parameters"]["config"]["out"])
    before = (out / "latest").resolve()
    write_photographs(out.parent, ["rocket"], 160)
    (out.parent / "rocket.bmp").rename(out.parent / "images" / "rocket.bmp")  # whole from its first moment
    latest = until(
        lambda: next((r for r in minutely.finished()[2:] if r["state"]["name"] != "NothingChanged"), None),
        minutely,
    )
    assert (latest["state"]["type"], latest["state"]["name"]) == ("COMPLETED", "Completed")
    assert minutely.shards_made(latest["id"]) == dict.fromkeys(whole, 1)
    assert re.search(r"shards: 6 made, 8 reused$", latest["state"]["message"])
    assert (out / "latest").resolve() != before
    assert "nothing changed" in minutely.text()
    minutely.process.send_signal(signal.SIGINT)
    assert minutely.ends() == 0
    assert "Traceback" not in minutely.text()
