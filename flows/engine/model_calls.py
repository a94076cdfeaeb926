"""What a build will ask a model: requests and tokens, how many are answered, and the time they take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from annotation.chat.messages import Call, Reply
from annotation.chat.reply_cache import ReplyCache, Share, cache_path, call_key
from annotation.qa import RowWriter, drafts
from annotation.qa.tasks import Draft
from annotation.qa.vlm.conversation import OPENING_TURNS, Conversation, view_of
from annotation.qa.vlm.dialogue_backend import Opened, VlmBackend
from annotation.qa.vlm.prompts import Prompts, load_prompts
from flows.stages.distort import DistortedSample
from flows.stages.job import Job
from schemas.config import BuildConfig, VlmConfig
from schemas.errors import SampleError
from schemas.pictures import load_png
from schemas.records import Sample
from schemas.shards import Item, read_items, read_picture
from schemas.store import Store

MOST_WALKED = 300
"""Samples whose conversations are looked up; of more than these, evenly spread ones represent the rest."""
TYPICAL = {"hyd": (5, 3), "sid": (5, 3), "dao": (5, 3), "single": (4, 2), "whole": (2, 1), "pristine": (3, 3)}
"""Rows and views of a sample by its kind, where no sample is planned yet."""
PICTURE_TOKENS = 13 * 256
"""InternVL: at most 12 tiles and the whole picture, 256 tokens each."""
TEXT_TOKENS, REPLY_TOKENS = 1000, 120


@dataclass(frozen=True)
class RequestForecast:
    """Requests a build needs at least, one attempt a row that isn't begun; `cached` of them are answered.

    Tokens are those of the requests left. `rate` is in requests a second as the cache's replies came in, None
    where it holds too few. `exact` says whether all samples are known and were looked up.
    """

    requests: int
    cached: int
    prompt_tokens: int
    reply_tokens: int
    rate: float | None
    exact: bool

    @property
    def left(self) -> int:
        return self.requests - self.cached

    @property
    def seconds(self) -> float | None:
        """The time the requests left will take, None if nothing was measured."""
        if not self.left:
            return 0.0
        return self.left / self.rate if self.rate else None


@dataclass
class _Count:
    """Requests of some samples: all, those answered, and the pictures that those left show."""

    samples: int = 0
    requests: int = 0
    cached: int = 0
    pictures: int = 0

    def scaled(self, factor: float) -> _Count:
        return _Count(
            round(self.samples * factor),
            round(self.requests * factor),
            round(self.cached * factor),
            round(self.pictures * factor),
        )

    def add(self, other: _Count) -> None:
        self.samples += other.samples
        self.requests += other.requests
        self.cached += other.cached
        self.pictures += other.pictures


def _samples(store: Store, key: str) -> Iterator[Item[DistortedSample]]:
    return read_items(store, "distort", key)


def forecast_requests(
    jobs: Sequence[Job], pictures: dict[str, int], waiting: int, config: BuildConfig, store: Store
) -> RequestForecast:
    """Count what the annotate `jobs`, whose shards are missing, will ask.

    `pictures` gives the number of photographs a job deals with, `waiting` those no job is made for yet.
    """
    vlm = config.annotate.vlm or VlmConfig()
    known = [job for job in jobs if store.find("distort", job.content["distort"]) is not None]
    unknown = waiting + sum(pictures[job.key] for job in jobs if job not in known)
    samples = [
        (job.content["distort"], place, sample)
        for job in known
        for place, item in enumerate(_samples(store, job.content["distort"]))
        if drafts(sample := Sample.model_validate(item.record["sample"]))
    ]
    with _cache(cache_path(store.root, vlm)) as cache:
        count = _count(samples, cache, config, vlm, store)
        here = sum(pictures[job.key] for job in known)
        if unknown:
            count.add(count.scaled(unknown / here) if here else _typical(config).scaled(unknown))
        share = _share(cache, vlm)
        rate = cache.rate(vlm.model, vlm.revision) if cache is not None else None
    left = count.requests - count.cached
    asked, said = _tokens(share)
    return RequestForecast(
        count.requests,
        count.cached,
        round(left * asked) if asked else left * TEXT_TOKENS + count.pictures * PICTURE_TOKENS,
        round(left * said),
        rate,
        not unknown and len(samples) <= MOST_WALKED,
    )


@contextmanager
def _cache(path: Path) -> Iterator[ReplyCache | None]:
    if not path.is_file():
        yield None
        return
    with ReplyCache(path, create=False) as cache:
        yield cache


def _share(cache: ReplyCache | None, vlm: VlmConfig) -> Share | None:
    shares = cache.stats().shares if cache is not None else ()
    return next((s for s in shares if (s.model, s.revision) == (vlm.model, vlm.revision)), None)


def _tokens(share: Share | None) -> tuple[float, float]:
    """Tokens of a request and of a reply as measured; (0, REPLY_TOKENS) where the server doesn't count."""
    if share is None or not share.prompt_tokens:
        return 0.0, REPLY_TOKENS
    return share.prompt_tokens / share.replies, share.completion_tokens / share.replies


def _typical(config: BuildConfig) -> _Count:
    """What a photograph asks for when every sample can be planned."""
    total = _Count()
    for kind, number in config.distort.samples.counts().items():
        rows, views = TYPICAL[kind]
        asked = 1 + (OPENING_TURNS - 1) * views + rows
        total.add(_Count(number, asked * number, 0, round(2.5 * asked) * number))
    return total


def _count(
    samples: Sequence[tuple[str, int, Sample]],
    cache: ReplyCache | None,
    config: BuildConfig,
    vlm: VlmConfig,
    store: Store,
) -> _Count:
    total = _Count()
    if cache is None:
        for _, _, sample in samples:
            total.add(_least(sample))
        return total
    prompts = load_prompts(vlm.prompts)
    chosen = samples
    if len(samples) > MOST_WALKED:
        chosen = [samples[i * len(samples) // MOST_WALKED] for i in range(MOST_WALKED)]
    for distort_key, place, sample in chosen:
        picture = load_png(read_picture(store, "distort", distort_key, place, sample.sample_id))
        total.add(_Walk(cache, config, vlm, prompts, sample, picture).count())
    return total.scaled(len(samples) / len(chosen)) if chosen else total


def _least(sample: Sample) -> _Count:
    """A sample's requests when every row passes at its first attempt and nothing is answered yet."""
    rows = drafts(sample)
    views = {view_of(draft) for draft in rows}
    pictures = 1 + sum((OPENING_TURNS - 1) * _picture_count(view) for view in views)
    pictures += sum(_picture_count(view_of(draft)) for draft in rows)
    return _Count(1, 1 + (OPENING_TURNS - 1) * len(views) + len(rows), 0, pictures)


def _picture_count(view: str | None) -> int:
    """Pictures that a request from the second turn on shows."""
    return 2 if view is None else 3


class _MissingError(Exception):
    pass


class _Walk:
    """One sample's conversations as far as the cache has them."""

    def __init__(
        self,
        cache: ReplyCache,
        config: BuildConfig,
        vlm: VlmConfig,
        prompts: Prompts,
        sample: Sample,
        picture: np.ndarray,
    ) -> None:
        self._cache, self._config, self._sample = cache, config, sample
        self._answered: set[str] = set()
        self._load = lambda: picture
        self._conversation = Conversation(vlm, prompts, sample, config.seed, picture)
        self._backend = VlmBackend(vlm, prompts, lambda: Opened(self, ExitStack()))

    def ask(self, call: Call) -> Reply:
        key = call_key(call)
        reply = self._cache.get(key)
        if reply is None:
            raise _MissingError
        self._answered.add(key)
        return reply

    def count(self) -> _Count:
        rows = drafts(self._sample)
        views = dict.fromkeys(view_of(draft) for draft in rows)
        whole = [view for view in views if self._opened(view)]
        opening = len(self._answered)
        left = 1 + (OPENING_TURNS - 1) * len(views) - opening
        pictures = left * 2
        for draft in rows:
            if view_of(draft) not in whole or not self._is_written(draft):
                left += 1
                pictures += _picture_count(view_of(draft))
        return _Count(1, left + len(self._answered), len(self._answered), pictures)

    def _opened(self, view: str | None) -> bool:
        try:
            self._conversation.opening(view, self.ask)
        except (_MissingError, SampleError):
            return False
        return True

    def _is_written(self, draft: Draft) -> bool:
        """Whether the cache leads to this row's end."""
        attempts = self._config.annotate.attempts
        writer = RowWriter(draft, self._sample, self._backend, attempts, self._config.seed, self._load)
        try:
            writer.write()
        except _MissingError:
            return False
        return True
