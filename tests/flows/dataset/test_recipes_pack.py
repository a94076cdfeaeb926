"""Packs: a dataset comes back from its pack with the same digest, or each row that differs is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from flows.cli import main
from flows.dataset.recipes import pack, rebuild
from flows.dataset.recipes.remake import remake
from flows.dataset.recipes.sample import difference, sample
from flows.dataset.verify import computed_digest, verify
from flows.engine.build import Outcome
from schemas.config import ImagesConfig
from schemas.dataset import data_files, load_manifest, read_rows
from schemas.errors import InputError
from schemas.packs import read_pack, read_packed_pictures
from tests.conftest import photograph, write_photographs


@pytest.fixture(scope="module")
def packed(tiny: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pack") / "tiny.pack.parquet"
    assert pack(tiny.folder, path) == tiny.manifest.rows
    return path


@pytest.fixture
def images(tiny: Outcome, tmp_path: Path) -> Path:
    """The tiny dataset's photographs under other names, and one more."""
    folder = tmp_path / "photographs"
    write_photographs(folder, ["rocket"])
    (folder / "deep").mkdir()
    for path in (tiny.folder.parents[2] / "images").iterdir():
        shutil.copyfile(path, folder / path.name)
    (folder / "coffee.bmp").rename(folder / "deep" / "renamed.bmp")
    return folder


@pytest.mark.parametrize("workers", [1, 2])
def test_pack_and_rebuild_give_the_same_dataset(
    tiny: Outcome, packed: Path, images: Path, tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "again"
    outcome = rebuild(packed, ImagesConfig(folder=images), out, workers)
    assert outcome.differing == {}
    assert outcome.digest == tiny.manifest.digest == load_manifest(out).digest == computed_digest(out)
    assert verify(out) == []
    again, first = load_manifest(out), tiny.manifest
    for name in ("name", "key", "rows", "tasks", "splits", "config", "config_hash", "facts", "seed"):
        assert getattr(again, name) == getattr(first, name)
    for one, other in zip(data_files(out), data_files(tiny.folder), strict=True):
        assert one.name == other.name
        assert list(read_rows(one)) == list(read_rows(other))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_pack_is_small_and_holds_every_row_and_no_picture(tiny: Outcome, packed: Path) -> None:
    size = packed.stat().st_size
    assert size / tiny.manifest.rows < 3000
    rows = {one.row.id: one.row for one in read_pack(packed)}
    assert rows == {row.id: row for path in data_files(tiny.folder) for row in read_rows(path)}
    assert b"\x89PNG" not in packed.read_bytes()


def carried(packed: Path, name: str) -> set[str]:
    return {
        row_id
        for row_id, pictures in read_packed_pictures(packed)
        if any(Path(picture.source_uri).name == name for picture in pictures)
    }


def test_a_changed_photograph_names_its_rows_and_by_how_much(
    packed: Path, images: Path, tmp_path: Path
) -> None:
    picture = photograph("china", 192).astype(np.int16)
    picture[: picture.shape[0] // 2] += 3
    bgr = np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8)[..., ::-1])
    cv2.imwrite(str(images / "china.bmp"), bgr)
    outcome = rebuild(packed, ImagesConfig(folder=images), tmp_path / "again", 1)
    assert outcome.digest is None
    assert set(outcome.differing) == carried(packed, "china.bmp")
    assert not (tmp_path / "again").exists()
    for why in outcome.differing.values():
        assert why.startswith("changed source: ")
        assert "china.bmp should have the SHA-256" in why
        assert "sampled pixels differ, by at most" in why or "made on a picture" in why


def test_a_missing_photograph_names_its_rows(
    packed: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "china.bmp").unlink()
    out = str(tmp_path / "again")
    code = main(["recipes", "rebuild", str(packed), "--images", str(images), "--out", out, "--workers", "1"])
    assert code == 1
    *named, last = capsys.readouterr().out.splitlines()
    expected = carried(packed, "china.bmp")
    assert {line.partition(":")[0] for line in named} == expected
    assert all("missing source: no file has the SHA-256" in line for line in named)
    assert (
        last == f"{len(expected)} of {sum(1 for _ in read_pack(packed))} rows differ; {out} was not written"
    )


def test_a_picture_that_comes_out_otherwise_is_laid_to_the_libraries(
    packed: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = remake.__globals__["apply_recipe"]

    def off_by_one(image: np.ndarray, recipe: object) -> np.ndarray:
        made = real(image, recipe)
        return np.where(made < 255, made + 1, made).astype(np.uint8)

    monkeypatch.setitem(remake.__globals__, "apply_recipe", off_by_one)
    monkeypatch.setitem(remake.__globals__, "version", lambda name: "9.9")
    outcome = rebuild(packed, ImagesConfig(folder=images), tmp_path / "again", 1)
    assert len(outcome.differing) == outcome.rows
    for why in outcome.differing.values():
        assert why.startswith("library versions differ: numpy ")
        assert "then, 9.9 here" in why
        assert "by at most 1 of 255" in why


def test_the_commands(
    tiny: Outcome, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = str(tmp_path / "x.parquet"), str(tmp_path / "again")
    assert main(["recipes", "pack", str(tiny.folder), "-o", file]) == 0
    assert f"{tiny.manifest.rows} rows, " in capsys.readouterr().out
    arguments = ["recipes", "rebuild", file, "--images", str(images), "--out", out, "--workers", "1"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith(f"ok: {tiny.manifest.rows} rows, digest {tiny.manifest.digest}")
    assert main(arguments) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_what_is_no_pack_is_one_line(
    tiny: Outcome, content: bytes | None, tmp_path: Path, images: Path
) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(data_files(tiny.folder)[0].read_bytes() if content is None else content)
    with pytest.raises(InputError) as caught:
        rebuild(path, ImagesConfig(folder=images), tmp_path / "again", 1)
    assert "\n" not in str(caught.value)


def test_the_sample_tells_largest_difference_and_share() -> None:
    rgb = photograph("coffee", 192)
    kept = sample(rgb)
    assert len(kept) < 1800
    same = difference(kept, rgb)
    assert same is not None
    assert same.largest == 0
    changed = rgb.copy()
    changed[:, : rgb.shape[1] // 2] ^= 8
    apart = difference(kept, changed)
    assert apart is not None
    assert apart.largest == 8
    assert 0.45 < apart.share < 0.55
    assert difference(kept, rgb[:, 1:]) is None
