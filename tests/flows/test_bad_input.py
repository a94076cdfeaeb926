"""Bad input and bad places: one clear line, the right exit code, and nothing half-written to be seen."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.cli import main
from schemas.dataset import load_manifest
from schemas.store import lock_output
from tests.conftest import write_photographs, write_tiny_config
from tests.waiting import LAST_RESORT, wait_until

ROOT = Path(__file__).parents[2]
NAMES = ["chelsea", "coffee"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with photographs and a configuration whose output is `out` beside them."""
    write_photographs(tmp_path / "images", NAMES, long_side=160)
    write_tiny_config(tmp_path / "tiny.yaml", tmp_path / "images", tmp_path / "out")
    return tmp_path


Captured = pytest.CaptureFixture[str]


def refused(capfd: Captured, *arguments: str | Path, command: str = "build") -> tuple[int, str]:
    """Exit code and the one line a command ends with; nothing else is said but progress before it."""
    capfd.readouterr()
    code = main([command, *map(str, arguments)])
    captured = capfd.readouterr()
    assert captured.out == ""
    return code, the_line(captured.err)


def the_line(err: str) -> str:
    *progress, line = err.splitlines()
    assert "Traceback" not in err
    assert [text for text in progress if not re.search(r" shards?: ", text)] == []
    assert line.startswith("iqa-spider: ")
    return line.removeprefix("iqa-spider: ")


def assert_nothing_half_written(out: Path, datasets: list[str] | None = None) -> None:
    """No dataset but those given (by default none), no `latest` to another, no unfinished file."""
    found = sorted(path.name for path in (out / "datasets").glob("*")) if (out / "datasets").exists() else []
    assert found == sorted(datasets or [])
    if datasets is None:
        assert not (out / "latest").is_symlink()
    for pattern in ("**/*.unfinished", "**/*.part", ".latest.new"):
        assert list(out.glob(pattern)) == []
    tmp = out / "store" / "tmp"
    assert not tmp.exists() or [path.name for path in tmp.iterdir() if path.name != ".lock"] == []


# What is wrong before anything is built


def no_pictures(place: Path) -> None:
    for path in (place / "images").iterdir():
        path.rename(path.with_suffix(".txt"))


def empty_folder(place: Path) -> None:
    for path in (place / "images").iterdir():
        path.unlink()


def missing_folder(place: Path) -> None:
    (place / "images").rename(place / "elsewhere")


def file_for_folder(place: Path) -> None:
    missing_folder(place)
    (place / "images").write_text("x")


def typo(place: Path) -> None:
    text = (place / "tiny.yaml").read_text()
    (place / "tiny.yaml").write_text(text.replace("ingest:", "ingset:"))


def foreign_output(place: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "thesis.txt").write_text("x")


def output_of_another(place: Path) -> None:
    (place / "out").mkdir()
    (place / "out" / "build.json").write_text('{"name":"other"}')


def output_file(place: Path) -> None:
    (place / "out").write_text("x")


def output_below_a_file(place: Path) -> None:
    (place / "file").write_text("x")
    text = (place / "tiny.yaml").read_text().replace(f"{place}/out", f"{place}/file/out")
    (place / "tiny.yaml").write_text(text)


def dangling_output(place: Path) -> None:
    (place / "out").symlink_to(place / "nowhere")


def store_at(place: Path, store: Path) -> None:
    with (place / "tiny.yaml").open("a") as file:
        file.write(f"store: {store}\n")


def foreign_store(place: Path) -> None:
    store_at(place, place / "images")


def file_store(place: Path) -> None:
    store_at(place, place / "tiny.yaml")


def future_store(place: Path) -> None:
    (place / "future").mkdir()
    (place / "future" / "store.json").write_text('{"format":99}')
    store_at(place, place / "future")


def broken_hashes(place: Path) -> None:
    (place / "out" / "store").mkdir(parents=True)
    (place / "out" / "build.json").write_text('{"name":"tiny"}')
    (place / "out" / "store" / "store.json").write_text('{"format":1}')
    (place / "out" / "store" / "hashes.sqlite").write_text("not a table of hashes" * 200)


CASES: list[tuple[Callable[[Path], None], int, str]] = [
    (
        no_pictures,
        2,
        "images: no picture to read, 2 other files ignored; give JPEG, PNG, WebP, BMP or TIFF files",
    ),
    (empty_folder, 2, "images: no picture to read, 0 other files ignored"),
    (missing_folder, 2, "images: no such file or directory; give a folder with pictures"),
    (file_for_folder, 2, "images: not a directory; give a folder with pictures"),
    (typo, 2, "tiny.yaml:6: unknown key 'ingset'; did you mean 'ingest'?"),
    (foreign_output, 2, "out: not empty and not created by a build; choose another --out"),
    (output_of_another, 2, "out: belongs to the build 'other', not 'tiny'; choose another --out or rename"),
    (output_file, 2, "out: the output is a file; choose a folder"),
    (output_below_a_file, 2, "file/out: Not a directory; choose another place"),
    (dangling_output, 2, "out: File exists; choose another place"),
    (foreign_store, 2, "images: not empty and not a store; choose another folder for the store"),
    (file_store, 2, "tiny.yaml: the store is a file; choose a folder"),
    (future_store, 2, "future: store format 99; this version reads 1; choose another store"),
    (
        broken_hashes,
        1,
        "hashes.sqlite: file is not a database; free space or remove this file, then build again",
    ),
]


@pytest.mark.parametrize(("spoil", "code", "told"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_wrong_from_the_start(
    place: Path, capfd: Captured, spoil: Callable[[Path], None], code: int, told: str
) -> None:
    spoil(place)
    got, line = refused(capfd, place / "tiny.yaml")
    assert (got, told in line) == (code, True), line
    if (place / "out").is_dir():
        assert_nothing_half_written(place / "out")


def test_a_foreign_folder_is_left_as_it_was(place: Path, capfd: Captured) -> None:
    foreign_output(place)
    refused(capfd, place / "tiny.yaml")
    assert [path.name for path in (place / "out").iterdir()] == ["thesis.txt"]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, who reads and writes everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def let_everyone_pass(place: Path) -> None:
    """Folders of tests are their owner's alone; another user has to get through them."""
    for path in (place, *place.parents):
        if path.stat().st_mode & 0o555 != 0o555:
            path.chmod(0o755)


def test_unreadable_folder(place: Path, capfd: Captured) -> None:
    let_everyone_pass(place)
    (place / "out").mkdir()
    (place / "out").chmod(0o777)
    (place / "images").chmod(0)
    try:
        with as_nobody():
            code, line = refused(capfd, place / "tiny.yaml")
    finally:
        (place / "images").chmod(0o755)
    assert (code, "images: permission denied; give a folder with pictures that can be read" in line) == (
        2,
        True,
    ), line


def test_output_without_permission(place: Path, capfd: Captured) -> None:
    let_everyone_pass(place)
    with as_nobody():
        code, line = refused(capfd, place / "tiny.yaml")
    assert (code, "out: Permission denied; free space or choose another place" in line) == (1, True), line
    assert not (place / "out").exists()


def test_pictures_that_cannot_be_decoded_at_all(place: Path, prefect_url: str, capfd: Captured) -> None:
    for path in (place / "images").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    code, line = refused(capfd, place / "tiny.yaml")
    assert code == 1
    assert line.startswith("ingest: 2 of 2 failed (")
    assert line.endswith(f"see {place / 'out' / 'quarantine.parquet'}")
    assert_nothing_half_written(place / "out")


# The orchestrator


def test_no_server_at_the_url(place: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    code, line = refused(capfd, place / "tiny.yaml")
    assert code == 2
    assert line == (
        "PREFECT_API_URL=http://127.0.0.1:9/api: no Prefect server answers; start it or unset the variable"
    )
    assert_nothing_half_written(place / "out")


# Two builds at once


def test_second_build_into_one_output_is_told_who_holds_it(
    place: Path, prefect_url: str, capfd: Captured
) -> None:
    with lock_output(place / "out", "tiny"):
        code, line = refused(capfd, place / "tiny.yaml")
    assert code == 1
    assert f"out: held by process {os.getpid()} on " in line
    assert line.endswith("; wait for it to end or choose another --out")
    assert main(["build", str(place / "tiny.yaml")]) == 0


def start_build(*arguments: str | Path, **limits: int) -> subprocess.Popen[str]:
    """A build in a process of its own, with limits such as RLIMIT_FSIZE on it."""

    def limit() -> None:
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "build", *map(str, arguments), "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit if limits else None,
    )


def test_two_running_builds_into_one_output(place: Path, prefect_url: str) -> None:
    first = start_build(place / "tiny.yaml")
    lock = place / "out" / ".lock"
    wait_until(lambda: first.poll() is not None or (lock.exists() and lock.read_text()))
    second = start_build(place / "tiny.yaml")
    out_second, err_second = second.communicate(timeout=LAST_RESORT)
    out_first, err_first = first.communicate(timeout=LAST_RESORT)
    assert first.returncode == 0, err_first
    if second.returncode == 0:  # it came when the first was done
        assert json.loads(out_second.splitlines()[-1])["state"] == "nothing changed"
    else:
        assert second.returncode == 1
        assert f"held by process {first.pid} on " in the_line(err_second)
    assert_nothing_half_written(place / "out", [Path(json.loads(out_first.splitlines()[-1])["dataset"]).name])


def test_two_builds_share_one_store_at_once(place: Path, prefect_url: str) -> None:
    store_at(place, place / "shared")
    outs = [place / "one", place / "two"]
    builds = [start_build(place / "tiny.yaml", "--out", out) for out in outs]
    results = [build.communicate(timeout=LAST_RESORT) for build in builds]
    summaries = []
    for build, (told, err) in zip(builds, results, strict=True):
        assert build.returncode == 0, err
        summaries.append(json.loads(told.splitlines()[-1]))
    assert summaries[0]["digest"] == summaries[1]["digest"]
    assert summaries[0]["rows"] == summaries[1]["rows"] > 0
    for out, summary in zip(outs, summaries, strict=True):
        assert main(["verify", str(out / "latest")]) == 0
        assert_nothing_half_written(out, [Path(summary["dataset"]).name])
    assert [path.name for path in (place / "shared" / "tmp").iterdir()] == [".lock"]


# Disks


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A tmpfs mounted on `folder`; skips where mounting isn't allowed."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"a small file system can't be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
@pytest.mark.parametrize("size", ["16k", "64k", "900k"])
def test_full_disk(place: Path, prefect_url: str, capfd: Captured, size: str) -> None:
    with small_disk(place / "disk", f"size={size}") as disk:
        out = disk / "out"
        code, line = refused(capfd, place / "tiny.yaml", "--out", out)
        assert code == 1
        assert line.startswith(f"{disk}/out/store")
        assert "; free space or" in line
        assert os.strerror(errno.ENOSPC) in line or "database or disk is full" in line
        assert_nothing_half_written(out)
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        assert main(["build", str(place / "tiny.yaml"), "--out", str(out)]) == 0
        folder = (out / "latest").resolve()
        assert load_manifest(folder).rows > 0
        assert_nothing_half_written(out, [folder.name])


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_disk_that_is_full_just_before_the_end(place: Path, prefect_url: str, capfd: Captured) -> None:
    with small_disk(place / "large", "size=100m") as disk:
        assert main(["build", str(place / "tiny.yaml"), "--out", str(disk / "out")]) == 0
        needed = used_kilobytes(disk)
    with small_disk(place / "disk", f"size={needed - 60}k") as disk:
        out = disk / "out"
        code, line = refused(capfd, place / "tiny.yaml", "--out", out)
        assert (code, os.strerror(errno.ENOSPC) in line) == (1, True), line
        assert_nothing_half_written(out)


def used_kilobytes(disk: Path) -> int:
    status = os.statvfs(disk)
    return (status.f_blocks - status.f_bfree) * status.f_frsize // 1024


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_disk_that_is_full_when_a_dataset_is_added(place: Path, prefect_url: str, capfd: Captured) -> None:
    """The dataset that stands, and `latest`, stay as they are."""
    with small_disk(place / "disk", "size=100m") as disk:
        out = disk / "out"
        assert main(["build", str(place / "tiny.yaml"), "--out", str(out)]) == 0
        before = (out / "latest").readlink()
        size = used_kilobytes(disk) + 150
        subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
        code, line = refused(capfd, place / "tiny.yaml", "--out", out, "--seed", "11")
        assert (code, "No space left on device" in line) == (1, True), line
        assert (out / "latest").readlink() == before
        assert main(["verify", str(out / "latest")]) == 0
        assert_nothing_half_written(out, [before.name])


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_read_only_disk(place: Path, capfd: Captured) -> None:
    with small_disk(place / "disk", "size=1m,ro") as disk:
        code, line = refused(capfd, place / "tiny.yaml", "--out", disk / "out")
        assert (code, line) == (
            1,
            f"{disk}/out: Read-only file system; free space or choose another place, then build again",
        )
        assert list(disk.iterdir()) == []


def test_no_file_may_be_large(place: Path, prefect_url: str) -> None:
    """The limit a quota or `ulimit -f` sets: every file ends at 60 kB."""
    build = start_build(place / "tiny.yaml", RLIMIT_FSIZE=60_000)
    _, err = build.communicate(timeout=LAST_RESORT)
    assert build.returncode == 1
    assert the_line(err).startswith(f"{place}/out/store: File too large; free space or choose another place")
    assert_nothing_half_written(place / "out")
    assert main(["build", str(place / "tiny.yaml")]) == 0
