"""Builds with a model behind a server that fails, is killed, goes away or is never there."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from annotation.chat.reply_cache import ReplyCache
from flows.engine.build import Outcome, build
from flows.engine.overrides import Overrides, configure
from flows.stages import annotate
from flows.stages.job import Job
from schemas.config import config_hash
from schemas.dataset import load_manifest
from tests.annotation.chat.fault_server import (
    REPLY_FAULTS,
    FaultServer,
    FaultServerProcess,
    Settings,
    resent,
    spread,
)
from tests.annotation.qa.vlm import truthful
from tests.conftest import run_cli, write_photographs, write_tiny_config
from tests.flows.engine.test_kill import wait_for_children
from tests.flows.vlm_builds import BREAK_SCHEMA, CONTRADICT, FAKE, write_vlm_config
from tests.waiting import LAST_RESORT, wait_until

NAMES = ["chelsea", "coffee", "china", "rocket"]
KILLS = 10
IN_FLIGHT, WORKERS = 4, 2
Configure = Callable[..., Path]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Path:
    """Photographs, and a build without a model: its store holds all that comes before annotate."""
    folder = tmp_path_factory.mktemp("vlm")
    write_photographs(folder / "images", NAMES)
    build(configure(write_tiny_config(folder / "t.yaml", folder / "images", folder / "plain"), Overrides()))
    return folder


@pytest.fixture
def configured(place: Path, tmp_path: Path) -> Configure:
    """Writes a configuration whose output `out` has a copy of the store without a model's rows."""

    def write(at: str, backend: str = "server", out: str = "out", **settings: Any) -> Path:
        if not (tmp_path / out).exists():
            shutil.copytree(place / "plain" / "store", tmp_path / out / "store")
            shutil.copyfile(place / "plain" / "build.json", tmp_path / out / "build.json")
        return write_vlm_config(
            tmp_path / f"{out}.yaml", place / "images", tmp_path / out, at, backend, **settings
        )

    return write


def faulty(rates: dict[str, float], **settings: Any) -> FaultServer:
    return FaultServer(
        truthful.answer,
        Settings(rates=rates, slow_seconds=0.3, **settings),
        truthful.contradict,
        truthful.break_schema,
    )


def quarantine(outcome: Outcome) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = pq.read_table(outcome.folder / "quarantine.parquet").to_pylist()
    return [row for row in rows if row["stage"] == "annotate"]


def kept_replies(out: Path) -> int:
    with closing(ReplyCache(out / "store" / "replies.sqlite", create=False)) as cache:
        return cache.stats().replies


def failing_line(config: Path, *arguments: str) -> str:
    """The one line of a build that ends with exit code 1."""
    done = run_cli("build", config, *arguments)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("iqa-spider:")]
    return line


def test_a_third_of_all_requests_fail_and_every_row_is_right(configured: Configure) -> None:
    with faulty({}) as calm:
        least = build(configure(configured(calm.url, out="calm"), Overrides()))
        assert quarantine(least) == []
        minimum = len(calm.events)
        assert minimum == calm.answered
        assert resent(calm.events) == []
    with faulty(spread(0.3)) as server:
        config = configured(server.url)
        outcome = build(configure(config, Overrides()))
        met = {event.fault for event in server.events}
        assert met >= {"429", "429-retry-after", "500", "slow", "cut-off", "reset", "non-json", *REPLY_FAULTS}
        assert len(server.events) <= 1.5 * minimum
        assert resent(server.events) == []
    assert run_cli("verify", outcome.folder).returncode == 0
    lost = quarantine(outcome)
    assert outcome.manifest.rows + len(lost) == least.manifest.rows
    assert all("attempt 4: " in entry["error"] or "no-answer" in entry["error"] for entry in lost)
    report = (outcome.folder / "report.html").read_text(encoding="utf-8")
    assert "Dialogues refused by a check" in report
    assert "distortion invented" in report
    for line in report.splitlines():
        assert server.url not in line

    replayed = build(configure(configured("http://127.0.0.1:9/v1", "replay"), Overrides()))
    assert not replayed.changed, "replay and server share every key"
    cache = config.parent / "out" / "store" / "replies.sqlite"
    alone = configured("http://127.0.0.1:9/v1", "replay", out="alone", cache=str(cache))
    from_cache = build(configure(alone, Overrides(workers=2, runner="thread")))
    assert from_cache.manifest.digest == outcome.manifest.digest
    assert from_cache.shards["annotate"].new == len(NAMES)
    assert quarantine(from_cache) == lost


def test_replay_without_an_answer_is_one_line(configured: Configure) -> None:
    with faulty({}) as server:
        build(configure(configured(server.url), Overrides()), limit=1)
        count = len(server.events)
    cache = configured("", out="out").parent / "out" / "store" / "replies.sqlite"
    line = failing_line(configured("http://127.0.0.1:9/v1", "replay", out="other", cache=str(cache)))
    assert "calls no model" in line
    assert kept_replies(cache.parent.parent) == count


def test_killed_at_ten_random_moments_no_answer_is_paid_twice(configured: Configure, tmp_path: Path) -> None:
    settings = Settings(rates=spread(0.2, REPLY_FAULTS), latency=0.1)
    with FaultServerProcess(FAKE, settings, CONTRADICT, BREAK_SCHEMA) as server:
        undisturbed = build(configure(configured(server.url, out="calm"), Overrides()))
        total = len(server.events())
    with FaultServerProcess(FAKE, settings, CONTRADICT, BREAK_SCHEMA) as server:
        config = configured(server.url, in_flight=IN_FLIGHT)
        command = [sys.executable, "-m", "flows.cli", "build", str(config), "--workers", str(WORKERS)]
        kills: list[tuple[float, int]] = []
        draw = random.Random(7)
        for number in range(KILLS):
            share = (number + draw.uniform(0.2, 1.0)) / (KILLS + 1)
            server.change(answers=min(total - 1, int(total * share) + 2 * IN_FLIGHT))
            process = subprocess.Popen(
                [*command, "--runner", "thread" if number % 3 else "process"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            _wait_for(server, process, total * share)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            wait_for_children(process.pid)
            server.events()  # comes after all that the killed had sent
            kills.append((time.time(), kept_replies(tmp_path / "out")))
        server.change(answers=None)
        last = build(configure(config, Overrides()))
        events = server.events()
    assert last.manifest.digest == undisturbed.manifest.digest
    assert len({event.key for event in events}) == total
    for number, (killed, kept) in enumerate(kills, start=1):
        later = {event.key for event in events if event.arrived > killed}
        assert len(later) == total - kept, "what is kept is never asked for again, and all else is"
        answered = {event.key for event in events if event.answered and event.answered <= killed}
        assert len(answered) - kept <= IN_FLIGHT * number, "a kill loses no more than what was under way"
    begun = IN_FLIGHT + WORKERS
    assert len(events) <= total + begun * KILLS, "a worker may begin one more before it sees its parent gone"
    assert run_cli("verify", last.folder).returncode == 0


def _wait_for(server: FaultServerProcess, process: subprocess.Popen[bytes], answered: float) -> None:
    """Until the server has answered so many requests."""
    wait_until(
        lambda: (
            process.poll() is not None
            or sum(event.answered is not None for event in server.events()) >= answered
        )
    )
    assert process.poll() is None, "the build ended before it could be killed"


def test_a_server_that_goes_away_stops_the_build_and_keeps_its_answers(
    configured: Configure, tmp_path: Path
) -> None:
    def config_at(url: str) -> Path:
        return configured(url, retries=1, in_flight=4)

    server = faulty({}, latency=0.05, answers=32)
    with server:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "build", str(config_at(server.url))],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        wait_until(lambda: server.answered >= 30 or process.poll() is not None)
        assert process.poll() is None
    _, told = process.communicate(timeout=LAST_RESORT)
    (line,) = [text for text in told.splitlines() if text.startswith("iqa-spider:")]
    assert process.returncode == 1
    assert "can't be reached" in line
    assert "every answer so far is kept" in line
    kept = kept_replies(tmp_path / "out")
    assert server.answered - 4 <= kept <= server.answered
    with faulty({}) as again:
        build(configure(config_at(again.url), Overrides()))
        asked = {event.key for event in again.events}
        assert len(asked & {event.key for event in server.events if event.answered}) <= 4
        assert kept_replies(tmp_path / "out") == kept + len(asked)


def test_a_dead_server_is_one_line(configured: Configure) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    line = failing_line(configured(url, retries=1), "--runner", "process", "--workers", "2")
    assert url in line
    assert "can't be reached" in line


def test_a_wrong_key_and_an_unknown_model_are_one_line_each(
    configured: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IQA_SPIDER_API_KEY", "wrong-and-secret")
    with faulty({}, api_key="right") as server:
        line = failing_line(configured(server.url))
        assert "refuses the API key in the environment variable IQA_SPIDER_API_KEY" in line
        assert "wrong-and-secret" not in line
        assert not server.events
        monkeypatch.setenv("IQA_SPIDER_API_KEY", "right")
        line = failing_line(configured(server.url, model="OpenGVLab/InternVL9"))
        assert "doesn't serve the model 'OpenGVLab/InternVL9'" in line
        assert "it serves OpenGVLab/InternVL2_5-8B" in line


def test_a_row_too_long_for_the_model_goes_to_quarantine_and_replays_so(configured: Configure) -> None:
    with faulty({}, context_chars=3000) as server:
        config = configured(server.url, run={"max_failure_rate": 0.9})
        outcome = build(configure(config, Overrides()))
    lost = quarantine(outcome)
    assert 0 < len(lost) < outcome.manifest.rows
    assert {entry["reason"] for entry in lost} == {"context-overflow"}
    assert all(" | attempt 2" not in entry["error"] for entry in lost), "no second attempt at the same wall"
    cache = config.parent / "out" / "store" / "replies.sqlite"
    alone = configured(
        "http://127.0.0.1:9/v1",
        "replay",
        out="alone",
        cache=str(cache),
        run={"max_failure_rate": 0.9},
    )
    again = build(configure(alone, Overrides()))
    assert again.manifest.digest == outcome.manifest.digest
    assert quarantine(again) == lost


def test_a_context_too_small_for_every_row_is_one_line(configured: Configure) -> None:
    with faulty({}, context_chars=500) as server:
        line = failing_line(configured(server.url))
    assert "context-overflow" in line
    assert "max_failure_rate" in line


def test_plan_counts_requests_answers_and_time(configured: Configure, tmp_path: Path) -> None:
    with faulty({}) as server:
        config = configured(server.url)
        before = run_cli("plan", config, "--json")
        planned = _planned(before.stdout)
        assert (planned["cached"], planned["exact"], planned["rate"]) == (0, True, None)
        assert "how long is unknown" in before.stdout
        first = build(configure(config, Overrides()), limit=2)
        assert first.manifest.rows > 0
        answered = len(server.events)
        after = _planned(run_cli("plan", config, "--json").stdout)
        assert after["cached"] == 0
        assert after["rate"] > 0
        assert after["seconds"] == pytest.approx(after["left"] / after["rate"])
        shutil.rmtree(tmp_path / "out" / "store" / "annotate")
        fresh = _planned(run_cli("plan", config, "--json").stdout)
        assert (fresh["requests"], fresh["cached"]) == (planned["requests"], answered)
        build(configure(config, Overrides()))
        assert len(server.events) == planned["requests"]


def _planned(printed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])["requests"]
    return found


def test_load_manifest_names_no_key(configured: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQA_SPIDER_API_KEY", "very-secret-key-123")
    with faulty({}, api_key="very-secret-key-123") as server:
        outcome = build(configure(configured(server.url), Overrides()), limit=1)
    assert load_manifest(outcome.folder).rows > 0
    for path in [*outcome.folder.rglob("*"), *(outcome.folder.parent.parent / "store").rglob("*")]:
        if path.is_file():
            assert b"very-secret-key-123" not in path.read_bytes(), path


def test_a_model_in_process_wants_one_process(configured: Configure) -> None:
    config = configured("http://127.0.0.1:9/v1", "lmdeploy")
    done = run_cli("build", config, "--runner", "process", "--workers", "2")
    assert done.returncode == 2
    assert "would load its model in every worker process" in done.stderr


def test_how_a_model_is_reached_is_part_of_no_key(configured: Configure) -> None:
    def keys(backend: str = "server", **vlm: Any) -> set[str]:
        config = configure(configured("http://127.0.0.1:9/v1", backend, **vlm), Overrides())
        made = annotate.jobs_after([Job("distort", {"a": 1})], config)
        return {made[0].key, config_hash(config)}

    same = keys()
    assert keys("replay") == same
    assert keys("lmdeploy") == same
    assert keys(in_flight=3, retries=0, deadline=1.0, cache="elsewhere.sqlite", api_key_env="OTHER") == same
    assert keys(url="https://example.org/v1") == same
    for change in ({"model": "other"}, {"revision": "1"}, {"temperature": 0.1}, {"top_p": 0.5}):
        assert not keys(**change) & same
    for change in ({"max_tokens": 99}, {"picture_side": 99}):
        assert not keys(**change) & same
