"""The back end `server`: a model behind an OpenAI-compatible server."""

from __future__ import annotations

from annotation.chat.messages import Transport
from annotation.qa.backend import Backend, BackendSettings
from schemas.config import VlmConfig


def make(settings: BackendSettings) -> Backend:
    from annotation.qa.vlm.dialogue_backend import create_vlm

    return create_vlm(settings, _reach)


def _reach(config: VlmConfig, in_flight: int) -> Transport:
    from annotation.chat.server_transport import ServerTransport

    return ServerTransport(config, in_flight)
