"""The store: a shard is visible whole or not at all, dead runs leave nothing, one build holds its output."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import BuildError, InputError, StoreError
from schemas.shards import Item, check_shard, new_shard, read_items
from schemas.store import (
    Manifest,
    Store,
    claim_folder,
    lock_output,
    open_store,
    wrap_disk_errors,
    write_atomically,
)
from tests.waiting import LAST_RESORT

KEY = "ab" + "0" * 62


def tree(folder: Path) -> list[str]:
    """Everything below a folder except locks."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.name != ".lock")


def fill(store: Store, key: str = KEY, rows: int = 3) -> Manifest:
    with new_shard(store, "stage", key) as out:
        for number in range(rows):
            out.add(Item(f"row{number}", {"number": number}, bytes([number]) * 500))
    manifest = store.find("stage", key)
    assert manifest is not None
    return manifest


def test_a_shard_is_complete_with_its_manifest(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        manifest = fill(store)
        assert (manifest.rows, manifest.stage, manifest.key) == (3, "stage", KEY)
        assert manifest.bytes == store.data_path("stage", KEY).stat().st_size
        assert check_shard(store, "stage", KEY) == store.data_path("stage", KEY)
    assert tree(tmp_path / "store") == [
        "stage", "stage/ab", f"stage/ab/{KEY}.json", f"stage/ab/{KEY}.parquet", "store.json", "tmp",
    ]  # fmt: skip


class Stop(BaseException):
    """A stand-in for a keyboard interrupt."""


@pytest.mark.parametrize("error", [RuntimeError("no"), OSError(errno.ENOENT, "gone"), Stop()])
@pytest.mark.parametrize("rows", [0, 1, 300])
def test_an_error_while_a_shard_is_written_leaves_nothing(
    tmp_path: Path, error: BaseException, rows: int
) -> None:
    with open_store(tmp_path / "store") as store:
        before = tree(store.root)
        with pytest.raises(type(error)), new_shard(store, "stage", KEY) as out:  # noqa: PT012
            for number in range(rows):
                out.add(Item(str(number), {}))
            raise error
        assert store.find("stage", KEY) is None
        assert tree(store.root) == before


@pytest.mark.parametrize("failing", ["replace", "write_atomically", "fsync_folder"])
def test_an_error_while_a_shard_is_put_in_place_leaves_it_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_store(tmp_path / "store") as store:
        with monkeypatch.context() as patch:
            if failing == "replace":
                patch.setattr(Path, "replace", fail)
            else:
                patch.setattr(f"schemas.store.{failing}", fail)
            with pytest.raises(StoreError, match=r"store: No space left on device; free space"):
                fill(store)
        assert store.find("stage", KEY) is None
        assert not [
            name for name in tree(store.root) if name.startswith("tmp/") and name.endswith(".parquet")
        ]
        assert fill(store).rows == 3
    assert tree(tmp_path / "store" / "tmp") == []


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    with open_store(tmp_path / "store"):
        pass
    with (
        pytest.raises(RuntimeError, match="opened for reading"),
        new_shard(Store(tmp_path / "store"), "s", KEY),
    ):
        pass


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def other_key(path: Path) -> None:
    path.write_text(path.read_text().replace(KEY, "cd" + KEY[2:]))


def other_stage(path: Path) -> None:
    path.write_text(path.read_text().replace('"stage":"stage"', '"stage":"other"'))


def not_utf8(path: Path) -> None:
    path.write_bytes(b"\xff\xfe{}")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        ("parquet", Path.unlink),
        ("parquet", truncate),
        ("parquet", lengthen),
        ("parquet", empty),
        ("json", Path.unlink),
        ("json", truncate),
        ("json", empty),
        ("json", other_key),
        ("json", other_stage),
        ("json", not_utf8),
    ],
)
def test_a_shard_of_another_size_or_without_its_manifest_does_not_count(
    tmp_path: Path, what: str, damage: object
) -> None:
    assert callable(damage)
    with open_store(tmp_path / "store") as store:
        first = fill(store)
        damage(store.data_path("stage", KEY).with_suffix(f".{what}"))
        assert store.find("stage", KEY) is None
        again = fill(store)
        assert again.sha256 == first.sha256
        assert [item.id for item in read_items(store, "stage", KEY)] == ["row0", "row1", "row2"]


def test_a_damaged_shard_is_discarded_and_rebuilt(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        first = fill(store)
        path = store.data_path("stage", KEY)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        assert store.find("stage", KEY) is not None
        with pytest.raises(StoreError, match=r"damaged or missing; build again to rebuild it"):
            list(read_items(store, "stage", KEY))
        assert store.find("stage", KEY) is None
        assert not path.exists()
        with pytest.raises(StoreError, match="damaged or missing"):
            check_shard(store, "stage", KEY)
        assert fill(store).sha256 == first.sha256
        assert len(list(read_items(store, "stage", KEY))) == 3


def test_damage_after_a_first_check_is_noticed(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        fill(store)
        path = check_shard(store, "stage", KEY)
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        os.utime(path, ns=(1, 1))
        with pytest.raises(StoreError, match="damaged"):
            check_shard(store, "stage", KEY)


def in_child(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """A process that runs `code` and prints "ready" on its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str], by: signal.Signals) -> None:
    process.send_signal(by)
    process.communicate(timeout=LAST_RESORT)


CLAIM = """
import sys
from pathlib import Path
from schemas.store import open_store
with open_store(Path(sys.argv[1])) as store:
    (store.tmp / "half.parquet").write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_temporary_folders_of_dead_runs_are_removed_and_of_live_ones_kept(tmp_path: Path) -> None:
    root = tmp_path / "store"
    dead, alive = in_child(CLAIM, root), in_child(CLAIM, root)
    try:
        end(dead, signal.SIGKILL)
        assert len(list((root / "tmp").glob("*/half.parquet"))) == 2
        with open_store(root) as store:
            left = list((root / "tmp").glob("*/half.parquet"))
            assert [int(path.parent.name.split("-")[1]) for path in left] == [alive.pid]
            assert store.tmp is not None
            assert store.tmp.is_dir()
        assert tree(root / "tmp") == sorted([left[0].parent.name, f"{left[0].parent.name}/half.parquet"])
    finally:
        alive.communicate("", timeout=LAST_RESORT)
    assert alive.returncode == 0
    assert tree(root / "tmp") == []


def test_a_folder_without_a_lock_was_never_finished(tmp_path: Path) -> None:
    (tmp_path / "1-2-3").mkdir()
    (tmp_path / "1-2-3" / "x").write_text("x")
    with claim_folder(tmp_path) as mine:
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == [mine]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"notes.txt": "x"}, "not empty and not a store"),
        ({"store.json": "{"}, "not a store marker"),
        ({"store.json": "[1]"}, "not a store marker"),
        ({"store.json": '{"format": 99}'}, "store format 99; this version reads 1"),
    ],
)
def test_something_else_is_not_a_store(tmp_path: Path, content: dict[str, str], problem: str) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=problem), open_store(tmp_path):
        pass
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == content


def test_a_file_or_a_path_below_a_file_is_not_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"), open_store(tmp_path / "file"):
        pass
    with pytest.raises(InputError, match="Not a directory"), open_store(tmp_path / "file" / "store"):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="File exists"), open_store(tmp_path / "link"):
        pass
    with pytest.raises(InputError, match="File name too long"), open_store(tmp_path / ("x" * 300)):
        pass


def test_files_are_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sub" / "file"
    write_atomically(path, b"old", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.EIO, "no")))
        with pytest.raises(OSError, match="no"):
            write_atomically(path, b"new", tmp_path)
    assert path.read_bytes() == b"old"
    assert tree(tmp_path) == ["sub", "sub/file"]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreError),
        (errno.EDQUOT, StoreError),
        (errno.EROFS, StoreError),
        (errno.EACCES, StoreError),
        (errno.ENOTDIR, InputError),
        (errno.ENOENT, FileNotFoundError),
    ],
)
def test_disk_errors_become_one_line(number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, wrap_disk_errors(Path("place")):
        raise OSError(number, os.strerror(number))
    if kind is not FileNotFoundError:
        assert str(caught.value).startswith(f"place: {os.strerror(number)}; ")


def test_a_second_build_gets_an_error_that_says_who_holds_the_output(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with lock_output(out, "one"):
        message = rf"out: held by process {os.getpid()} on \S+ since 2\d\d\d-"
        with pytest.raises(BuildError, match=message), lock_output(out, "one"):
            pass
        assert json.loads((out / "build.json").read_text()) == {"name": "one"}
    with lock_output(out, "one"):
        pass


HOLD = """
import sys
from pathlib import Path
from schemas.store import lock_output
with lock_output(Path(sys.argv[1]), "one"):
    (Path(sys.argv[1]) / ".quarantine.parquet.0123456789ab.part").write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_killed_build_holds_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    holder = in_child(HOLD, out)
    with pytest.raises(BuildError, match=f"held by process {holder.pid} "), lock_output(out, "one"):
        pass
    end(holder, signal.SIGKILL)
    with lock_output(out, "one"):
        assert tree(out) == ["build.json"]


def test_an_output_belongs_to_one_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with lock_output(out, "one"):
        pass
    with pytest.raises(InputError, match="belongs to the build 'one', not 'two'"), lock_output(out, "two"):
        pass
    assert tree(out) == ["build.json"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"thesis.txt": "x"}, "not empty and not created by a build"),
        ({"build.json": "{"}, "not a build marker"),
        ({"build.json": "[]"}, "not a build marker"),
        ({"build.json": "{}"}, "not a build marker"),
    ],
)
def test_a_foreign_folder_is_refused_and_left_alone(
    tmp_path: Path, content: dict[str, str], problem: str
) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=problem), lock_output(tmp_path, "one"):
        pass
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == content


def test_an_output_cannot_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"), lock_output(tmp_path / "file", "one"):
        pass
    with pytest.raises(InputError, match="Not a directory"), lock_output(tmp_path / "file" / "out", "one"):
        pass
