"""Spider: a picture and a question to an answer, the places it names, their points and their masks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from inference.generate import Sampling
from inference.grounded_answer import Encoded, Grounding, Picture, Result, Segmented, Segmenter
from inference.load_model import load_model
from inference.points import ONE, Temperatures, text_to_point
from inference.segmenters import make_segmenter
from inference.sources import ModelSource, Source, Spoken
from schemas.choices import STRATEGIES, Dtype, Strategy
from schemas.errors import InputError


class Spider:
    """Grounding without training: the logits of the position words an answer utters become points, the points
    prompt a segmenter; an answer about the whole picture becomes the full mask without it.

    `model` is a hub name, a folder, the folder of a trained adapter, or a source of answers
    (`inference.sources`, `inference.server_source`). `segmenter` is "graph", the name or folder of a SAM, or
    a segmenter; it looks at each picture once for any number of questions. `temperatures` calibrate the
    softmax of each axis (`inference.points`). `batch` questions are answered at a
    time. `revision`, `dtype`, `device` and `sampling` are for a model that is loaded here. Raises InputError
    for what can't be loaded.
    """

    def __init__(
        self,
        model: str | Path | Source,
        segmenter: str | Segmenter = "graph",
        strategy: Strategy = "grid",
        *,
        temperatures: Temperatures = ONE,
        batch: int = 8,
        sampling: Sampling | None = None,
        revision: str | None = None,
        dtype: Dtype = "auto",
        device: str = "auto",
    ) -> None:
        if batch < 1:
            raise InputError(f"batch: {batch} is below 1")
        if strategy not in STRATEGIES:
            raise InputError(f"strategy: {strategy!r} is none of {', '.join(STRATEGIES)}")
        self.strategy: Strategy = strategy
        self.temperatures = temperatures
        self.batch = batch
        self.segmenter = make_segmenter(segmenter, device) if isinstance(segmenter, str) else segmenter
        if isinstance(model, str | Path):
            self.source: Source = ModelSource(load_model(model, revision, dtype, device), sampling)
        else:
            self.source = model

    @property
    def about(self) -> str:
        """What answers and how, on one line."""
        return f"{self.source.name}, segmenter {self.segmenter.name}, strategy {self.strategy}"

    def ask(self, image: Picture, question: str) -> Result:
        """Answer a question about a (H, W, 3) uint8 RGB picture. Raises InputError for a question that can't
        be put, ValueError for another array.
        """
        return self.ask_many([(image, question)])[0]

    def ask_many(self, asks: Sequence[tuple[Picture, str]]) -> list[Result]:
        """Answer each question about its picture, in order; `batch` of them are generated together.

        Equal pictures are encoded once. "answer" in a result's seconds is its share of the batch's.
        """
        for image, _ in asks:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
                raise ValueError(f"a picture is (H, W, 3) uint8 with pixels, not {image.shape} {image.dtype}")
        spoken: list[tuple[Spoken, float]] = []
        for begin in range(0, len(asks), self.batch):
            spoken += self._spoken(asks[begin : begin + self.batch])
        return self.grounded(asks, spoken)

    def grounded(
        self, asks: Sequence[tuple[Picture, str]], spoken: Sequence[tuple[Spoken, float]]
    ) -> list[Result]:
        """The results of questions that are answered already, each with the seconds its answer took."""
        results: list[Result | None] = [None] * len(asks)
        for members in _by_picture([image for image, _ in asks]):
            looked = _Looked(self.segmenter, asks[members[0]][0])
            for member in members:
                results[member] = self._result(asks[member], *spoken[member], looked)
        return [result for result in results if result is not None]

    def _spoken(self, asks: Sequence[tuple[Picture, str]]) -> list[tuple[Spoken, float]]:
        begun = time.perf_counter()
        found = self.source.ask_all([image for image, _ in asks], [question for _, question in asks])
        each = (time.perf_counter() - begun) / len(asks)
        return [(item, each) for item in found]

    def _result(self, ask: tuple[Picture, str], spoken: Spoken, answering: float, looked: _Looked) -> Result:
        image, question = ask
        answer, vocabulary, notes = spoken
        seconds = {"answer": answering}
        begun = time.perf_counter()
        first: Strategy = "paper" if self.strategy == "paper" else "grid"
        placed = text_to_point(answer, vocabulary, first, self.temperatures)
        seconds["points"] = time.perf_counter() - begun
        if placed.whole_image:
            everything = Segmented(np.ones(image.shape[:2], bool), 1.0, 0)
            return Result(question, answer, placed, (everything,), seconds, notes)
        if not placed.groundings:
            return Result(question, answer, placed, (), seconds, notes)
        encoded, seconds["encode"] = looked.encoded()
        begun = time.perf_counter()
        if self.strategy == "proposal":
            regions = encoded.regions()
            placed = text_to_point(answer, vocabulary, "proposal", self.temperatures, regions)
        elif self.strategy == "grid":
            placed = text_to_point(answer, vocabulary, "grid", self.temperatures, parts=encoded.parts())
        masks = _masks(placed.groundings, encoded)
        seconds["segment"] = time.perf_counter() - begun
        return Result(question, answer, placed, masks, seconds, notes)


def _masks(groundings: Sequence[Grounding], encoded: Encoded) -> tuple[Segmented, ...]:
    """The region that a grounding chose, or what the segmenter sees at its points."""
    pointed = [grounding.points for grounding in groundings if grounding.region is None]
    seen = iter(encoded.segment(pointed) if pointed else [])
    return tuple(
        next(seen)
        if grounding.region is None
        else Segmented(grounding.region.mask, grounding.region.score, 0)
        for grounding in groundings
    )


class _Looked:
    """A picture that is encoded when somebody first needs it."""

    def __init__(self, segmenter: Segmenter, image: Picture) -> None:
        self._segmenter = segmenter
        self._image = image
        self._encoded: Encoded | None = None

    def encoded(self) -> tuple[Encoded, float]:
        """The encoded picture, and the seconds that encoding took now."""
        begun = time.perf_counter()
        if self._encoded is None:
            self._encoded = self._segmenter.encode(self._image)
        return self._encoded, time.perf_counter() - begun


def _by_picture(images: Sequence[Picture]) -> Iterator[list[int]]:
    """The numbers of equal pictures together, in the order of their first."""
    groups: dict[tuple[tuple[int, ...], bytes], list[int]] = {}
    known: dict[int, tuple[tuple[int, ...], bytes]] = {}
    for number, image in enumerate(images):
        if id(image) not in known:
            digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
            known[id(image)] = (image.shape, digest)
        groups.setdefault(known[id(image)], []).append(number)
    yield from groups.values()
