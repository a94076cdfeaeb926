"""The back ends with a model: right rows from a right model, attempts with reasons, one order always."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotation.chat.cached_speaker import CachedSpeaker
from annotation.chat.messages import Call, Reply
from annotation.chat.reply_cache import ReplyCache
from annotation.chat.wire_format import request_body
from annotation.in_order import in_order
from annotation.plugin_kinds import BACKENDS
from annotation.qa import (
    BackendSettings,
    HopelessError,
    Request,
    RowWriter,
    Written,
    check_dialogue,
    create,
    drafts,
)
from annotation.qa.vlm.dialogue_backend import Opened, VlmBackend
from annotation.qa.vlm.prompts import load_prompts
from schemas.config import VlmConfig
from schemas.errors import BuildError, InputError, SampleError
from schemas.records import SAMPLE_KINDS, Quarantined, Sample
from tests.annotation.qa.samples import LABELS, random_sample
from tests.annotation.qa.vlm import truthful
from tests.waiting import LAST_RESORT

CONFIG = VlmConfig(picture_side=64)


class Model:
    """A transport to a truthful model in this process; `change` spoils its replies."""

    def __init__(self, change: Callable[[dict[str, Any], str], str] | None = None) -> None:
        self.calls: list[Call] = []
        self.closed = 0
        self._change = change

    def complete(self, call: Call) -> Reply:
        self.calls.append(call)
        request = json.loads(request_body(call, frozenset()))
        text = truthful.answer(request)
        return Reply(self._change(request, text) if self._change else text, "stop", 10, 5)

    def close(self) -> None:
        self.closed += 1


def backend_on(cache: ReplyCache, model: Model | None) -> VlmBackend:
    def connect() -> Opened:
        closing = ExitStack()
        if model is not None:
            closing.callback(model.close)
        return Opened(CachedSpeaker(cache, model), closing)

    return VlmBackend(CONFIG, load_prompts(), connect)


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    with ReplyCache(tmp_path / "replies.sqlite") as opened:
        yield opened


def black() -> np.ndarray:
    return np.zeros((60, 60, 3), np.uint8)


def writers(subject: Sample, backend: VlmBackend, attempts: int = 4) -> list[RowWriter]:
    load = partial(black)
    return [RowWriter(draft, subject, backend, attempts, 0, load) for draft in drafts(subject)]


def subjects(count: int, seed: int = 9, labels: tuple[str, ...] = LABELS) -> list[Sample]:
    generator = np.random.default_rng(seed)
    return [random_sample(generator, SAMPLE_KINDS[n % 6], f"s{n}", labels) for n in range(count)]


@pytest.mark.parametrize("labels", [LABELS, ("person", "sky")])
def test_a_right_model_gives_right_rows_of_every_task(cache: ReplyCache, labels: tuple[str, ...]) -> None:
    backend = backend_on(cache, Model())
    tasks: Counter[str] = Counter()
    for subject in subjects(48, labels=labels):
        for writer in writers(subject, backend):
            row = writer.write()
            assert isinstance(row, Written), row
            tasks[row.draft.task] += 1
            draft = row.draft
            found = check_dialogue(
                draft.task,
                row.messages,
                subject.regions,
                draft.target_region_ids,
                draft.whole_image,
                subject.order_effect,
            )
            assert found == []
            assert row.identity == backend.identity
    if labels is LABELS:
        assert len(tasks) == 7


def test_a_turn_is_asked_once_and_a_second_pass_asks_nothing(cache: ReplyCache) -> None:
    model = Model()
    for _ in range(2):
        for subject in subjects(6):
            for writer in writers(subject, backend_on(cache, model)):
                writer.write()
    assert len(model.calls) == len({repr(call) for call in model.calls})
    replayed = backend_on(cache, None)
    assert all(isinstance(w.write(), Written) for s in subjects(6) for w in writers(s, replayed))


def test_a_refused_reply_comes_back_with_its_reasons_and_the_next_one_passes(cache: ReplyCache) -> None:
    def first_is_wrong(request: dict[str, Any], right: str) -> str:
        again = any("can't be used" in text for text in truthful.user_texts(request))
        return right if again else truthful.contradict(request, right)

    model = Model(first_is_wrong)
    writer = writers(subjects(1)[0], backend_on(cache, model))[0]
    row = writer.write()
    assert isinstance(row, Written)
    assert row.attempt == 2
    assert writer.refusals()["distortion_invented"] == 1
    refused, asked = model.calls[-1].turns[-2:]
    assert (refused.role, asked.role) == ("assistant", "user")
    assert "posterization" in refused.text
    assert "distortion_invented: 'posterization' is not there" in asked.text


def test_quarantine_tells_every_attempt_with_its_reply(cache: ReplyCache) -> None:
    replies = iter(["no JSON at all", '{"dialog": []}', ""])

    def spoil(request: dict[str, Any], right: str) -> str:
        return right if truthful.task_of(request) is None else next(replies)

    writer = writers(subjects(1)[0], backend_on(cache, Model(spoil)), attempts=3)[0]
    lost = writer.write()
    assert isinstance(lost, Quarantined)
    assert lost.reason == "not-json"
    for told in (
        "attempt 1: not-json",
        "[reply: no JSON at all]",
        "attempt 2: schema",
        '[reply: {"dialog": []}]',
        "attempt 3: not-json",
    ):
        assert told in lost.error
    assert writer.refusals() == {"not-json": 2, "schema": 1}


def test_a_row_the_model_cannot_take_is_lost_at_once_and_replays_as_lost(cache: ReplyCache) -> None:
    class Small(Model):
        def complete(self, call: Call) -> Reply:
            if call.schema is not None:
                self.calls.append(call)
                raise SampleError("context-overflow", "too long")
            return super().complete(call)

    model = Small()
    subject = subjects(1)[0]
    lost = writers(subject, backend_on(cache, model))[0].write()
    assert isinstance(lost, Quarantined)
    assert lost.reason == "context-overflow"
    assert sum(call.schema is not None for call in model.calls) == 1
    assert writers(subject, backend_on(cache, None))[0].write() == lost
    cured = writers(subject, backend_on(cache, Model()))[0].write()
    assert isinstance(cured, Written), "a server with more room is asked again"


def test_what_stops_a_build_passes_through(cache: ReplyCache) -> None:
    class Gone(Model):
        def complete(self, call: Call) -> Reply:
            raise BuildError("the server is gone")

    with pytest.raises(BuildError, match="the server is gone"):
        writers(subjects(1)[0], backend_on(cache, Gone()))[0].write()
    with pytest.raises(BuildError, match="calls no model"):
        writers(subjects(1)[0], backend_on(cache, None))[0].write()


def test_closing_closes_the_transport_once_and_ends_the_writing(cache: ReplyCache) -> None:
    model = Model()
    backend = backend_on(cache, model)
    backend.close()
    assert model.closed == 0, "nothing was opened"
    backend = backend_on(cache, model)
    (writer, other, *_) = writers(subjects(1)[0], backend)
    writer.write()
    backend.close()
    backend.close()
    assert model.closed == 1
    with pytest.raises(BuildError, match="closed"):
        other.write()


def test_an_answer_another_row_gave_gets_another_attempt(cache: ReplyCache) -> None:
    writer = writers(subjects(1)[0], backend_on(cache, Model()))[0]
    row = writer.write()
    assert isinstance(row, Written)
    said = {" ".join(m.content.casefold().split()) for m in row.messages if m.role == "assistant"}
    assert writer.write(set()) == row
    other = writer.write(said)
    assert isinstance(other, Written)
    assert other.attempt == 2
    assert other.messages != row.messages
    assert writer.refusals() == {"answer_used": 1}


def test_the_three_share_an_identity_and_open_nothing_until_they_write(tmp_path: Path) -> None:
    assert BACKENDS.names() == ("grammar", "lmdeploy", "replay", "server")
    settings = BackendSettings(vlm=CONFIG, store=tmp_path / "store")
    identities = {create(kind, settings).identity for kind in ("server", "lmdeploy", "replay")}
    (identity,) = identities
    assert (identity.generator, identity.model) == ("vlm", CONFIG.model)
    assert identity.prompt_version == load_prompts().version
    assert not (tmp_path / "store").exists()
    draft = drafts(subject := subjects(1)[0])[0]
    with pytest.raises(InputError, match="no reply cache there"):
        create("replay", settings).write(Request(draft, subject, 1, (), 0, black))


def test_no_attempt_follows_a_hopeless_one() -> None:
    class Hopeless:
        identity = create("grammar").identity
        needs_picture = False
        tried = 0

        def write(self, request: Request) -> Any:
            self.tried += 1
            raise HopelessError("no-words", "none")

        def close(self) -> None: ...

    backend = Hopeless()
    subject = subjects(1)[0]
    lost = RowWriter(drafts(subject)[0], subject, backend, 9, 0).write()
    assert isinstance(lost, Quarantined)
    assert backend.tried == 1


# ---- many at once


def test_many_at_once_keep_their_order_and_never_wait_for_the_slowest() -> None:
    running = most = 0
    gate = threading.Lock()
    slow_done = threading.Event()
    after_slow: list[int] = []

    def call(number: int) -> int:
        nonlocal running, most
        with gate:
            running += 1
            most = max(most, running)
        if number == 0:
            slow_done.wait(LAST_RESORT)
        else:
            time.sleep(0.001)
            if not slow_done.is_set():
                after_slow.append(number)
            if len(after_slow) >= 20:
                slow_done.set()
        with gate:
            running -= 1
        return number

    futures = in_order((partial(call, n) for n in range(100)), 4, 32)
    assert [future.result() for future in futures] == list(range(100))
    assert most <= 4
    assert len(after_slow) >= 20, "others went on while the first was slow"


def test_no_more_than_a_window_is_begun_ahead() -> None:
    begun: list[int] = []

    def calls() -> Any:
        for number in range(1000):
            begun.append(number)
            yield partial(int, number)

    futures = in_order(calls(), 2, 8)
    assert next(futures).result() == 0
    assert len(begun) <= 9
    futures.close()
    assert len(begun) <= 9


def test_an_error_is_the_futures_and_the_rest_can_be_dropped() -> None:
    def fail() -> int:
        raise BuildError("stop")

    futures = in_order([partial(int, 1), fail, *[partial(int, 2)] * 50], 1, 60)
    assert next(futures).result() == 1
    with pytest.raises(BuildError):
        next(futures).result()
    futures.close()
    assert list(futures) == []
