"""The judge of `evaluate`: the OpenAI-compatible model behind it, every reply kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import InputError, SampleError

if TYPE_CHECKING:
    from annotation.chat.cached_speaker import CachedSpeaker
    from annotation.chat.messages import Call
    from annotation.chat.reply_cache import ReplyCache
    from inference.evaluation.judge import Judge, JudgeCall
    from schemas.config import VlmConfig

API_KEY = "IQA_SPIDER_JUDGE_API_KEY"
TEMPERATURE = 0.7
MAX_TOKENS = 1024
IN_FLIGHT = 8
DEADLINE = 120.0
RETRIES = 1
"""A call goes to the server up to six times before it is lost: twice for each of the speaker's rounds."""


class ServedJudge:
    """A judge model behind a server, its replies in a cache."""

    def __init__(self, config: VlmConfig, cache: ReplyCache, speaker: CachedSpeaker) -> None:
        self._config, self._cache, self._speaker = config, cache, speaker

    @property
    def name(self) -> str:
        return self._config.model

    @property
    def settings(self) -> Mapping[str, Any]:
        return {name: getattr(self._config, name) for name in ("temperature", "top_p", "max_tokens")}

    def kept(self, call: JudgeCall) -> str | SampleError | None:
        """From the cache alone."""
        from annotation.chat.reply_cache import call_key

        key = call_key(self._call(call))
        reply = self._cache.get(key)
        return reply.text if reply is not None else self._cache.refusal(key)

    def ask(self, call: JudgeCall) -> str:
        """The cache first, then the server, whose reply is kept before it is used."""
        return self._speaker.ask(self._call(call)).text

    def _call(self, call: JudgeCall) -> Call:
        from annotation.chat.messages import Call, Sampling, Turn

        config = self._config
        turns = (Turn("system", call.system), Turn("user", call.question))
        sampling = Sampling(config.temperature, config.top_p, config.max_tokens, call.seed)
        return Call(config.model, None, call.version, turns, sampling)


@contextmanager
def served(
    url: str,
    model: str,
    rubrics: list[str] | None,
    cache: Path,
    deadline: float = DEADLINE,
    retries: int = RETRIES,
) -> Iterator[Judge]:
    """A judge on the server at `url`; the connection and the cache are closed with the block.

    Raises InputError for an address, model or rubric that can't be one.
    """
    from annotation.chat.cached_speaker import CachedSpeaker
    from annotation.chat.reply_cache import ReplyCache
    from annotation.chat.server_transport import ServerTransport, Wording
    from inference.evaluation.judge import Judge
    from inference.evaluation.rubric import NAMES, load_rubric

    loaded = tuple(load_rubric(name) for name in rubrics or NAMES)
    names = [rubric.name for rubric in loaded]
    if len(set(names)) < len(names):
        raise InputError(f"--rubric: two rubrics are named {max(names, key=names.count)}; rename one")
    config = _config(url, model, deadline, retries)
    wording = Wording("--judge", "--judge-model", "evaluate again: every answer so far is kept")
    with ExitStack() as stack:
        replies = stack.enter_context(ReplyCache(cache))
        transport = stack.enter_context(closing(ServerTransport(config, IN_FLIGHT, wording)))
        speaker = CachedSpeaker(replies, transport)
        yield Judge(ServedJudge(config, replies, speaker), loaded, at_once=IN_FLIGHT)


def _config(url: str, model: str, deadline: float, retries: int) -> VlmConfig:
    from pydantic import ValidationError

    from schemas.config import VlmConfig

    try:
        return VlmConfig(
            model=model,
            url=url,
            temperature=TEMPERATURE,
            top_p=1.0,
            max_tokens=MAX_TOKENS,
            api_key_env=API_KEY,
            deadline=deadline,
            retries=retries,
        )
    except ValidationError as error:
        option = "--judge-model" if error.errors()[0]["loc"] == ("model",) else "--judge"
        raise InputError(
            f"{option}: {error.errors()[0]['msg']}; give an address as http://127.0.0.1:23333/v1"
        ) from error
