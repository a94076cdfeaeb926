"""A model of transformers under test: grounded answers through Spider, dialogues and next words beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inference.evaluation import dialogues
from inference.evaluation.ask_by_kind import Asked, Asking, reply_of
from inference.evaluation.benchmark_interface import Item, Reply
from inference.evaluation.dialogues import Talk
from inference.generate import own_words
from inference.grounded_answer import Picture, Result

AskMany = Callable[[Sequence[tuple[Picture, str]]], Sequence[Result]]
"""Spider: one result for each picture and its question; the same picture may come several times."""
AT_ONCE = 8
MAX_NEW_TOKENS = 256


class LanguageModel:
    """A vision-language model, with what turns its answers into masks.

    Items that ask where go through `ask_many`; others are answered in words, question after question, each
    after the model's own answers; items with `words` are read off the next word's logits. A question that
    holds a word of the model's own template, and a picture that can't be decoded, give a Reply with `error`.
    """

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any],
        model: Any,
        processor: Any,
        ask_many: AskMany,
        at_once: int = AT_ONCE,
        max_new_tokens: int = MAX_NEW_TOKENS,
    ) -> None:
        self.name, self.at_once = name, at_once
        self.settings: Mapping[str, Any] = {**settings, "max_new_tokens": max_new_tokens}
        self._model, self._processor, self._ask_many = model, processor, ask_many
        self._most = max_new_tokens
        self._asking = Asking(own_words(processor))

    def can_answer(self, item: Item) -> bool:
        return True

    def ask(self, items: Sequence[Item]) -> list[Reply]:
        return self._asking.ask(items, _kind, self._answer)

    def _answer(self, kind: tuple[str, bool], asked: Sequence[Asked]) -> list[Reply]:
        return {"where": self._where, "words": self._words, "talk": self._talk}[kind[0]](asked)

    def _where(self, asked: Sequence[Asked]) -> list[Reply]:
        found = self._ask_many([(picture, item.questions[0]) for item, picture in asked])
        return [reply_of(result) for result in found]

    def _words(self, asked: Sequence[Asked]) -> list[Reply]:
        talks = [Talk(picture, item.questions[0], (), item.start) for item, picture in asked]
        found = dialogues.next_words(self._model, self._processor, talks, [item.words for item, _ in asked])
        return [Reply(words=logits) for logits in found]

    def _talk(self, asked: Sequence[Asked]) -> list[Reply]:
        said: list[list[str]] = [[] for _ in asked]
        for turn in range(max(len(item.questions) for item, _ in asked)):
            going = [place for place, (item, _) in enumerate(asked) if turn < len(item.questions)]
            talks = [_next_talk(*asked[place], said[place]) for place in going]
            found = dialogues.continue_dialogues(self._model, self._processor, talks, self._most)
            for place, text in zip(going, found, strict=True):
                said[place].append(text)
        return [Reply(tuple(texts)) for texts in said]


def _kind(item: Item) -> tuple[str, bool]:
    """How an item is answered; batches of `dialogues` all have a `start`, or none."""
    if item.words:
        return "words", bool(item.start)
    return ("where", False) if item.asks_where else ("talk", bool(item.start))


def _next_talk(item: Item, picture: Picture, said: Sequence[str]) -> Talk:
    turns = tuple(zip(item.questions[: len(said)], said, strict=True))
    return Talk(picture, item.questions[len(said)], turns, item.start)
