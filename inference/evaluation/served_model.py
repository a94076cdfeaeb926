"""A model behind a server under test: requests side by side, each item's failure its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from time import perf_counter
from typing import Any, TypeVar

import numpy as np

from annotation.chat.messages import LostCallError
from annotation.chat.server_transport import ServerTransport
from inference.evaluation.ask_by_kind import Asked, Asking, reply_of
from inference.evaluation.benchmark_interface import Item, Reply
from inference.grounded_answer import Picture, Result
from inference.server_source import ServerSource
from inference.sources import Spoken
from schemas.errors import InputError, SampleError

Ground = Callable[[Sequence[tuple[Picture, str]], Sequence[tuple[Spoken, float]]], Sequence[Result]]
"""Spider.grounded: results of pictures and questions from their answers and the seconds these took."""
_Got = TypeVar("_Got")
_One = Callable[[ServerTransport, Picture, Sequence[str]], _Got]
_TRIAL = np.full((64, 64, 3), 127, np.uint8), ("Is this picture blurred?",)
"""What is asked to learn whether the server answers anything at all."""


class ServedModel:
    """A vision-language model behind a server, with what turns its answers into masks.

    Items that ask where are grounded from the log-probabilities that the server returns; others are talks,
    for which it needs none. As many items as the source has in flight are asked together. A request that is
    lost or refused is a Reply with `error` for its item alone. When all of a kind in a batch fail, the server
    is asked for something easy: if it doesn't answer that either, no call can succeed and the run ends.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], source: ServerSource, ground: Ground) -> None:
        self.name, self.at_once = name, source.in_flight
        self.settings: Mapping[str, Any] = {
            **settings,
            "model": source.model,
            "server": source.url.rstrip("/"),
            "max_new_tokens": source.sampling.max_new_tokens,
        }
        self._source = replace(source, again="evaluate again: every answer so far is kept")
        self._ground = ground
        self._asking = Asking()

    def can_answer(self, item: Item) -> bool:
        return True

    def ask(self, items: Sequence[Item]) -> list[Reply]:
        """Raises InputError for what the server refuses whatever is asked (key, address, model, logprobs) and
        for items that no chat can put, BuildError for a server that answers nothing.
        """
        for item in items:
            if item.start or item.words:
                raise InputError(
                    f"item {item.id}: a server can't continue a given answer or choose among given words; "
                    "load the model here"
                )
        return self._asking.ask(items, lambda item: item.asks_where, self._answer)

    def _answer(self, where: bool, asked: Sequence[Asked]) -> list[Reply]:
        return self._where(asked) if where else self._talks(asked)

    def _where(self, asked: Sequence[Asked]) -> list[Reply]:
        def one(
            transport: ServerTransport, picture: Picture, questions: Sequence[str]
        ) -> tuple[Spoken, float]:
            begun = perf_counter()
            return self._source.answer(transport, picture, questions[0]), perf_counter() - begun

        found = self._all(asked, one)
        told = [place for place, got in enumerate(found) if not isinstance(got, SampleError)]
        asks = [(asked[place][1], asked[place][0].questions[0]) for place in told]
        results = iter(self._ground(asks, [got for got in found if not isinstance(got, SampleError)]))
        return [
            Reply(error=_word(got)) if isinstance(got, SampleError) else reply_of(next(results))
            for got in found
        ]

    def _talks(self, asked: Sequence[Asked]) -> list[Reply]:
        found = self._all(asked, self._source.talk)
        return [Reply(error=_word(got)) if isinstance(got, SampleError) else Reply(got) for got in found]

    def _all(self, asked: Sequence[Asked], one: _One[_Got]) -> list[_Got | SampleError]:
        """What each item got, in order, or what it failed of."""
        pool = ThreadPoolExecutor(self._source.in_flight)
        with closing(self._source.connect()) as transport:
            try:
                waiting = [
                    pool.submit(_tried, one, transport, picture, item.questions) for item, picture in asked
                ]
                found = [each.result() for each in waiting]
            finally:
                pool.shutdown(cancel_futures=True)
            if all(isinstance(got, SampleError) for got in found):
                self._try_out(transport, one)
        return found

    def _try_out(self, transport: ServerTransport, one: _One[_Got]) -> None:
        """Raises what is wrong with the server, if it is the server and not what it was asked."""
        try:
            one(transport, *_TRIAL)
        except SampleError as error:
            raise self._source.explain(error) from error


def _tried(
    one: _One[_Got], transport: ServerTransport, picture: Picture, questions: Sequence[str]
) -> _Got | SampleError:
    try:
        return one(transport, picture, questions)
    except SampleError as error:
        return error


def _word(error: SampleError) -> str:
    """What counts of failures tell apart."""
    return error.kind if isinstance(error, LostCallError) else error.reason
