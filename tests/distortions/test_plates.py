"""The page of distortions against the catalog: every entry has its picture, its levels, its aliases."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from distortions import catalog
from distortions.fit_levels import photographs
from distortions.plates import (
    BEGIN,
    END,
    PATCH_HEIGHT,
    PATCH_WIDTH,
    STRIP_BYTES,
    encode_webp,
    main,
    section,
    strip,
    write_page,
)

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_says_what_the_catalog_says() -> None:
    page = (DOCS / "distortions.md").read_text(encoding="utf-8")
    made = page.split(BEGIN)[1].split(END)[0]
    assert made.strip() == section(catalog()).strip(), "run python -m distortions.plates"


def test_every_entry_has_a_small_picture_and_there_are_no_others() -> None:
    pictures = {path.stem: path.stat().st_size for path in (DOCS / "img").glob("*.webp")}
    assert set(pictures) == {entry.name for entry in catalog()}
    assert max(pictures.values()) <= STRIP_BYTES
    assert sum(path.stat().st_size for path in (DOCS / "img").iterdir()) < 3_000_000


def test_a_strip_shows_the_clean_patch_first_and_five_that_differ() -> None:
    (photograph,) = photographs(384, ("coffee",))
    entry = next(entry for entry in catalog() if entry.name == "noise_gaussian_RGB")
    shown = strip(entry, photograph, (40, 30))
    cells = [
        shown[20 : 20 + PATCH_HEIGHT, x : x + PATCH_WIDTH] for x in range(0, shown.shape[1], PATCH_WIDTH + 4)
    ]
    assert len(cells) == 6
    clean = photograph[30 : 30 + PATCH_HEIGHT, 40 : 40 + PATCH_WIDTH]
    assert np.array_equal(cells[0], clean)
    away = [float(np.abs(cell.astype(int) - clean).mean()) for cell in cells]
    assert (np.diff(away) > 0).all()


def test_a_picture_too_rich_for_its_bytes_is_encoded_at_lower_quality() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 1268, 3), dtype=np.uint8)
    assert len(encode_webp(noise)) < len(cv2.imencode(".webp", noise, [cv2.IMWRITE_WEBP_QUALITY, 90])[1])


def test_the_command_draws_one_type_and_leaves_the_page(tmp_path: Path) -> None:
    assert main(["--docs", str(tmp_path), "--names", "pixelate"]) == 0
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["pixelate.webp"]


def test_a_page_without_markers_is_rejected(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here", encoding="utf-8")
    with pytest.raises(ValueError, match="once each"):
        write_page(page, "text")
    assert page.read_text(encoding="utf-8") == "nothing here"
