"""A page to try a model in a browser: picture and question, the answer with masks and probabilities."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable
from importlib.resources import files
from importlib.util import find_spec
from itertools import chain, groupby, repeat
from operator import itemgetter
from typing import Any

from inference.drawing import marked
from inference.grounded_answer import Grounding, Picture, Result, Segmented
from inference.panels import MARKS
from schemas.errors import InputError, SpiderError
from schemas.html_pages import page_templates

Ask = Callable[[str, str], tuple[Picture, Result]]
"""From an uploaded file's path and a question to its picture and the result; may raise SpiderError."""

HOST = "127.0.0.1"
MOST_UPLOADED = "100mb"
MOST_ASKED = 2000
_KEPT_SECONDS = 900
EXAMPLES = (
    "Which region of this picture has the worst quality?",
    "Where is the blur strongest?",
    "Describe the quality of this picture in detail.",
)


def need_gradio() -> None:
    """Raises InputError where Gradio isn't installed."""
    if find_spec("gradio") is None:
        raise InputError("the page needs gradio; pip install 'iqa-spider[app]'")


def build_page(ask: Ask, about: str) -> Any:
    """The page as `gradio.Blocks`; `about` is a line on what answers. Raises InputError without Gradio.

    Nothing is reported to anybody, no font or script comes from elsewhere, and uploaded files are deleted
    after a quarter of an hour.
    """
    need_gradio()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio

    def answered(path: str | None, question: str) -> tuple[Picture, str, str]:
        if path is None:
            raise gradio.Error("Choose a picture first.", duration=8, print_exception=False)
        if not question.strip():
            raise gradio.Error("Ask a question first.", duration=8, print_exception=False)
        if len(question) > MOST_ASKED:
            raise gradio.Error(
                f"The question is longer than {MOST_ASKED} characters.", duration=8, print_exception=False
            )
        try:
            picture, result = ask(path, question)
        except SpiderError as error:
            raise gradio.Error(html.escape(str(error)), duration=None, print_exception=False) from error
        return marked(picture, result), answer_html(result), places_html(result)

    with gradio.Blocks(
        title="IQA-Spider", analytics_enabled=False, delete_cache=(_KEPT_SECONDS, _KEPT_SECONDS)
    ) as page:
        gradio.HTML(
            str(_pieces().heading(about)),
            elem_classes="heading",
        )
        with gradio.Row(equal_height=False):
            with gradio.Column(scale=5, min_width=320):
                picture = gradio.Image(
                    label="Picture", type="filepath", sources=["upload", "clipboard"], height=360,
                    image_mode=None, elem_id="picture", buttons=[],
                )  # fmt: skip
                question = gradio.Textbox(
                    label="Question", value=EXAMPLES[0], lines=2, max_lines=6, max_length=MOST_ASKED,
                    elem_id="question",
                )  # fmt: skip
                button = gradio.Button("Ask", variant="primary", elem_id="ask")
                with gradio.Row(elem_classes="examples"):
                    for example in EXAMPLES:
                        gradio.Button(example, size="sm", variant="secondary").click(
                            _said(example), None, question, api_visibility="private", show_progress="hidden"
                        )
            with gradio.Column(scale=7, min_width=360):
                answer = gradio.HTML(
                    "<p class='empty'>The answer will stand here.</p>", elem_id="answer", min_height=60
                )
                shown = gradio.Image(
                    label="Masks and points", type="numpy", interactive=False, elem_id="shown", format="png",
                    height=460, buttons=["download", "fullscreen"],
                )  # fmt: skip
                places = gradio.HTML("", elem_id="places")
        events = [button.click, question.submit]
        for event in events:
            event(
                answered, [picture, question], [shown, answer, places], api_visibility="private",
                concurrency_limit=1, concurrency_id="model", show_progress_on=shown,
            )  # fmt: skip
    return page


def serve(page: Any, port: int, say: Callable[[str], None] | None = None) -> str:
    """Serve the page on this machine alone, and return its address; with `say`, say it and wait for the end.

    Raises InputError when the port is taken.
    """
    import gradio

    sans = [
        "system-ui",
        "-apple-system",
        "Segoe UI",
        "Roboto",
        "Liberation Sans",
        "DejaVu Sans",
        "sans-serif",
    ]
    theme = gradio.themes.Default(primary_hue="teal", neutral_hue="stone", font=sans, font_mono=["monospace"])
    try:
        _, address, _ = page.launch(
            server_name=HOST, server_port=port, share=False, inbrowser=False, quiet=True, ssr_mode=False,
            pwa=False, mcp_server=False, enable_monitoring=False, footer_links=[], prevent_thread_lock=True,
            max_file_size=MOST_UPLOADED, theme=theme,
            css=(files("inference") / "page.css").read_text(encoding="utf-8"),
        )  # fmt: skip
    except OSError as error:
        raise InputError(f"port {port} of {HOST} can't be taken: {error}; give another --port") from error
    if say is not None:
        say(f"the page is at {address} (stop with Ctrl+C)")
        page.block_thread()
    return str(address)


def _said(text: str) -> Callable[[], str]:
    return lambda: text


def answer_html(result: Result) -> str:
    """The answer, its position words in the colors of their groundings; all that the model wrote is text."""
    text = result.answer.text
    spans = [] if result.placed.whole_image else [item.span for item in result.placed.groundings]
    owner: list[int | None] = [None] * len(text)
    for k, (start, end) in reversed(list(enumerate(spans))):
        for place in range(start, min(end, len(text))):
            owner[place] = k
    pieces = [
        ("".join(character for _, character in run), None if k is None else _color(k))
        for k, run in groupby(zip(owner, text, strict=True), key=itemgetter(0))
    ]
    return str(_pieces().answer(pieces if text.strip() else []))


def places_html(result: Result) -> str:
    """A card for each place: words, 3x3 map, probabilities, points and mask; or why there is none."""
    masks: Iterable[Segmented | None] = chain(result.masks, repeat(None))
    cards = [
        _card(k, grounding, mask, result.answer.text)
        for k, (grounding, mask) in enumerate(zip(result.placed.groundings, masks, strict=False))
    ]
    return str(_pieces().places(result, cards))


def _pieces() -> Any:
    """The macros of the page's template."""
    return page_templates("inference").get_template("page.html").module


def _card(k: int, grounding: Grounding, mask: Segmented | None, text: str) -> dict[str, Any]:
    """What the template shows of a place; `cells` are (probability, strength of the color in percent)."""
    facts = []
    if mask is not None:
        share = 100 * float(mask.mask.mean())
        facts.append(f"mask {share:.1f}% of the picture, score {mask.score:.2f}")
        if mask.fallback:
            facts.append(f"no candidate fitted: {mask.fallback}")
    if grounding.uncertain:
        facts.append("uncertain: the map is flat")
    most = max(float(grounding.map.max()), 1e-9)
    return {
        "color": _color(k),
        "grounding": grounding,
        "words": text[slice(*grounding.span)],
        "cells": [(value, 100 * (value / most) ** 0.7) for value in grounding.map.ravel().tolist()],
        "facts": facts,
    }


def _color(k: int) -> str:
    red, green, blue = MARKS[k % len(MARKS)]
    return f"#{red:02x}{green:02x}{blue:02x}"
