"""The chat protocol OpenAI-compatible servers speak: a call as a request, an answer as a reply or a fault."""

from __future__ import annotations

import base64
import email.utils
import json
import math
import re
import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from annotation.chat.messages import Call, LossKind, Reply, Schema, TokenStep, Turn
from schemas.errors import SampleError

DROPPABLE = ("response_format", "max_completion_tokens", "seed", "top_p")
"""Fields of a request that a server may refuse; it is then asked without them. `max_completion_tokens` then
goes by its older name."""

LOST_CALLS = 10
"""So many calls in a row that got no answer, without one reply between them, stop the build."""
_MESSAGE_CHARS = 300
_LEAST_LOGPROB = math.log(1e-9)
"""Servers write minus infinity in several ways."""
_OVERFLOW = re.compile(
    r"context[ _](length|window|size)|maximum (context|sequence)|session[ _]len|too many tokens"
    r"|(prompt|input)( is)?( too)? (long|length|tokens)|exceeds? the (model|maximum)",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(
    r"model\b.{0,200}\b(not|n't|unknown|no such)\b.{0,40}\b(exist|found|served|available|loaded|support)"
    r"|(unknown|invalid|no such|wrong) model|model_not_found|is pinned to",
    re.IGNORECASE | re.DOTALL,
)


_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError)


class Refusal(Enum):
    """Why a server turned a request down with a 4xx."""

    KEY = auto()
    MODEL = auto()
    OVERFLOW = auto()
    FIELD = auto()
    REQUEST = auto()
    ADDRESS = auto()


class BrokenReply(Exception):
    """A reply that isn't a chat completion, whatever its status says; its text says in which way."""

    def __init__(self, text: str, kind: LossKind = "not-a-completion") -> None:
        super().__init__(text)
        self.kind: LossKind = kind


@dataclass(frozen=True)
class Fault:
    """What a server says went wrong: one line of its own words, and the field it names, if it does."""

    kind: Refusal
    words: str
    field: str | None = None


def response_format(schema: Schema) -> dict[str, Any]:
    """How a JSON schema is asked for."""
    return {"type": "json_schema", "json_schema": {"name": schema.name, "schema": dict(schema.schema)}}


def request_body(call: Call, refused: frozenset[str]) -> bytes:
    """The request's JSON, without the fields the server has `refused`."""
    sampling = call.sampling
    fields: dict[str, Any] = {
        "model": call.model,
        "messages": [_message(turn) for turn in call.turns],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_completion_tokens": sampling.max_tokens,
        "seed": sampling.seed,
    }
    if call.schema is not None:
        fields["response_format"] = response_format(call.schema)
    if sampling.repetition_penalty is not None:
        fields["repetition_penalty"] = sampling.repetition_penalty
    if call.top_logprobs:
        fields |= {"logprobs": True, "top_logprobs": call.top_logprobs}
    sent = {name: value for name, value in fields.items() if name not in refused}
    if "max_completion_tokens" in refused:
        sent["max_tokens"] = sampling.max_tokens
    return json.dumps(sent).encode()


def _message(turn: Turn) -> dict[str, Any]:
    if not turn.pictures:
        return {"role": turn.role, "content": turn.text}
    items: list[dict[str, Any]] = [
        {
            "type": "image_url",
            "image_url": {
                "url": f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode()}"
            },
        }
        for picture in turn.pictures
    ]
    return {"role": turn.role, "content": [*items, {"type": "text", "text": turn.text}]}


def read_reply(body: bytes, *, logprobs: bool = False) -> Reply:
    """The reply in a 200, with its steps if `logprobs` were asked for and are there.

    Raises BrokenReply for anything else than a chat completion, SampleError for one that holds no answer and
    never will.
    """
    try:
        told = json.loads(body)
        choice = told["choices"][0]
        message, reason = choice["message"], choice.get("finish_reason")
        text, refusal = message.get("content"), message.get("refusal")
        usage = told.get("usage") or {}
        tokens = (_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))
        returned = (choice.get("logprobs") or {}).get("content") if logprobs else None
        steps = tuple(_token_step(item) for item in returned or [])
    except _MALFORMED as error:
        raise BrokenReply(f"a reply that is no chat completion ({one_line(_decoded(body), 60)!r})") from error
    if refusal or reason == "content_filter":
        raise SampleError("content-refused", one_line(str(refusal or "the server's content filter"), 200))
    if reason in ("error", "abort"):
        raise BrokenReply(f"a reply broken off by the server (finish_reason {reason!r})")
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise BrokenReply("a reply whose content is no text")
    if not text and reason == "length":
        raise SampleError(
            "context-overflow", "the server had no room for an answer; raise its session length"
        )
    text = text.encode("utf-8", "replace").decode()  # Half of a surrogate pair is no character.
    return Reply(text, "length" if reason == "length" else "stop", *tokens, steps)


def _token_step(item: Any) -> TokenStep:
    """One entry of a reply's log-probabilities; of a token that is returned twice the likelier counts."""
    logprobs: dict[bytes, float] = {}
    for each in [item, *(item.get("top_logprobs") or [])]:
        value = float(each["logprob"])
        if math.isnan(value):
            raise ValueError("not a number")
        token = _token_bytes(each)
        logprobs[token] = max(logprobs.get(token, -math.inf), min(value, 0.0), _LEAST_LOGPROB)
    return TokenStep(_token_bytes(item), logprobs)


def _token_bytes(entry: Any) -> bytes:
    """A token may be a part of a character, which only its bytes can tell."""
    raw = entry.get("bytes")
    if raw and not isinstance(raw, list):
        raise TypeError("bytes are a list of numbers")
    return bytes(raw) if raw else str(entry["token"]).encode("utf-8", "replace")


def _count(told: Any) -> int:
    """A count of tokens as a server gives it; what is no such count is unknown, 0."""
    return told if type(told) is int and 0 <= told < 2**31 else 0


def read_fault(status: int, body: bytes, asked: bytes) -> Fault:
    """What a 3xx or 4xx means; `asked` is the request's body, whose fields a fault may name."""
    words = said(body)
    if status in (401, 403):
        return Fault(Refusal.KEY, words)
    if status in (400, 404, 413, 422):
        if status != 404 and _OVERFLOW.search(words):
            return Fault(Refusal.OVERFLOW, words)
        if status != 404 and (named := _named_field(words, asked)):
            return Fault(Refusal.FIELD, words, named)
        if status == 404 or _NO_MODEL.search(words):
            return Fault(Refusal.MODEL, words)
        return Fault(Refusal.REQUEST, words)
    return Fault(Refusal.ADDRESS, words)


def _named_field(words: str, asked: bytes) -> str | None:
    """The droppable field that the server complains about, among those it was sent."""
    for name in DROPPABLE:
        aliases = (name, "json_schema", "guided") if name == "response_format" else (name,)
        if f'"{name}":'.encode() in asked and any(
            re.search(rf"\b{alias}", words, re.IGNORECASE) for alias in aliases
        ):
            return name
    return None


def said(body: bytes) -> str:
    """The server's own words about an error, on one line, be they in "error", "message" or "detail"."""
    text = _decoded(body)
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return one_line(text)
    for name in ("error", "message", "detail"):
        if isinstance(told, dict) and told.get(name):
            told = told[name]
    if isinstance(told, dict) and told.get("message"):
        told = told["message"]
    return one_line(told if isinstance(told, str) else json.dumps(told))


def served_models(body: bytes) -> list[str]:
    """The names in a reply to GET /models. Raises BrokenReply."""
    try:
        return [str(model["id"]) for model in json.loads(body)["data"]]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise BrokenReply("no list of models") from error


def retry_after(value: str | None) -> float | None:
    """Seconds to wait by a Retry-After header (seconds or an HTTP date), None if it says nothing."""
    if value is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", value):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _decoded(body: bytes) -> str:
    return body[:20_000].decode("utf-8", "replace")


def one_line(text: str, length: int = _MESSAGE_CHARS) -> str:
    """The text on one line, printable, of at most `length` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= length else f"{line[: length - 3]}..."
