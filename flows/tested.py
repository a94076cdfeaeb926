"""What `evaluate` puts to the test: models by folder or hub name, and baselines by theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.grounding import open_segmenter
from inference.answers import Strategy
from inference.evaluation import baselines
from inference.evaluation.interface import Model, Opened

COMPARED = ("centre", "whole", "random", "noun")
"""The baselines that `--baselines` runs beside the untrained model."""
_ENDS = 1 << 20


@dataclass(frozen=True)
class Setup:
    """How models are run: the segmenter's name, from words to points, the most tokens of an answer, where and
    in which precision, how many questions together, and the seed of chance.
    """

    segmenter: str = "graph"
    strategy: Strategy = "grid"
    max_tokens: int = 256
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    at_once: int = 8
    seed: int = 0


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
    from inference.models import load_model
    from inference.reading import Sampling
    from inference.sources import ModelSource
    from inference.spider import Spider

    segmenter = open_segmenter(setup.segmenter, setup.device)
    loaded = load_model(name, dtype=setup.dtype, device=setup.device)
    source = ModelSource(loaded, Sampling(max_new_tokens=setup.max_tokens))
    spider = Spider(source, segmenter, setup.strategy, batch=setup.at_once)
    settings: dict[str, Any] = {
        "model": name,
        "files": fingerprint(Path(name)),
        "commit": getattr(loaded.model.config, "_commit_hash", None),
        "dtype": str(loaded.model.dtype),
        "segmenter": setup.segmenter,
        "strategy": setup.strategy,
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


def untrained(name: str) -> str | None:
    """The base of an adapter, None for a model that is no adapter."""
    from inference.models import ADAPTER_CONFIG, base_of

    folder = Path(name)
    return base_of(folder)[0] if (folder / ADAPTER_CONFIG).is_file() else None
