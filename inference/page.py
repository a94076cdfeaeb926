"""A page to try a model in a browser: picture and question, the answer with masks and probabilities."""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from inference.answers import Axis, Grounding, Picture, Result, Segmented
from inference.drawing import marked
from inference.panels import MARKS
from schemas.errors import InputError, SpiderError
from schemas.foreign_text import visible

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
        raise InputError("the page needs gradio; pip install 'iqa-spider[demo]'")


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
            "<header><h1>IQA-Spider</h1><p>Ask where a picture is damaged, and how. The logits of the "
            "position words become points, the points prompt a segmenter.</p>"
            f"<p class='about'>{html.escape(visible(about))}</p></header>",
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


def serve(page: Any, port: int, wait: bool = True) -> str:
    """Serve the page on this machine alone, and return its address, at once unless `wait`.

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
    if wait:
        print(f"the page is at {address} (stop with Ctrl+C)", flush=True)
        page.block_thread()
    return str(address)


def _said(text: str) -> Callable[[], str]:
    return lambda: text


def answer_html(result: Result) -> str:
    """The answer, its position words in the colours of their groundings; all that the model wrote is text."""
    text = result.answer.text
    spans = [] if result.placed.whole_image else [item.span for item in result.placed.groundings]
    owner: list[int | None] = [None] * len(text)
    for k, (start, end) in reversed(list(enumerate(spans))):
        for place in range(start, min(end, len(text))):
            owner[place] = k
    parts: list[str] = []
    begin = 0
    for place in range(1, len(text) + 1):
        if place == len(text) or owner[place] != owner[begin]:
            said = html.escape(visible(text[begin:place], keep_lines=True))
            mark = owner[begin]
            parts.append(said if mark is None else f"<mark style='background:{_colour(mark)}'>{said}</mark>")
            begin = place
    body = "".join(parts) if text.strip() else "<span class='empty'>The model says nothing.</span>"
    return f"<p class='answer'>{body}</p>"


def places_html(result: Result) -> str:
    """A card for each place: words, 3x3 map, probabilities, points and mask; or why there is none."""
    if result.placed.whole_image:
        cards = "<p class='empty'>The answer is about the whole picture; no segmenter was asked.</p>"
    elif not result.placed.groundings:
        cards = "<p class='empty'>The answer names no place.</p>"
    else:
        masks: list[Segmented | None] = [*result.masks]
        masks += [None] * (len(result.placed.groundings) - len(masks))
        cards = "".join(
            _card(k, grounding, mask, result.answer.text)
            for k, (grounding, mask) in enumerate(zip(result.placed.groundings, masks, strict=True))
        )
    notes = "".join(f"<p class='note'>{html.escape(visible(note))}</p>" for note in result.notes)
    took = " · ".join(f"{html.escape(part)} {value:.2f} s" for part, value in result.seconds.items())
    return f"<div class='cards'>{cards}</div>{notes}<p class='note'>{took}</p>"


def _card(k: int, grounding: Grounding, mask: Segmented | None, text: str) -> str:
    words = html.escape(visible(text[slice(*grounding.span)]))
    noun = f"{html.escape(visible(grounding.noun))}, " if grounding.noun else ""
    facts = []
    if mask is not None:
        share = 100 * float(mask.mask.mean())
        facts.append(f"mask {share:.1f}% of the picture, score {mask.score:.2f}")
        if mask.fallback:
            facts.append(f"no candidate fitted: {html.escape(visible(mask.fallback))}")
    if grounding.uncertain:
        facts.append("uncertain: the map is flat")
    rows = _row("left to right", grounding.horizontal) + _row("top to bottom", grounding.vertical)
    return (
        f"<section class='card'><h3><span class='number' style='background:{_colour(k)}'>{k + 1}</span>"
        f"{noun}{words}</h3><div class='reading'>{_map(k, grounding)}<div>"
        f"<table><tbody>{rows}</tbody></table><p class='note'>{'; '.join(facts)}</p></div></div></section>"
    )


def _row(name: str, axis: Axis | None) -> str:
    if axis is None:
        return f"<tr><th>{name}</th><td class='empty' colspan='3'>not said</td></tr>"
    cells = "".join(
        f"<td>{html.escape(word)} <b>{value:.3f}</b></td>"
        for word, value in zip(axis.classes, axis.probabilities.tolist(), strict=True)
    )
    return f"<tr><th>{name}</th>{cells}</tr>"


def _map(k: int, grounding: Grounding) -> str:
    most = max(float(grounding.map.max()), 1e-9)
    cells = "".join(
        f"<i style='background:color-mix(in srgb,{_colour(k)} {100 * (value / most) ** 0.7:.0f}%,"
        f"var(--map))'>{100 * value:.0f}</i>"
        for value in grounding.map.ravel().tolist()
    )
    return (
        f"<div class='map' role='img' aria-label='probabilities of the nine cells, in percent'>{cells}</div>"
    )


def _colour(k: int) -> str:
    red, green, blue = MARKS[k % len(MARKS)]
    return f"#{red:02x}{green:02x}{blue:02x}"
