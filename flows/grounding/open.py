"""Models and segmenters as a command line names them, opened."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from logging import ERROR, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flows.grounding.region_input import RgbImage, open_picture
from schemas.errors import InputError

if TYPE_CHECKING:
    from inference.grounded_answer import Result, Segmenter
    from inference.spider import Spider
    from schemas.choices import Dtype, Strategy


def open_spider(
    model: str,
    *,
    revision: str | None,
    server: str | None,
    segmenter: Segmenter,
    strategy: Strategy,
    max_tokens: int,
    device: str,
    dtype: Dtype,
    calibration: Path | None = None,
) -> Spider:
    """The model that the command line names, in front of a segmenter. Raises InputError."""
    from inference.calibration import load
    from inference.generate import PROMPT, Sampling
    from inference.points import ONE
    from inference.sources import named
    from inference.spider import Spider

    sampling = Sampling(max_new_tokens=max_tokens)
    temperatures = ONE
    if calibration is not None:
        way: Literal["paper", "grid"] = "paper" if strategy == "paper" else "grid"
        temperatures = load(calibration, named(model, revision), PROMPT, way).temperatures
    if server is None:
        return Spider(
            model,
            segmenter,
            strategy,
            temperatures=temperatures,
            sampling=sampling,
            revision=revision,
            dtype=dtype,
            device=device,
        )
    from inference.server_source import ServerSource

    return Spider(ServerSource(server, model, sampling), segmenter, strategy, temperatures=temperatures)


def check_server(
    server: str | None,
    *,
    revision: str | None,
    device: str,
    dtype: str,
    segmenter: str,
    with_calibration: bool,
) -> None:
    """Raises InputError for options of a model that is loaded here, where one behind a server is asked: the
    revision names a calibration's model, the device is a SAM's, and nothing else would use them.
    """
    if server is None:
        return
    idle = {
        "--dtype": dtype != "auto",
        "--device": device != "auto" and segmenter == "graph",
        "--revision": revision is not None and not with_calibration,
    }
    for option, given in idle.items():
        if given:
            raise InputError(f"{option}: with --server nothing uses it, the model runs there; leave it out")


def open_segmenter(name: str, device: str) -> Segmenter:
    """The segmenter that the command line names. Raises InputError."""
    quiet_models()
    from inference.segmenters import make_segmenter

    return make_segmenter(name, device)


def quiet_models() -> None:
    """From here on transformers shows no progress bars and gives no advice: errors are one line."""
    if find_spec("transformers") is not None:
        from transformers.utils import logging as told

        getLogger("huggingface_hub").setLevel(ERROR)
        logging: Any = told
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def serve_page(opened: Callable[[], Spider], port: int, say: Callable[[str], None]) -> None:
    """The page of the command `app`, until it is stopped; the model is opened when all else is there.

    Raises InputError.
    """
    from inference.app_page import build_page, need_gradio, serve

    need_gradio()
    spider = opened()

    def ask(path: str, question: str) -> tuple[RgbImage, Result]:
        picture = open_picture(Path(path))
        return picture, spider.ask(picture, question)

    serve(build_page(ask, spider.about), port, say)
