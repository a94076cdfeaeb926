"""The back end `replay`: answers from the cache that the back ends with a model left, and calls nothing."""

from __future__ import annotations

from annotation.qa.backend import Backend, BackendSettings


def make(settings: BackendSettings) -> Backend:
    from annotation.qa.vlm.dialogue_backend import create_vlm

    return create_vlm(settings, None)
