"""What `evaluate` puts to the test: models by folder, hub name or server, and baselines by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.grounding.open import check_server, open_segmenter, open_spider
from inference.evaluation import baselines
from inference.evaluation.benchmark_interface import Benchmark, Model, Opened
from schemas.choices import BASELINES, Dtype, Strategy
from schemas.errors import InputError

if TYPE_CHECKING:
    from inference.spider import Spider

COMPARED = BASELINES[1:]
"""The baselines that `--baselines` runs beside the untrained model."""
_ENDS = 1 << 20


@dataclass(frozen=True)
class Setup:
    """How models are run: the segmenter's name, from words to points, the maximum tokens per answer, where
    and in which precision, how many questions together, the seed of chance, the model's revision on the hub,
    the file of its temperatures, and the address of the server it is behind (None: it is loaded here).
    """

    segmenter: str = "graph"
    strategy: Strategy = "grid"
    max_tokens: int = 256
    device: str = "auto"
    dtype: Dtype = "auto"
    at_once: int = 8
    seed: int = 0
    revision: str | None = None
    calibration: Path | None = None
    server: str | None = None


def check(name: str, setup: Setup, benchmark: Benchmark) -> None:
    """Raises InputError, before anything is read or asked, for what can't go with a server."""
    if setup.server is None:
        return
    from inference.server_source import ServerSource

    if benchmark.needs_logits:
        raise InputError(
            f"{benchmark.name}: begins the model's answer and reads the logits of its next word, which "
            "--server can't give; load the model here, by --model alone"
        )
    if name in BASELINES:
        raise InputError(f"--model {name} is a baseline, which asks no server; leave out --server")
    check_server(
        setup.server,
        revision=setup.revision,
        device=setup.device,
        dtype=setup.dtype,
        segmenter=setup.segmenter,
        with_calibration=setup.calibration is not None,
    )
    ServerSource(setup.server, name)


def named(name: str, setup: Setup, opened: Opened) -> Model:
    """A baseline of this name, else the model. Raises InputError for what can't be loaded."""
    from inference.segmenters.noun import by_noun

    simple: dict[str, Callable[[], Model]] = {
        "oracle": lambda: baselines.Oracle(),
        "whole": lambda: baselines.WholePicture(),
        "center": lambda: baselines.Center(open_segmenter(setup.segmenter, setup.device)),
        "random": lambda: baselines.Chance(
            open_segmenter(setup.segmenter, setup.device), opened.items(), setup.seed
        ),
        "noun": lambda: baselines.Noun(open_segmenter(setup.segmenter, setup.device), by_noun),
    }
    if name in simple:
        return simple[name]()
    return language_model(name, setup) if setup.server is None else served_model(name, setup)


def language_model(name: str, setup: Setup) -> Model:
    """A model of transformers, or an adapter trained here, with its answers grounded. Raises InputError."""
    from inference.evaluation.local_model import LanguageModel
    from inference.sources import ModelSource

    spider = _opened(name, setup)
    spider.batch = setup.at_once
    if not isinstance(spider.source, ModelSource):
        raise TypeError(f"{name} was opened as {type(spider.source).__name__}")
    loaded = spider.source.loaded
    settings: dict[str, Any] = {
        "model": name,
        "revision": setup.revision,
        "files": fingerprint(Path(name)),
        "commit": getattr(loaded.model.config, "_commit_hash", None),
        "dtype": str(loaded.model.dtype),
        **_reading(setup, spider),
    }
    return LanguageModel(
        name, settings, loaded.model, loaded.processor, spider.ask_many, setup.at_once, setup.max_tokens
    )


def served_model(name: str, setup: Setup) -> Model:
    """The model of this name behind the server of the setup, with its answers grounded. Raises InputError."""
    from inference.evaluation.served_model import ServedModel
    from inference.server_source import ServerSource

    spider = _opened(name, setup)
    if not isinstance(spider.source, ServerSource):
        raise TypeError(f"{name} was opened as {type(spider.source).__name__}")
    source = replace(spider.source, in_flight=setup.at_once)
    return ServedModel(name, _reading(setup, spider), source, spider.grounded)


def _opened(name: str, setup: Setup) -> Spider:
    return open_spider(
        name,
        revision=setup.revision,
        server=setup.server,
        segmenter=open_segmenter(setup.segmenter, setup.device),
        strategy=setup.strategy,
        max_tokens=setup.max_tokens,
        device=setup.device,
        dtype=setup.dtype,
        calibration=setup.calibration,
    )


def _reading(setup: Setup, spider: Spider) -> dict[str, Any]:
    """The settings of the way from words to masks."""
    return {
        "segmenter": setup.segmenter,
        "strategy": setup.strategy,
        "temperatures": [spider.temperatures.horizontal, spider.temperatures.vertical],
    }


def fingerprint(folder: Path) -> str | None:
    """A hash over the names, sizes and ends of a folder's files: other weights, another hash. None for a name
    that is not a folder.
    """
    if not folder.is_dir():
        return None
    found = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_ENDS)
            file.seek(max(0, size - _ENDS))
            tail = file.read(_ENDS)
        for part in (path.name.encode(), str(size).encode(), head, tail):
            found.update(hashlib.sha256(part).digest())
    return found.hexdigest()


def untrained(name: str) -> tuple[str, str | None] | None:
    """Name and revision of an adapter's base, None for a model that isn't an adapter. Raises InputError."""
    from inference.load_model import base_of
    from schemas.model_files import ADAPTER_CONFIG

    folder = Path(name)
    return base_of(folder) if (folder / ADAPTER_CONFIG).is_file() else None
