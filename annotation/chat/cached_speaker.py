"""The one who asks: the cache first, then the model, and what the model said is kept before it is used."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, replace

from annotation.chat.messages import Call, Reply, Transport
from annotation.chat.reply_cache import ReplyCache, call_key
from schemas.errors import BuildError, SampleError

ROUNDS = 3
"""How often a call that used up its transport's tries goes to the transport."""


@dataclass(frozen=True)
class Counts:
    """Calls asked so far, those among them the cache or another thread's request answered, those sent and
    answered, and the tokens of these as the model counts them.
    """

    asked: int = 0
    cached: int = 0
    sent: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class CachedSpeaker:
    """Answers from `cache`; a call it doesn't know goes through `transport`, once however many threads ask.

    Without a transport it replays, also that a call got no reply (SampleError); a call the cache doesn't know
    is a BuildError.
    """

    def __init__(self, cache: ReplyCache, transport: Transport | None) -> None:
        self._cache = cache
        self._transport = transport
        self._lock = threading.Lock()
        self._open: dict[str, Future[Reply]] = {}
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        """What was asked of this speaker so far."""
        with self._lock:
            return self._counts

    def ask(self, call: Call) -> Reply:
        """The model's next turn. Raises what the transport raises, in every thread that waits for it."""
        key = call_key(call)
        reply = self._cache.get(key)
        if reply is not None:
            self._count(asked=1, cached=1)
            return reply
        if self._transport is None:
            refusal = self._cache.refusal(key)
            if refusal is not None:
                raise refusal
            raise BuildError(
                f"{self._cache.path}: no reply of {call.model} to this turn (prompt version "
                f"{call.prompt_version}) is kept here, and the back end 'replay' calls no model; "
                "build with 'server' or 'lmdeploy' first, or give the cache that such a build left"
            )
        with self._lock:
            waiting = self._open.get(key)
            mine = waiting is None
            if waiting is None:
                waiting = self._open[key] = Future()
        if not mine:
            reply = waiting.result()
            self._count(asked=1, cached=1)
            return reply
        try:
            waiting.set_result(self._fetch(key, call, self._transport))
        except BaseException as error:
            waiting.set_exception(error)
        finally:
            with self._lock:
                del self._open[key]
        return waiting.result()

    def _fetch(self, key: str, call: Call, transport: Transport) -> Reply:
        """Ask the model, unless another thread's reply came between the look-up and now."""
        kept = self._cache.get(key)
        if kept is not None:
            self._count(asked=1, cached=1)
            return kept
        try:
            reply = _persistent(transport, call)
        except SampleError as error:
            self._cache.put_refusal(key, call, error)
            raise
        # A reply may hold half of a surrogate pair, which no file of text can.
        reply = replace(reply, text=reply.text.encode("utf-8", "replace").decode())
        kept = self._cache.put(key, call, reply)
        self._count(1, 0, 1, reply.prompt_tokens, reply.completion_tokens)
        return kept

    def _count(self, asked: int, cached: int, sent: int = 0, prompt: int = 0, completion: int = 0) -> None:
        with self._lock:
            had = self._counts
            self._counts = Counts(
                had.asked + asked,
                had.cached + cached,
                had.sent + sent,
                had.prompt_tokens + prompt,
                had.completion_tokens + completion,
            )


def _persistent(transport: Transport, call: Call) -> Reply:
    """A call lost to the network is sent again, so that a row's fate depends on the model and not on the
    weather; a transport stops the build where all calls get lost.
    """
    for _ in range(ROUNDS - 1):
        try:
            return transport.complete(call)
        except SampleError as error:
            if error.reason != "no-answer":
                raise
    return transport.complete(call)
