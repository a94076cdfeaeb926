"""Shards: rows round-trip, a bad sample goes to quarantine, a bad disk stops the build."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import BuildError, InputError, SampleError, StoreError
from schemas.hashing import content_key
from schemas.shards import Item, new_shard, read_items, read_picture
from schemas.store import Manifest, Store, open_store

KEY = "ab" + "0" * 62


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as opened:
        yield opened


def manifest_of(store: Store, key: str = KEY) -> Manifest:
    manifest = store.find("stage", key)
    assert manifest is not None
    return manifest


record = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False),
    max_size=4,
)
items = st.lists(
    st.tuples(st.text(st.characters(exclude_categories=["Cs"])), record, st.none() | st.binary(max_size=50)),
    max_size=12,
    unique_by=lambda item: item[0],
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)
@given(items)
def test_rows_round_trip(store: Store, rows: list[tuple[str, dict[str, Any], bytes | None]]) -> None:
    key = content_key([[name, str(value), str(picture)] for name, value, picture in rows])
    with new_shard(store, "stage", key) as out:
        for name, value, picture in rows:
            out.add(Item(name, value, picture))
    assert [(i.id, i.record, i.picture) for i in read_items(store, "stage", key, pictures=True)] == rows
    assert all(item.picture is None for item in read_items(store, "stage", key))
    assert manifest_of(store, key).rows == len(rows)


def test_equal_rows_make_equal_files(store: Store) -> None:
    for key in (KEY, "cd" + KEY[2:]):
        with new_shard(store, "stage", key) as out:
            for number in range(600):
                out.add(Item(str(number), {"b": number, "a": "x" * number}, b"p" if number % 3 else None))
    assert manifest_of(store).sha256 == manifest_of(store, "cd" + KEY[2:]).sha256


def test_memory_is_bounded_by_row_groups(store: Store) -> None:
    with new_shard(store, "stage", KEY) as out:
        for number in range(5):
            out.add(Item(f"big{number}", {"text": "x" * 3_000_000}))
        for number in range(600):
            out.add(Item(f"small{number}", {}))
        for number in range(4):
            out.add(Item(f"picture{number}", {}, b"p" * 10))
    metadata = pq.read_metadata(store.data_path("stage", KEY))
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    assert max(sizes) <= 256
    assert sizes[:2] == [2, 2]
    assert sizes[-3:] == [1, 1, 1]


def test_pictures_are_read_one_by_one(store: Store) -> None:
    with new_shard(store, "stage", KEY) as out:
        for number in range(4):
            out.add(Item(f"s{number}", {}, bytes([number]) * 20))
    assert read_picture(store, "stage", KEY, 2, "s2") == b"\2" * 20
    with pytest.raises(StoreError, match="row 2 is 's2', not 's3'"):
        read_picture(store, "stage", KEY, 2, "s3")


def test_an_id_is_used_once(store: Store) -> None:
    def twins() -> None:
        with new_shard(store, "stage", KEY) as out:
            out.add(Item("twin", {"n": 1}))
            out.add(Item("twin", {"n": 2}))

    with pytest.raises(ValueError, match="two rows with the id 'twin'"):
        twins()
    assert store.find("stage", KEY) is None


def test_a_failing_sample_is_quarantined_and_the_rest_continues(store: Store) -> None:
    def fail(name: str) -> None:
        if name == "sample":
            raise SampleError("too-dark", "mean 0.1")
        if name == "unexpected":
            raise ZeroDivisionError("a picture of no width")
        if name == "file":
            raise FileNotFoundError(errno.ENOENT, "gone", "a\udcffb")

    with new_shard(store, "stage", KEY) as out:
        for name in ("good", "sample", "unexpected", "file", "last"):
            with out.guard(f"{name}.png", f"{name}-0"):
                fail(name)
                out.add(Item(name, {}))
    assert [item.id for item in read_items(store, "stage", KEY)] == ["good", "last"]
    found = {entry.source: entry for entry in manifest_of(store).quarantine}
    assert set(found) == {"sample.png", "unexpected.png", "file.png"}
    entry = found["sample.png"]
    assert (entry.stage, entry.reason, entry.error, entry.sample_id) == (
        "stage",
        "too-dark",
        "mean 0.1",
        "sample-0",
    )
    assert found["unexpected.png"].reason == "unexpected"
    message = "ZeroDivisionError: a picture of no width in fail (test_shards.py)"
    assert found["unexpected.png"].error == message
    assert "a\\udcffb" in found["file.png"].error


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Item("bad", {"text": "lone \ud800"}), "UnicodeEncodeError"),
        (Item("bad \ud800", {}), "UnicodeEncodeError"),
        (Item("bad", {"value": float("nan")}), "ValueError"),
        (Item("good", {}), "two rows with the id 'good'"),
    ],
)
def test_a_row_that_cannot_be_stored_does_not_affect_the_others(
    store: Store, bad: Item, message: str
) -> None:
    with new_shard(store, "stage", KEY) as out:
        for item in (Item("good", {"n": 1}), bad, Item("last", {"n": 2})):
            with out.guard("x.png"):
                out.add(item)
    assert [item.id for item in read_items(store, "stage", KEY)] == ["good", "last"]
    (entry,) = manifest_of(store).quarantine
    assert message in entry.error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system"),
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.EMFILE, "Too many open files"),
        MemoryError(),
        StoreError("the store is damaged"),
        BuildError("enough"),
        InputError("wrong use"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: f"{type(error).__name__} {error}".strip(),
)
def test_what_is_no_fault_of_the_sample_stops_the_shard(store: Store, error: BaseException) -> None:
    expected = StoreError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), new_shard(store, "stage", KEY) as out, out.guard("x.png"):
        raise error
    assert store.find("stage", KEY) is None


def test_counts_and_extra_come_back(store: Store) -> None:
    with new_shard(store, "stage", KEY) as out:
        out.counts["rows: b"] += 2
        out.counts["rows: a"] += 1
        out.extra["sources"] = [{"id": "ü"}]
    manifest = manifest_of(store)
    assert list(manifest.counts.items()) == [("rows: a", 1), ("rows: b", 2)]
    assert manifest.extra == {"sources": [{"id": "ü"}]}
    assert manifest.rows == 0
