"""Questions and answers: rows are drafted from a sample's truth, written by a back end, and checked before
they ship.
"""

from __future__ import annotations

from annotation.qa.backend import (
    Backend,
    BackendSettings,
    Dialogue,
    Identity,
    Request,
    create,
    names,
    register,
)
from annotation.qa.checks import Failure, check_dialogue, check_row
from annotation.qa.grammar import GrammarBackend
from annotation.qa.tasks import Draft, drafts
from annotation.qa.writing import Written, annotate_sample

__all__ = [
    "Backend",
    "BackendSettings",
    "Dialogue",
    "Draft",
    "Failure",
    "GrammarBackend",
    "Identity",
    "Request",
    "Written",
    "annotate_sample",
    "check_dialogue",
    "check_row",
    "create",
    "drafts",
    "names",
    "register",
]

register("grammar", lambda settings: GrammarBackend(settings.wording))
