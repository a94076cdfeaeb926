"""A model behind a server under test: requests side by side, each item's failure its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any, TypeVar

import httpx
import numpy as np

from inference.answers import Picture, Result
from inference.chat import LostError, RefusedError
from inference.evaluation.asking import Asked, Asking, reply_of
from inference.evaluation.interface import Item, Reply
from inference.server import ServerSource
from inference.sources import Spoken
from schemas.errors import BuildError, InputError

Ground = Callable[[Sequence[tuple[Picture, str]], Sequence[tuple[Spoken, float]]], Sequence[Result]]
"""Spider.grounded: results of pictures and questions from their answers and the seconds these took."""
Failed = LostError | RefusedError
_Got = TypeVar("_Got")
_One = Callable[[httpx.Client, Picture, Sequence[str]], _Got]
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
        self._source, self._ground = source, ground
        self._asking = Asking()

    def answers(self, item: Item) -> bool:
        return True

    def ask(self, items: Sequence[Item]) -> list[Reply]:
        """Raises InputError for what the server refuses whatever is asked (key, address, model, logprobs) and
        for items that no chat can put, BuildError for a server that answers nothing.
        """
        for item in items:
            if item.start or item.words:
                raise InputError(
                    f"item {item.id}: a server can't be told how an answer begins or asked for chosen words; "
                    "load the model here"
                )
        return self._asking.ask(items, lambda item: item.asks_where, self._answer)

    def _answer(self, where: bool, asked: Sequence[Asked]) -> list[Reply]:
        return self._where(asked) if where else self._talks(asked)

    def _where(self, asked: Sequence[Asked]) -> list[Reply]:
        def one(client: httpx.Client, picture: Picture, questions: Sequence[str]) -> tuple[Spoken, float]:
            begun = perf_counter()
            return self._source.answer(client, picture, questions[0]), perf_counter() - begun

        found = self._all(asked, one)
        told = [place for place, got in enumerate(found) if not isinstance(got, Failed)]
        asks = [(asked[place][1], asked[place][0].questions[0]) for place in told]
        results = iter(self._ground(asks, [got for got in found if not isinstance(got, Failed)]))
        return [
            Reply(error=got.reason) if isinstance(got, Failed) else reply_of(next(results)) for got in found
        ]

    def _talks(self, asked: Sequence[Asked]) -> list[Reply]:
        found = self._all(asked, self._source.talk)
        return [Reply(error=got.reason) if isinstance(got, Failed) else Reply(got) for got in found]

    def _all(self, asked: Sequence[Asked], one: _One[_Got]) -> list[_Got | Failed]:
        """What each item got, in order, or what it failed of."""
        pool = ThreadPoolExecutor(self._source.in_flight)
        with self._source.connect() as client:
            try:
                waiting = [
                    pool.submit(_tried, one, client, picture, item.questions) for item, picture in asked
                ]
                found = [each.result() for each in waiting]
            finally:
                pool.shutdown(cancel_futures=True)
            if all(isinstance(got, Failed) for got in found):
                self._try_out(client, one)
        return found

    def _try_out(self, client: httpx.Client, one: _One[_Got]) -> None:
        """Raises what is wrong with the server, if it is the server and not what it was asked."""
        try:
            one(client, *_TRIAL)
        except LostError as error:
            raise BuildError(f"{error}, and evaluate again: what was answered is kept") from error


def _tried(
    one: _One[_Got], client: httpx.Client, picture: Picture, questions: Sequence[str]
) -> _Got | Failed:
    try:
        return one(client, picture, questions)
    except LostError as error:
        return error
    except RefusedError as error:
        if not error.of_request:
            raise
        return error
