"""What models under test do alike: pictures of items, kinds of items in turn, and results as replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TypeVar

from inference.evaluation.benchmark_interface import Item, Reply
from inference.grounded_answer import Picture, Result
from schemas import masks
from schemas.errors import SampleError

Asked = tuple[Item, Picture]
_Kind = TypeVar("_Kind")


class Asking:
    """Asks items kind by kind. `special` are words that no question may hold, those of a model's template."""

    def __init__(self, special: Sequence[str] = ()) -> None:
        self._special = special
        self._last: tuple[str, Picture] | None = None

    def ask(
        self,
        items: Sequence[Item],
        kind: Callable[[Item], _Kind],
        answer: Callable[[_Kind, Sequence[Asked]], Sequence[Reply]],
    ) -> list[Reply]:
        """A reply for each item, in order; `answer` gets all items of a kind with their pictures. An item
        whose picture can't be decoded or whose question can't be put has a Reply with `error`.
        """
        replies: dict[str, Reply] = {}
        kinds: dict[_Kind, list[Asked]] = {}
        for item in items:
            picture = self._picture(item)
            if isinstance(picture, Reply):
                replies[item.id] = picture
            else:
                kinds.setdefault(kind(item), []).append((item, picture))
        for each, asked in kinds.items():
            start = perf_counter()
            found = answer(each, asked)
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
