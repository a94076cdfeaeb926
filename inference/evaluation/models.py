"""A model of transformers under test: grounded answers through Spider, dialogues and next words beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from inference.answers import Picture, Result
from inference.evaluation import dialogues
from inference.evaluation.dialogues import Talk
from inference.evaluation.interface import Item, Reply
from inference.reading import own_words
from schemas import masks
from schemas.errors import SampleError

AskMany = Callable[[Sequence[tuple[Picture, str]]], Sequence[Result]]
"""Spider: one result for each picture and its question; the same picture may come several times."""
AT_ONCE = 8
MAX_NEW_TOKENS = 256
_Asked = list[tuple[Item, Picture]]


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
        self._special = own_words(processor)
        self._last: tuple[str, Picture] | None = None

    def answers(self, item: Item) -> bool:
        return True

    def ask(self, items: Sequence[Item]) -> list[Reply]:
        replies: dict[str, Reply] = {}
        where: _Asked = []
        words: dict[bool, _Asked] = {}
        talks: dict[bool, _Asked] = {}
        for item in items:
            picture = self._picture(item)
            if isinstance(picture, Reply):
                replies[item.id] = picture
            elif item.words:
                words.setdefault(bool(item.start), []).append((item, picture))
            elif item.asks_where:
                where.append((item, picture))
            else:
                talks.setdefault(bool(item.start), []).append((item, picture))
        parts = [(self._where, where), *((self._words, part) for part in words.values())]
        for answer, asked in [*parts, *((self._talk, part) for part in talks.values())]:
            if asked:
                start = perf_counter()
                found = answer(asked)
                seconds = (perf_counter() - start) / len(asked)
                for (item, _), reply in zip(asked, found, strict=True):
                    replies[item.id] = replace(reply, seconds=seconds)
        return [replies[item.id] for item in items]

    def _picture(self, item: Item) -> Picture | Reply:
        """The item's picture, the same array as before for the same picture; or why it can't be asked."""
        if any(word in question for question in item.questions for word in self._special):
            return Reply(error="special-token")
        if self._last is not None and item.picture_key and self._last[0] == item.picture_key:
            return self._last[1]
        try:
            picture = item.picture()
        except SampleError as error:
            return Reply(error=error.reason)
        self._last = item.picture_key, picture
        return picture

    def _where(self, asked: _Asked) -> list[Reply]:
        found = self._ask_many([(picture, item.questions[0]) for item, picture in asked])
        return [reply_of(result) for result in found]

    def _words(self, asked: _Asked) -> list[Reply]:
        talks = [Talk(picture, item.questions[0], (), item.start) for item, picture in asked]
        found = dialogues.next_words(self._model, self._processor, talks, [item.words for item, _ in asked])
        return [Reply(words=logits) for logits in found]

    def _talk(self, asked: _Asked) -> list[Reply]:
        said: list[list[str]] = [[] for _ in asked]
        for turn in range(max(len(item.questions) for item, _ in asked)):
            going = [place for place, (item, _) in enumerate(asked) if turn < len(item.questions)]
            talks = [_next_talk(*asked[place], said[place]) for place in going]
            found = dialogues.answers(self._model, self._processor, talks, self._most)
            for place, text in zip(going, found, strict=True):
                said[place].append(text)
        return [Reply(tuple(texts)) for texts in said]


def _next_talk(item: Item, picture: Picture, said: Sequence[str]) -> Talk:
    turns = tuple(zip(item.questions[: len(said)], said, strict=True))
    return Talk(picture, item.questions[len(said)], turns, item.start)


def reply_of(result: Result) -> Reply:
    """What a benchmark reads of a result: all points of all groundings, one mask each."""
    points = [tuple(point) for one in result.placed.groundings for point in one.points.tolist()]
    if result.placed.whole_image:
        return Reply((result.answer.text,), whole_image=True)
    return Reply(
        (result.answer.text,),
        tuple(masks.encode(one.mask) for one in result.masks),
        tuple(one.score for one in result.masks),
        tuple((float(x), float(y)) for x, y in points),
    )
