"""Sources: the hostile folder entry by entry, manifests, COCO files, bundled photographs, the hash cache."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.sources import BUNDLED, ScanResult, read_source, scan
from flows.sources.files import hash_file, to_uri
from schemas.config import ImagesConfig, IngestConfig
from schemas.errors import InputError, SampleError
from schemas.pictures import decode, fingerprint, near_duplicates
from tests.hostile import Expected, write_hostile
from tests.picture_bytes import photographs, save

INGEST = IngestConfig()


class Remembered:
    """A hash cache in memory that counts its hits."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int, int, int], str] = {}
        self.hits = 0

    def get(self, path: str, size: int, mtime_ns: int, inode: int) -> str | None:
        found = self.known.get((path, size, mtime_ns, inode))
        self.hits += found is not None
        return found

    def put(self, path: str, size: int, mtime_ns: int, inode: int, sha256: str) -> None:
        assert path.isascii()
        self.known[(path, size, mtime_ns, inode)] = sha256


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Expected]]]:
    folder = tmp_path_factory.mktemp("hostile") / "pictures"
    folder.mkdir()
    yield folder, write_hostile(folder)
    (folder / "locked").chmod(0o700)  # so that it can be removed


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three photographs, one of them in a subfolder."""
    folder = tmp_path / "album"
    (folder / "sub").mkdir(parents=True)
    for name, rgb in zip(("b.png", "a.jpg", "sub/c.webp"), photographs(), strict=False):
        (folder / name).write_bytes(save(rgb, {"png": "PNG", "jpg": "JPEG", "ebp": "WEBP"}[name[-3:]]))
    return folder


def outcomes(result: ScanResult) -> dict[str, str]:
    """What became of every entry that scan or, after it, decode talks about, by uri."""
    found = {one.source: one.reason for one in result.quarantined}
    found.update({one.uri: "duplicate" for one in result.duplicates})
    for ref in result.refs:
        assert ref.uri not in found
        try:
            decode(read_source(ref), INGEST)
            found[ref.uri] = "good"
        except SampleError as error:
            found[ref.uri] = error.reason
    return found


def named(images: ImagesConfig) -> list[tuple[str, str | None]]:
    return sorted((ref.uri, ref.license) for ref in scan(images, INGEST).refs)


def old(folder: Path) -> None:
    """Give every file below `folder` the time stamp of an hour ago."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 3600,) * 2)


def test_every_hostile_entry_meets_its_fate(hostile: tuple[Path, dict[str, Expected]]) -> None:
    folder, expected = hostile
    result = scan(ImagesConfig(folder=folder), INGEST)
    wanted = {to_uri(name): one.outcome for name, one in expected.items() if one.outcome != "ignored"}
    assert outcomes(result) == wanted
    assert result.ignored == sum(one.outcome == "ignored" for one in expected.values())
    assert len(expected) >= 100
    reasons = {one.outcome for one in expected.values()}
    assert len(reasons) >= 16


def test_good_hostile_files_give_their_own_pixels(hostile: tuple[Path, dict[str, Expected]]) -> None:
    folder, expected = hostile
    by_uri = {to_uri(name): one for name, one in expected.items()}
    prints = []
    for ref in scan(ImagesConfig(folder=folder), INGEST).refs:
        wanted = by_uri[ref.uri]
        if wanted.outcome == "good":
            assert wanted.rgb is not None
            picture = decode(read_source(ref), INGEST)
            assert np.abs(picture.rgb.astype(int) - wanted.rgb).mean() <= wanted.tolerance
            prints.append((ref.uri, fingerprint(picture.rgb)))
    assert len(prints) >= 50
    assert near_duplicates(prints, INGEST.near_duplicate_bits) == {}


def test_uris_are_plain_relative_and_reversible(hostile: tuple[Path, dict[str, Expected]]) -> None:
    folder, _ = hostile
    result = scan(ImagesConfig(folder=folder), INGEST)
    for uri in [ref.uri for ref in result.refs] + [one.source for one in result.quarantined]:
        assert uri.isascii()
        assert uri.isprintable()
        assert " " not in uri
        assert not uri.startswith("/")
        assert os.path.lexists(os.fsencode(folder) + b"/" + unquote_to_bytes(uri))
    text = json.dumps([one.model_dump() for one in result.quarantined])
    assert str(folder.parent) not in text
    text.encode("utf-8")


def test_without_privileges_permissions_are_respected(hostile: tuple[Path, dict[str, Expected]]) -> None:
    folder, _ = hostile
    program = """
import sys
from pathlib import Path
from flows.sources import scan
from schemas.config import ImagesConfig, IngestConfig
result = scan(ImagesConfig(folder=Path(sys.argv[1])), IngestConfig())
print({one.source: one.reason for one in result.quarantined if one.reason.startswith("unreadable")})
"""
    command = [sys.executable, "-c", program, str(folder)]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("running as root without setpriv: permissions can't be made to count")
        capabilities = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'locked/': 'unreadable-folder', 'unreadable.jpg': 'unreadable'}"


def test_the_answer_depends_on_names_and_bytes_alone(album: Path, tmp_path: Path) -> None:
    (album / "copy.png").write_bytes((album / "b.png").read_bytes())
    first = scan(ImagesConfig(folder=album), INGEST)
    other = tmp_path / "elsewhere" / "deeper"
    other.mkdir(parents=True)
    for path in sorted(album.rglob("*"), reverse=True):
        if path.is_file():
            target = other / path.relative_to(album)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    second = scan(ImagesConfig(folder=other), INGEST)
    assert [(r.uri, r.sha256, r.size) for r in first.refs] == [(r.uri, r.sha256, r.size) for r in second.refs]
    assert first.duplicates == second.duplicates
    assert [r.sha256 for r in first.refs] == sorted(r.sha256 for r in first.refs)
    assert [(one.uri, one.kept_uri) for one in first.duplicates] == [("copy.png", "b.png")]


def test_the_folder_may_be_a_link_and_the_default_license_is_used(album: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(album)
    result = scan(ImagesConfig(folder=tmp_path / "link"), IngestConfig(license="CC0-1.0"))
    assert {ref.license for ref in result.refs} == {"CC0-1.0"}
    assert len(result.refs) == 3
    assert not result.quarantined


def test_a_file_larger_than_the_limit_is_not_even_hashed(album: Path) -> None:
    size = (album / "a.jpg").stat().st_size
    result = scan(ImagesConfig(folder=album), IngestConfig(max_bytes=size))
    assert {one.source: one.reason for one in result.quarantined}["b.png"] == "too-many-bytes"
    assert "a.jpg" in {ref.uri for ref in result.refs}


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "only-text", "only-bad"])
def test_a_source_without_pictures_is_one_line(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "source"
    if kind == "file":
        folder.write_text("")
    elif kind != "missing":
        folder.mkdir()
    if kind == "only-text":
        (folder / "a.txt").write_text("a")
    if kind == "only-bad":
        (folder / "a.jpg").write_text("")
    with pytest.raises(InputError) as caught:
        scan(ImagesConfig(folder=folder), INGEST)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    if kind == "only-bad":
        assert "empty-file" in str(caught.value)


def test_unchanged_files_are_not_read_again(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old(album)
    cache = Remembered()
    first = scan(ImagesConfig(folder=album), INGEST, cache)
    assert (cache.hits, len(cache.known)) == (0, 3)

    def refuse(*_: object) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr("flows.sources.files.hash_file", refuse)
    assert scan(ImagesConfig(folder=album), INGEST, cache) == first
    assert cache.hits == 3


def test_a_changed_file_is_hashed_again(album: Path) -> None:
    old(album)
    cache = Remembered()
    before = {ref.uri: ref.sha256 for ref in scan(ImagesConfig(folder=album), INGEST, cache).refs}
    content = bytearray((album / "b.png").read_bytes())
    content[-20] ^= 1
    (album / "b.png").write_bytes(content)  # the same size and inode, another time
    after = {ref.uri: ref.sha256 for ref in scan(ImagesConfig(folder=album), INGEST, cache).refs}
    assert {uri for uri in before if before[uri] != after[uri]} == {"b.png"}


def test_a_file_just_written_is_not_remembered(album: Path) -> None:
    old(album)
    cache = Remembered()
    (album / "b.png").touch()
    scan(ImagesConfig(folder=album), INGEST, cache)
    assert sorted(path.rsplit("/", 1)[1] for path, *_ in cache.known) == ["a.jpg", "c.webp"]
    future = time.time() + 1000
    os.utime(album / "b.png", (future, future))
    scan(ImagesConfig(folder=album), INGEST, cache)
    assert len(cache.known) == 2


def test_bytes_that_changed_since_the_scan_are_refused(album: Path) -> None:
    refs = {ref.uri: ref for ref in scan(ImagesConfig(folder=album), INGEST).refs}
    assert read_source(refs["a.jpg"]) == (album / "a.jpg").read_bytes()
    (album / "a.jpg").write_bytes((album / "a.jpg").read_bytes() + b"x")
    (album / "b.png").unlink()
    (album / "sub/c.webp").unlink()
    os.mkfifo(album / "sub/c.webp")
    for uri, reason in (
        ("a.jpg", "changed-since-scan"),
        ("b.png", "missing-file"),
        ("sub/c.webp", "not-a-file"),
    ):
        with pytest.raises(SampleError) as caught:
            read_source(refs[uri])
        assert caught.value.reason == reason


def test_a_hash_is_of_one_state_of_the_file(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = album / "a.jpg"

    real_digest = hashlib.file_digest

    def writing(file: io.BufferedReader, name: str) -> object:
        path.write_bytes(b"other bytes")
        return real_digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", writing)
    with pytest.raises(SampleError, match="changed-while-reading"):
        hash_file(str(path), 10**9)


def write_manifest(path: Path, rows: list[dict[str, str]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = ["path,license,comment"] + [f"{row['path']},{row.get('license', '')},x" for row in rows]
        path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_manifest_names_pictures_and_licenses(album: Path, suffix: str) -> None:
    rows = [{"path": "sub/c.webp", "license": "CC-BY-4.0"}, {"path": "./b.png"}, {"path": "b.png"}]
    manifest = write_manifest(album / f"list{suffix}", rows)
    result = scan(ImagesConfig(manifest=manifest), IngestConfig(license="mine"))
    assert sorted((r.uri, r.license) for r in result.refs) == [("b.png", "mine"), ("sub/c.webp", "CC-BY-4.0")]
    assert result.quarantined == []


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_manifest_stays_in_its_folder(album: Path, suffix: str) -> None:
    (album.parent / "out.png").write_bytes((album / "b.png").read_bytes())
    (album / "out.png").symlink_to("../out.png")
    rows = [
        {"path": "../out.png"},
        {"path": str(album / "b.png")},
        {"path": "sub/../../out.png"},
        {"path": "out.png"},
        {"path": "nowhere.png"},
        {"path": "sub"},
        {"path": ""},
        {"path": "a.jpg", "license": "one"},
        {"path": "a.jpg", "license": "two"},
        {"path": "sub/c.webp"},
    ]
    result = scan(ImagesConfig(manifest=write_manifest(album / f"list{suffix}", rows)), INGEST)
    assert [ref.uri for ref in result.refs] == ["sub/c.webp"]
    assert sorted((one.source, one.reason) for one in result.quarantined) == sorted(
        [
            ("../out.png", "path-outside"),
            (to_uri(str(album / "b.png")), "path-outside"),
            ("sub/../../out.png", "path-outside"),
            ("out.png", "link-outside"),
            ("nowhere.png", "missing-file"),
            ("sub", "not-a-file"),
            ("", "bad-path"),
            ("a.jpg", "license-conflict"),
        ]
    )


def test_a_path_no_file_can_have_is_quarantined(album: Path) -> None:
    manifest = album / "list.jsonl"
    manifest.write_text('{"path": "a\\u0000.png"}\n{"path": "\\ud800.png"}\n\n{"path": "b.png"}\n')
    result = scan(ImagesConfig(manifest=manifest), INGEST)
    assert {one.reason for one in result.quarantined} == {"bad-path"}
    assert len(result.quarantined) == 2
    json.dumps([one.model_dump() for one in result.quarantined]).encode("utf-8")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("list.txt", b"a.jpg", ".csv or a .jsonl"),
        ("list.csv", b"file,license\na.jpg,x\n", ":1: the header has no column 'path'"),
        ("list.csv", b"", ":1: the header"),
        ("list.csv", b'path\n"a.jpg\n', "fix the CSV"),
        ("list.csv", b"path\n\xff\xfe.jpg\n", "can't read"),
        ("list.jsonl", b'{"path": "a.jpg"}\n{"path": \n', ":2: "),
        ("list.jsonl", b'["a.jpg"]\n', ":1: expected"),
        ("list.jsonl", b'{"path": "a.jpg", "license": 3}\n', ":1: expected"),
        ("list.jsonl", b'{"path": ["a.jpg"]}\n', ":1: expected"),
        ("list.jsonl", b"[" * 200_000, ":1: "),
        ("list.jsonl", b"", "no picture"),
    ],
)
def test_a_malformed_manifest_is_one_line(album: Path, name: str, content: bytes, said: str) -> None:
    (album / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        scan(ImagesConfig(manifest=album / name), INGEST)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_missing_manifest_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read this manifest"):
        scan(ImagesConfig(manifest=tmp_path / "no.csv"), INGEST)


def write_coco(path: Path, names: list[str]) -> Path:
    licenses = [{"id": 1, "name": "CC-BY-2.0", "url": "https://creativecommons.org/licenses/by/2.0/"}]
    images = [
        {"id": n, "file_name": name, "width": 160, "height": 120, "license": 1 if n % 2 else None}
        for n, name in enumerate(names, 1)
    ]
    path.write_text(json.dumps({"licenses": licenses, "images": images, "annotations": [], "categories": []}))
    return path


def test_a_coco_file_lists_pictures_of_its_folder(album: Path, tmp_path: Path) -> None:
    names = ["a.jpg", "sub/c.webp"]
    beside = write_coco(album / "instances.json", names)
    assert named(ImagesConfig(coco=beside)) == [("a.jpg", "CC-BY-2.0"), ("sub/c.webp", None)]
    apart = write_coco(tmp_path / "apart.json", names)
    result = scan(ImagesConfig(coco=apart, folder=album), INGEST)
    assert sorted(ref.coco_name or "" for ref in result.refs) == names


@pytest.mark.parametrize("place", ["train2017/a.jpg", "a.jpg"])
def test_pictures_of_lvis_lie_in_the_folders_of_coco_or_in_one(
    album: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_bytes((album / "a.jpg").read_bytes())
    url = "http://images.cocodataset.org/train2017/a.jpg"
    data = {"images": [{"id": 1, "coco_url": url}], "annotations": [], "categories": []}
    (tmp_path / "lvis.json").write_text(json.dumps(data))
    (found,) = scan(ImagesConfig(coco=tmp_path / "lvis.json"), INGEST).refs
    assert (found.uri, found.coco_name) == (place, "a.jpg")


def test_a_coco_file_cannot_leave_its_folder(album: Path) -> None:
    (album.parent / "out.png").write_bytes(save(photographs()[9], "PNG"))
    coco = write_coco(album / "instances.json", ["../out.png", "a.jpg", "/etc/hostname", "gone.jpg"])
    result = scan(ImagesConfig(coco=coco), INGEST)
    assert [ref.uri for ref in result.refs] == ["a.jpg"]
    assert {one.source: one.reason for one in result.quarantined} == {
        "../out.png": "path-outside",
        "/etc/hostname": "path-outside",
        "gone.jpg": "missing-file",
    }


def test_bundled_photographs_are_real_licensed_and_all_different() -> None:
    result = scan(ImagesConfig(bundled=True), INGEST)
    assert len(result.refs) == len(BUNDLED) >= 11
    assert (result.quarantined, result.duplicates, result.ignored) == ([], [], 0)
    prints = []
    for ref in result.refs:
        assert ref.license
        picture = decode(read_source(ref), INGEST)
        assert max(picture.rgb.shape[:2]) <= 1024
        assert picture.rgb.std() > 20
        prints.append((ref.uri, fingerprint(picture.rgb)))
    assert near_duplicates(prints, INGEST.near_duplicate_bits) == {}


def test_bundled_photographs_are_found_without_importing_their_packages() -> None:
    program = """
import sys
from flows.sources.bundled import list_bundled
before = set(sys.modules)
assert len(list_bundled().candidates) >= 11
assert not {name.split(".")[0] for name in set(sys.modules) - before} & {"skimage", "sklearn"}
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"\x00" not in name))
def test_any_file_name_becomes_a_plain_uri_and_comes_back(name: bytes) -> None:
    uri = to_uri(os.fsdecode(name))
    assert uri.isascii()
    assert uri.isprintable()
    assert unquote_to_bytes(uri) == name
