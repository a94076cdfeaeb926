"""The back ends with a model: a conversation for each row, by a server, in process, or replayed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from annotation.chat.messages import Call, Reply, Speaker, Transport
from annotation.qa.backend import BackendSettings, Dialogue, HopelessError, Identity, PictureLoader, Request
from annotation.qa.vlm import structured
from annotation.qa.vlm.conversation import Conversation, view_of
from annotation.qa.vlm.prompts import Prompts, load_prompts
from schemas.config import VlmConfig
from schemas.errors import BuildError, SampleError

GENERATOR = "vlm"
"""How provenance calls them all: they differ in how a model is reached and not in what it says."""


@dataclass(frozen=True)
class Opened:
    """A speaker and what has to be closed with it."""

    speaker: Speaker
    closing: ExitStack


class VlmBackend:
    """Writes dialogues by conversation with a model. `connect` is called at the first row, once."""

    def __init__(self, config: VlmConfig, prompts: Prompts, connect: Callable[[], Opened]) -> None:
        self._config, self._prompts, self._connect = config, prompts, connect
        self._identity = Identity(GENERATOR, config.model, config.revision, prompts.version)
        self._lock = threading.Lock()
        self._opened: Opened | None = None
        self._closed = False
        self._conversations: WeakKeyDictionary[PictureLoader, Conversation] = WeakKeyDictionary()

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def needs_picture(self) -> bool:
        return True

    def write(self, request: Request) -> Dialogue:
        """The dialogue of a row, from the picture on; turns that were answered before cost nothing.

        Raises HopelessError when the model can't take the conversation (too long for it, say), ReplyError
        when its reply is no dialogue, BuildError or InputError when the model can't be reached at all.
        """
        conversation = self._conversation(request)
        try:
            opening = conversation.opening(view_of(request.draft), self._ask)
            reasons, replies = request.reasons or ("",), request.replies or (None,)
            call = conversation.last(opening, request.draft, request.attempt, replies[-1], reasons[-1])
            reply = self._ask(call)
        except SampleError as error:
            raise HopelessError(error.reason, error.detail) from error
        return Dialogue(structured.parse(reply, request.draft.task), reply.text)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._opened is not None:
                self._opened.closing.close()
                self._opened = None

    def _ask(self, call: Call) -> Reply:
        with self._lock:
            if self._closed:
                raise BuildError("the back end was closed while rows were written; build again")
            if self._opened is None:
                self._opened = self._connect()
            speaker = self._opened.speaker
        return speaker.ask(call)

    def _conversation(self, request: Request) -> Conversation:
        """One for all rows of a sample, as long as its picture's loader lives."""
        if request.picture is None:
            raise ValueError("a model has to be shown the picture")
        with self._lock:
            known = self._conversations.get(request.picture)
        if known is None:
            known = Conversation(self._config, self._prompts, request.sample, request.seed, request.picture())
            with self._lock:
                known = self._conversations.setdefault(request.picture, known)
        return known


Reach = Callable[[VlmConfig, int], Transport]
"""Makes the transport to a model, which bounds the requests in flight by the second argument."""


def create_vlm(settings: BackendSettings, reach: Reach | None) -> VlmBackend:
    """A back end whose model is reached by `reach`, None for the cached replies alone; nothing is opened yet.

    Raises InputError for prompts that can't be used.
    """
    config = settings.vlm or VlmConfig()

    def connect() -> Opened:
        if settings.store is None and config.cache is None:
            raise ValueError("no place for the model's replies: give a store or vlm.cache")
        return _open(reach, config, settings.store or Path(), settings.in_flight)

    return VlmBackend(config, load_prompts(config.prompts), connect)


def _open(reach: Reach | None, config: VlmConfig, store: Path, in_flight: int) -> Opened:
    from annotation.chat.cached_speaker import CachedSpeaker
    from annotation.chat.reply_cache import ReplyCache, cache_path

    with ExitStack() as closing:
        cache = closing.enter_context(ReplyCache(cache_path(store, config), create=reach is not None))
        transport = None if reach is None else reach(config, in_flight)
        if transport is not None:
            closing.callback(transport.close)
        return Opened(CachedSpeaker(cache, transport), closing.pop_all())
