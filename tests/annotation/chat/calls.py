"""Calls and settings for the tests of the model's side."""

from __future__ import annotations

from typing import Any

from annotation.chat.messages import Call, Picture, Sampling, Schema, Turn
from schemas.config import VlmConfig
from tests.annotation.chat.fault_server import Settings
from tests.waiting import LAST_RESORT

MODEL = Settings().model
SCHEMA = Schema("answer", {"type": "object", "properties": {"answer": {"type": "string"}}})


def call(
    text: str = "What do you see?",
    *,
    turns: tuple[Turn, ...] = (),
    pictures: tuple[Picture, ...] = (),
    model: str = MODEL,
    seed: int = 1,
    schema: Schema | None = None,
    max_tokens: int = 64,
    prompt_version: str = "prompts-1",
) -> Call:
    """A call whose last turn says `text`, after `turns`."""
    said = (*turns, Turn("user", text, pictures))
    return Call(model, None, prompt_version, said, Sampling(0.7, 0.9, max_tokens, seed), schema)


def config(url: str, **settings: Any) -> VlmConfig:
    """How the server at `url` is reached: few tries, each as long as a slow machine may need."""
    return VlmConfig.model_validate({"url": url, "deadline": LAST_RESORT, "retries": 3, **settings})
