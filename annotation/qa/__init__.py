"""Questions and answers: rows are drafted from a sample's truth, written by a back end, and checked before
they ship.
"""

from __future__ import annotations

from annotation.qa.backend import (
    Backend,
    BackendSettings,
    Dialogue,
    HopelessError,
    Identity,
    ReplyError,
    Request,
    create,
)
from annotation.qa.backends.grammar import GrammarBackend
from annotation.qa.check_rows import check_dialogue, check_row
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
]
