"""What `evaluate` puts to the test: models by folder or hub name, and baselines by theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.grounding import open_segmenter, open_spider
from inference.answers import Strategy
from inference.evaluation import baselines
from inference.evaluation.interface import Model, Opened

COMPARED = ("centre", "whole", "random", "noun")
"""The baselines that `--baselines` runs beside the untrained model."""
_ENDS = 1 << 20


@dataclass(frozen=True)
class Setup:
    """How models are run: the segmenter's name, from words to points, the most tokens of an answer, where and
    in which precision, how many questions together, the seed of chance, the model's revision on the hub, and
    the file of its temperatures.
    """

    segmenter: str = "graph"
    strategy: Strategy = "grid"
    max_tokens: int = 256
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    at_once: int = 8
    seed: int = 0
    revision: str | None = None
    calibration: Path | None = None


def named(name: str, setup: Setup, opened: Opened) -> Model:
    """A baseline of this name, else the model. Raises InputError for what can't be loaded."""
    from inference.segmenters.noun import by_noun

    simple: dict[str, Callable[[], Model]] = {
        "oracle": lambda: baselines.Oracle(),
        "whole": lambda: baselines.WholePicture(),
        "centre": lambda: baselines.Centre(open_segmenter(setup.segmenter, setup.device)),
        "random": lambda: baselines.Chance(
            open_segmenter(setup.segmenter, setup.device), opened.items(), setup.seed
        ),
        "noun": lambda: baselines.Noun(open_segmenter(setup.segmenter, setup.device), by_noun),
    }
    return simple[name]() if name in simple else language_model(name, setup)


def language_model(name: str, setup: Setup) -> Model:
    """A model of transformers, or an adapter of ours, with its answers grounded. Raises InputError."""
    from inference.evaluation.models import LanguageModel
    from inference.sources import ModelSource

    spider = open_spider(
        name,
        revision=setup.revision,
        server=None,
        segmenter=open_segmenter(setup.segmenter, setup.device),
        strategy=setup.strategy,
        max_tokens=setup.max_tokens,
        device=setup.device,
        dtype=setup.dtype,
        calibration=setup.calibration,
    )
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
        "segmenter": setup.segmenter,
        "strategy": setup.strategy,
        "temperatures": [spider.temperatures.horizontal, spider.temperatures.vertical],
    }
    return LanguageModel(
        name, settings, loaded.model, loaded.processor, spider.ask_many, setup.at_once, setup.max_tokens
    )


def fingerprint(folder: Path) -> str | None:
    """A hash over the names, sizes and ends of a folder's files: other weights, another hash. None for a name
    that is no folder.
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
    """Name and revision of an adapter's base, None for a model that is no adapter. Raises InputError."""
    from inference.models import ADAPTER_CONFIG, base_of

    folder = Path(name)
    return base_of(folder) if (folder / ADAPTER_CONFIG).is_file() else None
