"""The back end `lmdeploy`: a model in this process."""

from __future__ import annotations

import atexit
import threading

from annotation.chat.messages import Call, Reply, Transport
from annotation.qa.backend import Backend, BackendSettings
from schemas.config import VlmConfig
from schemas.errors import BuildError

LOADS_MODEL = True
"""Each process that makes shards loads the model."""

_LOADED: dict[str, Transport] = {}
_LOADING = threading.Lock()


def make(settings: BackendSettings) -> Backend:
    from annotation.qa.vlm.dialogue_backend import create_vlm

    return create_vlm(settings, _Resident)


class _Resident:
    """The model in this process. Loading takes minutes, so it stays for the shards that follow, until it
    gives no answers any more.
    """

    def __init__(self, config: VlmConfig, in_flight: int) -> None:
        self._transport = _loaded(config)

    def complete(self, call: Call) -> Reply:
        try:
            return self._transport.complete(call)
        except BuildError:
            _unload()
            raise

    def close(self) -> None:
        """The model stays."""


def _loaded(config: VlmConfig) -> Transport:
    from annotation.chat.lmdeploy_transport import LmdeployTransport

    name = config.model_dump_json(include={"model", "revision", "in_flight"})
    with _LOADING:
        if name not in _LOADED:
            _LOADED[name] = LmdeployTransport(config, config.in_flight)
            atexit.register(_LOADED[name].close)
        return _LOADED[name]


def _unload() -> None:
    with _LOADING:
        while _LOADED:
            _, transport = _LOADED.popitem()
            atexit.unregister(transport.close)
            transport.close()
