"""The cache of replies: keys, races of threads and processes, kills, damage, pruning."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.chat.messages import Call, Picture, Reply, Sampling, Schema, Turn
from annotation.chat.reply_cache import ReplyCache, Selection, cache_path, call_key
from schemas.config import VlmConfig
from schemas.errors import InputError, SpiderError, StoreError
from tests.annotation.chat.calls import call
from tests.waiting import LAST_RESORT

ROOT = Path(__file__).parents[3]
PICTURE = Picture(b"a picture", "image/png")
FULL = Call(
    "model", "main", "prompts", (Turn("system", "s"), Turn("user", "look", (PICTURE,))),
    Sampling(0.7, 0.9, 64, 1), Schema("name", {"type": "object", "properties": {"a": {}, "b": {}}}),
)  # fmt: skip
OTHERS = [
    {"model": "another"},
    {"revision": None},
    {"prompt_version": "prompts-2"},
    {"turns": FULL.turns[1:]},
    {"turns": (Turn("user", "s"), FULL.turns[1])},
    {"turns": (FULL.turns[0], Turn("user", "look ", (PICTURE,)))},
    {"turns": (FULL.turns[0], Turn("user", "look"))},
    {"turns": (FULL.turns[0], Turn("user", "look", (PICTURE, PICTURE)))},
    {"turns": (FULL.turns[0], Turn("user", "look", (Picture(b"a picturf", "image/png"),)))},
    {"sampling": Sampling(0.8, 0.9, 64, 1)},
    {"sampling": Sampling(0.7, 0.8, 64, 1)},
    {"sampling": Sampling(0.7, 0.9, 65, 1)},
    {"sampling": Sampling(0.7, 0.9, 64, 2)},
    {"sampling": Sampling(0.7, 0.9, 64, 1, 1.0)},
    {"schema": None},
    {"schema": Schema("other", FULL.schema.schema if FULL.schema else {})},
    {"schema": Schema("name", {"type": "object", "properties": {"b": {}, "a": {}}})},
]


def put(cache: ReplyCache, text: str, reply: str, **made: str) -> Reply:
    one = dataclasses.replace(call(text), **made)  # type: ignore[arg-type]
    return cache.put(call_key(one), one, Reply(reply, "stop", 10, 5))


@pytest.mark.parametrize("change", OTHERS)
def test_all_that_shapes_an_answer_makes_another_key(change: dict[str, object]) -> None:
    assert call_key(dataclasses.replace(FULL, **change)) != call_key(FULL)  # type: ignore[arg-type]


def test_the_key_is_the_same_on_every_machine() -> None:
    again = dataclasses.replace(FULL, sampling=Sampling(0.7, 0.9, 64, 1))
    assert call_key(again) == call_key(FULL)
    assert call_key(FULL) == "1fc0545d18ce6ee7810c5253d78e85d5bb021d31593f5a57f57938bde7355d78"


def test_a_call_for_log_probabilities_has_no_key() -> None:
    with pytest.raises(ValueError, match="can't be kept"):
        call_key(dataclasses.replace(FULL, top_logprobs=20))


texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(texts, st.sampled_from(["stop", "length"]), st.integers(0, 2**40), st.integers(0, 2**40))
def test_a_reply_comes_back_as_it_was(text: str, reason: str, asked: int, told: int) -> None:
    reply = Reply(text, reason, asked, told)
    with ReplyCache(Path(":memory:")) as cache:
        assert cache.get(call_key(FULL)) is None
        assert cache.put(call_key(FULL), FULL, reply) == reply
        assert cache.get(call_key(FULL)) == reply


def test_the_first_reply_stays(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "a" / "replies.sqlite") as cache, ReplyCache(cache.path) as other:
        assert put(cache, "q", "first").text == "first"
        assert put(other, "q", "second").text == "first"
        assert other.stats().replies == 1


def test_where_it_lies() -> None:
    assert cache_path(Path("store"), VlmConfig()) == Path("store/replies.sqlite")
    assert cache_path(Path("store"), VlmConfig(cache=Path("x.sqlite"))) == Path("x.sqlite")


def test_closing_leaves_one_file(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        put(cache, "q", "a")
    assert [path.name for path in tmp_path.iterdir()] == ["replies.sqlite"]
    with ReplyCache(tmp_path / "replies.sqlite", create=False) as cache:
        assert cache.get(call_key(call("q"))) == Reply("a", "stop", 10, 5)


def test_readers_and_writers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        put(cache, "q", "a")
        with sqlite3.connect(cache.path) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            other.execute("BEGIN")
            assert other.execute("SELECT count(*) FROM replies").fetchone() == (1,)
            put(cache, "while it is read", "a")
        other.close()


def test_many_make_the_file_at_once(tmp_path: Path) -> None:
    width = 8
    with ThreadPoolExecutor(width) as pool:
        for attempt in range(15):
            path, start = tmp_path / f"{attempt}.sqlite", threading.Barrier(width)

            def make(i: int, path: Path = path, start: threading.Barrier = start) -> str:
                start.wait(LAST_RESORT)
                with ReplyCache(path) as cache:
                    return put(cache, "q", f"answer {i}").text

            assert len(set(pool.map(make, range(width)))) == 1


def test_threads_agree(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "replies.sqlite") as cache, ThreadPoolExecutor(16) as pool:
        told = list(pool.map(lambda i: put(cache, f"q{i % 50}", f"answer {i}").text, range(800)))
        kept = {f"q{i}": cache.get(call_key(call(f"q{i}"))) for i in range(50)}
    for i, text in enumerate(told):
        reply = kept[f"q{i % 50}"]
        assert reply is not None
        assert reply.text == text


WRITER = """
import sys
from pathlib import Path
from annotation.chat.reply_cache import ReplyCache, call_key
from annotation.chat.messages import Reply
from tests.annotation.chat.calls import call
name, first, last = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
cache = ReplyCache(Path(sys.argv[1]))
for i in range(first, last):
    one = call(f"q{i}")
    kept = cache.put(call_key(one), one, Reply(f"{name} says {i}", "stop", 1, 1))
    print(i, kept.text, flush=True)
"""


def writer(path: Path, name: str, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(first), str(last)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)


def test_processes_agree_from_the_first_moment(tmp_path: Path) -> None:
    """All make the file, write the same keys and are told the same replies."""
    path = tmp_path / "replies.sqlite"
    writers = [writer(path, f"w{i}", 0, 200) for i in range(4)]
    outputs = [process.communicate(timeout=LAST_RESORT)[0] for process in writers]
    assert [process.returncode for process in writers] == [0] * 4
    assert len(set(outputs)) == 1
    assert len(outputs[0].splitlines()) == 200


def test_a_kill_loses_nothing_that_was_put(tmp_path: Path) -> None:
    """SIGKILL at random moments: what the writer had printed is there, and the next goes on."""
    path = tmp_path / "replies.sqlite"
    draw = random.Random(0)
    done = 0
    for _ in range(4):
        process = writer(path, "w", done, 10**9)
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(draw.randrange(1, 60)):
            process.stdout.readline()
            done += 1
        process.send_signal(signal.SIGKILL)
        printed = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        process.wait(LAST_RESORT)
        process.stdout.close()
        done += 1 + len(printed)
        with ReplyCache(path) as cache:
            for i in range(done):
                assert cache.get(call_key(call(f"q{i}"))) == Reply(f"w says {i}", "stop", 1, 1)
    assert done > 4


def filled(path: Path, count: int = 400) -> Path:
    with ReplyCache(path) as cache:
        for i in range(count):
            put(cache, f"q{i}", f"a reply of some length, number {i} " * 8)
    return path


def use(path: Path) -> None:
    with ReplyCache(path) as cache:
        for i in range(400):
            cache.get(call_key(call(f"q{i}")))
        put(cache, "new", "reply")
        cache.stats()


@pytest.mark.parametrize("damage", ["zeros", "text", "half", "holes"])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    path = filled(tmp_path / "replies.sqlite")
    data = bytearray(path.read_bytes())
    if damage == "zeros":
        data[:4096] = bytes(4096)
    elif damage == "text":
        data = bytearray(b"not a database at all\n" * 1000)
    elif damage == "half":
        del data[len(data) // 2 :]
    else:
        for start in range(4096, len(data), 4096):
            data[start : start + 64] = os.urandom(64)
    path.write_bytes(data)
    with pytest.raises(StoreError) as caught:
        use(path)
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    assert "damaged" in line
    assert "move it away" in line


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hashes.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE hashes (a, b)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is not a reply cache; give another path"):
        ReplyCache(path)
    assert path.read_bytes() == before


def test_a_cache_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = filled(tmp_path / "replies.sqlite", 1)
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 99")
    later.close()
    with pytest.raises(StoreError, match="another version"):
        ReplyCache(path)


def test_a_missing_file_is_said_where_none_may_be_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no reply cache there"):
        ReplyCache(tmp_path / "none.sqlite", create=False)
    assert list(tmp_path.iterdir()) == []


def test_an_impossible_place_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "replies.sqlite", tmp_path):
        with pytest.raises(SpiderError) as caught:
            ReplyCache(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    """A file that may not grow stands for the disk."""
    path = filled(tmp_path / "replies.sqlite", 1)
    limited = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
    )
    command = [sys.executable, "-c", limited + WRITER, str(path), "w", "10", "100000"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=LAST_RESORT, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("schemas.errors.StoreError")
    assert "check the disk's space" in last
    put_before = len(done.stdout.splitlines())
    assert put_before > 10
    with ReplyCache(path) as cache:
        assert cache.stats().replies == put_before + 1


def test_stats_by_model_and_prompt_version(tmp_path: Path) -> None:
    begun = time.time()
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        empty = cache.stats()
        assert (empty.replies, empty.oldest, empty.shares) == (0, None, ())
        for i in range(6):
            model = "a/one" if i < 2 else "b/two"
            put(cache, f"q{i}", "four", model=model, prompt_version="v1" if i < 5 else "v2")
        stats = cache.stats()
    assert (stats.replies, stats.prompt_tokens, stats.completion_tokens) == (6, 60, 30)
    shares = {(share.model, share.prompt_version): (share.replies, share.bytes) for share in stats.shares}
    assert shares == {("a/one", "v1"): (2, 8), ("b/two", "v1"): (3, 12), ("b/two", "v2"): (1, 4)}
    assert stats.oldest is not None
    assert stats.newest is not None
    assert begun <= stats.oldest <= stats.newest <= time.time()
    assert stats.file_bytes > 0


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        (Selection(model="a/one"), 4),
        (Selection(prompt_version="v2"), 5),
        (Selection(model="a/one", prompt_version="v2"), 6),
        (Selection(model="b/two", prompt_version="v1"), 3),
        (Selection(older_than=3600), 6),
        (Selection(older_than=-10), 0),
        (Selection(model="b/two", older_than=-10), 2),
        (Selection(model="unknown"), 6),
    ],
)
def test_pruning(tmp_path: Path, selection: Selection, left: int) -> None:
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        for i in range(6):
            model = "a/one" if i < 2 else "b/two"
            put(cache, f"q{i}", "four", model=model, prompt_version="v1" if i < 5 else "v2")
        assert cache.prune(selection) == 6 - left
        assert cache.stats().replies == left


def test_pruning_everything_by_accident_is_refused(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "replies.sqlite") as cache, pytest.raises(ValueError, match="everything"):
        cache.prune(Selection())


def test_pruning_gives_space_back_while_others_read(tmp_path: Path) -> None:
    path = filled(tmp_path / "replies.sqlite")
    before = path.stat().st_size
    with ReplyCache(path) as cache, ReplyCache(path) as other:
        assert other.get(call_key(call("q1"))) is not None
        assert cache.prune(Selection(older_than=-10)) == 400
        assert other.get(call_key(call("q1"))) is None
        assert cache.stats().file_bytes < before / 5


def test_the_log_beside_the_file_belongs_to_it(tmp_path: Path) -> None:
    """A copy of both, taken while the cache is open, holds what was put."""
    with ReplyCache(tmp_path / "replies.sqlite") as cache:
        put(cache, "q", "a")
        (tmp_path / "copy").mkdir()
        for path in tmp_path.glob("replies.sqlite*"):
            shutil.copy(path, tmp_path / "copy")
    with ReplyCache(tmp_path / "copy" / "replies.sqlite") as copy:
        assert copy.stats().replies == 1
