"""The one who asks: cache first, one request a call however many ask, and kept before it is used."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from annotation.chat.cached_speaker import CachedSpeaker, Counts
from annotation.chat.messages import Call, Reply
from annotation.chat.reply_cache import ReplyCache, call_key
from schemas.errors import BuildError, SampleError
from tests.annotation.chat.calls import call
from tests.waiting import LAST_RESORT


class Scripted:
    """A transport that answers with how often it was asked, after `hold` is set."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.hold = threading.Event()
        self.hold.set()
        self.error: Exception | None = None
        self._lock = threading.Lock()

    def complete(self, call: Call) -> Reply:
        text = call.turns[-1].text
        with self._lock:
            self.asked[text] += 1
            count = self.asked[text]
        assert self.hold.wait(LAST_RESORT)
        if self.error is not None:
            raise self.error
        return Reply(f"{text}, time {count}", "stop", 7, 3)

    def close(self) -> None:
        return None


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    with ReplyCache(tmp_path / "replies.sqlite") as opened:
        yield opened


def test_asked_once_answered_from_then_on(cache: ReplyCache) -> None:
    transport = Scripted()
    speaker = CachedSpeaker(cache, transport)
    assert [speaker.ask(call("q")).text for _ in range(3)] == ["q, time 1"] * 3
    assert CachedSpeaker(cache, None).ask(call("q")) == Reply("q, time 1", "stop", 7, 3)
    assert transport.asked == {"q": 1}
    assert speaker.counts == Counts(asked=3, cached=2, sent=1, prompt_tokens=7, completion_tokens=3)


def test_threads_that_ask_the_same_send_one_request(cache: ReplyCache) -> None:
    transport = Scripted()
    speaker = CachedSpeaker(cache, transport)
    transport.hold.clear()
    with ThreadPoolExecutor(32) as pool:
        waiting = [pool.submit(speaker.ask, call(f"q{i % 4}")) for i in range(32)]
        threading.Timer(0.3, transport.hold.set).start()
        told = {one.result(LAST_RESORT).text for one in waiting}
    assert told == {f"q{i}, time 1" for i in range(4)}
    assert set(transport.asked.values()) == {1}
    assert (speaker.counts.asked, speaker.counts.sent, speaker.counts.cached) == (32, 4, 28)


def test_kept_before_it_is_used(cache: ReplyCache) -> None:
    """Whoever is told a reply finds it in the file, through another connection."""
    speaker = CachedSpeaker(cache, Scripted())
    with ReplyCache(cache.path) as other:
        for i in range(50):
            reply = speaker.ask(call(f"q{i}"))
            assert other.get(call_key(call(f"q{i}"))) == reply


@pytest.mark.parametrize("error", [SampleError("context-overflow", "too long"), BuildError("gone")])
def test_an_error_reaches_all_who_wait_and_is_not_kept(cache: ReplyCache, error: Exception) -> None:
    transport = Scripted()
    speaker = CachedSpeaker(cache, transport)
    transport.error = error
    transport.hold.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(speaker.ask, call("q")) for _ in range(8)]
        threading.Timer(0.3, transport.hold.set).start()
        assert {str(one.exception(LAST_RESORT)) for one in waiting} == {str(error)}
    assert cache.stats().replies == 0
    transport.error = None
    asked = transport.asked["q"]
    assert speaker.ask(call("q")).text == f"q, time {asked + 1}"


def test_replay_calls_nothing_and_says_what_is_missing(cache: ReplyCache) -> None:
    with pytest.raises(BuildError) as caught:
        CachedSpeaker(cache, None).ask(call("q", prompt_version="prompts-9"))
    line = str(caught.value)
    assert "OpenGVLab/InternVL2_5-8B" in line
    assert "prompts-9" in line
    assert "'replay' calls no model" in line
    assert "\n" not in line


def test_two_speakers_agree_on_the_first_reply(cache: ReplyCache) -> None:
    """As two processes do that ask the same at once: both sent, both are told the first reply."""
    first, second = Scripted(), Scripted()
    second.asked["q"] = 41
    second.hold.clear()
    with ReplyCache(cache.path) as other, ThreadPoolExecutor(1) as pool:
        late = pool.submit(CachedSpeaker(other, second).ask, call("q"))
        while second.asked["q"] == 41:
            pass
        assert CachedSpeaker(cache, first).ask(call("q")).text == "q, time 1"
        second.hold.set()
        assert late.result(LAST_RESORT).text == "q, time 1"


def test_half_a_surrogate_pair_is_mended(cache: ReplyCache) -> None:
    class Broken(Scripted):
        def complete(self, call: Call) -> Reply:
            return Reply("a \ud83d b", "stop", 0, 0)

    speaker = CachedSpeaker(cache, Broken())
    assert speaker.ask(call("q")) == speaker.ask(call("q")) == Reply("a ? b", "stop", 0, 0)
