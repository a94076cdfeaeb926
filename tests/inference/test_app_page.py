"""The page in a browser: it answers, shows nothing of anybody's markup, and asks nobody else."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.app_page import HOST, answer_html, build_page, places_html, serve
from inference.grounded_answer import Picture, Result
from schemas.errors import InputError
from schemas.pictures import encode, load_png
from tests.conftest import photograph
from tests.inference.results import TEXT, answer, grounding, nowhere, two_places, whole
from tests.waiting import LAST_RESORT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<img src=x onerror=alert(1)>\"'&\u202e left"


class Tags(HTMLParser):
    """The tags of a piece of HTML, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_an_answer_marks_its_position_words() -> None:
    page = answer_html(two_places((40, 60)))
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", page) == ["top left", "right"]
    assert Tags(page).text == TEXT


def test_what_a_model_writes_is_never_markup() -> None:
    harmless = replace(nowhere(), answer=answer("a b left"))
    attacked = replace(nowhere(), answer=answer(EVIL), notes=(EVIL,))
    evil = grounding(EVIL, "left", (0.8, 0.1, 0.1), (0.2, 0.5, 0.3), noun=EVIL)
    plain = grounding("a b left", "left", (0.8, 0.1, 0.1), (0.2, 0.5, 0.3), noun="a")
    attacked = replace(attacked, placed=replace(attacked.placed, groundings=(evil,)))
    harmless = replace(harmless, notes=("x",), placed=replace(harmless.placed, groundings=(plain,)))
    for render in (answer_html, places_html):
        assert Tags(render(attacked)).found == Tags(render(harmless)).found
        assert "\u202e" not in render(attacked)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (whole((20, 20)), "about the whole picture"),
        (nowhere(), "names no place"),
        (two_places((20, 20)), "not said"),
    ],
)
def test_the_places_are_listed(result: Result, words: str) -> None:
    assert words in Tags(places_html(result)).text


def test_the_page_says_how_to_get_gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.app_page.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"iqa-spider\[app\]"):
        build_page(lambda _path, _question: (np.zeros((1, 1, 3), np.uint8), nowhere()), "")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page whose model sees two places, and breaks when asked to."""
    pytest.importorskip("gradio")
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))

    def ask(path: str, question: str) -> tuple[Picture, Result]:
        picture = load_png(Path(path).read_bytes())
        if "break" in question:
            raise InputError("the question <b>breaks</b> the model; ask another")
        return picture, replace(two_places(picture.shape), question=question)

    page = build_page(ask, "tiny <model>, segmenter graph")
    try:
        yield serve(page, _free_port())
    finally:
        page.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_a_taken_port_is_one_line(address: str) -> None:
    page = build_page(lambda _path, _question: (np.zeros((1, 1, 3), np.uint8), nowhere()), "")
    with pytest.raises(InputError, match="--port"):
        serve(page, int(address.rstrip("/").rsplit(":", 1)[1]))


def test_the_page_listens_on_this_machine_alone(address: str) -> None:
    assert address.startswith(f"http://{HOST}:")
    with socket.socket() as probe:
        probe.settimeout(2)
        with pytest.raises(OSError, match=r".*"):
            probe.connect(("127.0.0.2", int(address.rstrip("/").rsplit(":", 1)[1])))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_works_in_a_browser(address: str, tmp_path: Path) -> None:
    api: Any = pytest.importorskip("playwright.sync_api")
    picture = tmp_path / "astronaut.png"
    picture.write_bytes(encode(np.ascontiguousarray(photograph("astronaut", 320))))
    with api.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 1200})
        tab.set_default_timeout(LAST_RESORT * 1000)
        asked: list[str] = []
        wrong: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto(address)
        assert "tiny <model>" in tab.inner_text(".about")

        tab.click("#ask")
        tab.wait_for_selector("text=Choose a picture first.")

        tab.set_input_files("#picture input[type=file]", str(picture))
        tab.wait_for_selector("#picture img")
        tab.click("text=Where is the blur strongest?")
        tab.wait_for_function("document.querySelector('#question textarea').value.startsWith('Where')")
        tab.click("#ask")
        tab.wait_for_selector("#answer mark")
        assert tab.locator("#answer mark").all_inner_texts() == ["top left", "right"]
        tab.wait_for_selector("#shown img")
        shown = tab.evaluate("document.querySelector('#shown img').naturalWidth")
        assert shown >= 320
        assert tab.locator("#places .card").count() == 2
        assert "0.820" in tab.inner_text("#places")
        cells = tab.locator("#places .card").first.locator(".map i").all_inner_texts()
        assert cells == ["57", "8", "4", "16", "2", "1", "8", "1", "1"]

        tab.fill("#question textarea", "Please break")
        tab.click("#ask")
        tab.wait_for_selector("text=the question <b>breaks</b> the model; ask another")
        tab.screenshot(path=str(tmp_path / "page.png"), full_page=True)

        tab.set_viewport_size({"width": 390, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= 400
        browser.close()
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert outside == []
    assert wrong == []
