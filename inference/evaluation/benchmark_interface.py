"""What a benchmark, a model under test and a measure are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.grounded_answer import Picture
from schemas.records import Mask

Values = Mapping[str, float | None]
"""An item's numbers by column. None: the column doesn't apply to this item (never: the answer is missing)."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Item:
    """One thing that a benchmark asks.

    `id` is its own in the benchmark; `group` the source image (confidence intervals draw groups, not items);
    `task` the part of the benchmark it counts for. `questions` are a user's turns in order: each is asked
    after the model's own answers to those before. `picture()` decodes the picture when called, (H, W, 3)
    uint8 RGB, and raises SampleError or InputError, with the file's name, for one that can't be read.

    `target` is the true mask of an item that asks where (None for others), in the picture's size;
    `whole_image` says that it is the whole picture. `reference` is the true answer in words, what a judge
    compares with and what the baseline `oracle` says ("" where there is none). `labels` are text columns
    of the results ("class": "blur"). `truth` is what else the benchmark's scorer reads.

    `start` are words that the model's answer is made to begin with. With `words`, nothing is generated:
    the reply are the raw logits of these words as the next one, after the question and `start`.
    """

    id: str
    group: str
    task: str
    questions: tuple[str, ...]
    picture: Callable[[], Picture]
    picture_key: str = ""
    """Equal keys, not empty, mean the same picture: items that share one come one after another where they
    can, and the picture is decoded and looked at once."""
    target: Mask | None = None
    whole_image: bool = False
    reference: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    truth: Any = None
    noun: str = ""
    """The phrase that names what `target` shows ("wooden table"), for segmenters that find by words."""
    start: str = ""
    words: tuple[str, ...] = ()
    ideal: tuple[float, ...] = ()
    """Logits of `words` that the baseline `oracle` answers with."""

    @property
    def asks_where(self) -> bool:
        """Whether the item is answered by a mask."""
        return self.target is not None


@dataclass(frozen=True)
class Reply:
    """What a model made of an item; all of it can be kept as JSON.

    `texts` are its answers in order of the questions, without `start`. `masks` are the regions its first
    answer means, in the picture's size, `scores` theirs in 0..1; `whole_image` that it means the whole
    picture (then `masks` may hold that mask, or be empty). `points` are x, y from 0 to 1 that prompted the
    masks. `words` are the logits of the item's words. `seconds` is the time it took. `error` says in a word
    why there is no answer ("timeout").
    """

    texts: tuple[str, ...] = ()
    masks: tuple[Mask, ...] = ()
    scores: tuple[float, ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    whole_image: bool = False
    words: tuple[float, ...] = ()
    seconds: float = 0.0
    error: str | None = None

    @property
    def text(self) -> str:
        """All answers, one a line."""
        return "\n".join(self.texts)


class Model(Protocol):
    """A model under test, or a baseline.

    `settings` is what its answers depend on, as JSON values (weights, strategy, segmenter, seed): answers
    are kept under a key of it, so equal settings mean equal answers. `at_once` is the number of items it
    likes to be asked together.
    """

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def at_once(self) -> int: ...

    def can_answer(self, item: Item) -> bool:
        """Whether items of this kind are for it: a baseline that only points answers no other question.

        Items that aren't for it have no row in its results. False is about the kind of item, never about
        one that failed.
        """
        ...

    def ask(self, items: Sequence[Item]) -> list[Reply]:
        """A reply for each item, in order; an item that failed gets a Reply with `error`."""
        ...


@dataclass(frozen=True)
class Measure:
    """A number over many items, computed from sums over them.

    `terms` turns the values of `columns` (n, c) into what is summed, (n, k), and `value` turns sums (..., k)
    into the number (...,). Items where a column is None are left out. With `over`, a label's name, the value
    is computed for each class of that label, and the mean of the classes that have one (not NaN) is the
    number. `tasks` are the tasks it is reported for, None for all that have its columns. `better` says which
    end is the good one.
    """

    name: str
    columns: tuple[str, ...]
    terms: Callable[[Numbers], Numbers]
    value: Callable[[Numbers], Numbers]
    over: str | None = None
    tasks: tuple[str, ...] | None = None
    better: str = "higher"


@dataclass(frozen=True)
class Statistic:
    """A number over many items that no sums give, such as a rank correlation: `of` takes the values of
    `columns` (n, c) and returns it, NaN where it isn't defined. The rest is as in `Measure`.
    """

    name: str
    columns: tuple[str, ...]
    of: Callable[[Numbers], float]
    tasks: tuple[str, ...] | None = None
    better: str = "higher"


class Scorer(Protocol):
    """Judges replies: the numbers of each item and how they are summed up. A benchmark is one, a judge model
    another one beside it.
    """

    @property
    def columns(self) -> tuple[str, ...]:
        """The number columns it fills."""
        ...

    @property
    def measures(self) -> tuple[Measure | Statistic, ...]: ...

    def score(self, items: Sequence[Item], replies: Sequence[Reply]) -> list[Values]:
        """The values of each item, in order: a missing or unusable answer scores as wrong, never None."""
        ...


@dataclass(frozen=True)
class Opened:
    """A benchmark's data, read and checked so far that its items can be counted.

    `items()` goes through them in a fixed order and may be called again. `count` is their number. `identity`
    is a hash or digest of what they were read from. `labels` are the text columns that items have.
    """

    items: Callable[[], Iterator[Item]]
    count: int
    identity: str
    labels: tuple[str, ...] = ()


class Benchmark(Scorer, Protocol):
    """A benchmark: its published files to items, and replies to numbers."""

    @property
    def name(self) -> str:
        """What `evaluate` calls it: the name of its file, with `-` for `_`."""
        ...

    @property
    def needs_logits(self) -> bool:
        """Whether items begin the answer (`Item.start`) or read the logits of chosen words (`Item.words`),
        which no server's protocol offers.
        """
        ...

    @property
    def judged(self) -> bool:
        """Whether a model as judge may score the answers too: its items have a `reference` in words."""
        ...

    def open(self, data: Path, limit: int | None) -> Opened:
        """Read the folder (or file) `data`; with `limit` the first items only.

        Raises InputError in one line that names the file, and the record in it, that isn't as published.
        """
        ...
