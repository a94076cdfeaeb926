"""Questions and answers: rows are drafted from a sample's truth, written by a back end, and checked before
they ship.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from annotation.qa.backend import (
    Backend,
    BackendSettings,
    Dialogue,
    HopelessError,
    Identity,
    ReplyError,
    Request,
    create,
    names,
    register,
)
from annotation.qa.check_rows import check_dialogue, check_row
from annotation.qa.grammar import GrammarBackend
from annotation.qa.scene import Failure
from annotation.qa.tasks import Draft, drafts
from annotation.qa.writing import RowWriter, Written, annotate_sample, answers

__all__ = [
    "Backend",
    "BackendSettings",
    "Dialogue",
    "Draft",
    "Failure",
    "GrammarBackend",
    "HopelessError",
    "Identity",
    "ReplyError",
    "Request",
    "RowWriter",
    "Written",
    "annotate_sample",
    "answers",
    "check_dialogue",
    "check_row",
    "create",
    "drafts",
    "names",
    "register",
]


def _vlm(kind: Literal["server", "lmdeploy", "replay"]) -> Callable[[BackendSettings], Backend]:
    def factory(settings: BackendSettings) -> Backend:
        from annotation.qa.vlm.backend import create_vlm

        return create_vlm(kind, settings)

    return factory


register("grammar", lambda settings: GrammarBackend(settings.wording))
register("server", _vlm("server"))
register("lmdeploy", _vlm("lmdeploy"))
register("replay", _vlm("replay"))
