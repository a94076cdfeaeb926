"""The kinds of plug-ins of this package: a file in the folder of its kind, named in the configuration by its
name. Nothing heavy is imported here.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from pydantic import ValidationError

from schemas.errors import InputError
from schemas.plugins import PlugIns
from schemas.sections import Section

PROPOSERS = PlugIns("region proposer", "annotation.regions.proposers", functions=("make",))
LABELLERS = PlugIns("region labeller", "annotation.regions.labellers", functions=("make",))
BACKENDS = PlugIns("question-and-answer back end", "annotation.qa.backends", functions=("make",))


def read_settings(module: ModuleType, name: str, values: dict[str, Any]) -> Section | None:
    """The settings of a plug-in as the class `Settings` of its file reads them, None where it has no class.

    Raises InputError for values that the class refuses, and for any where there is none.
    """
    kind: type[Section] | None = getattr(module, "Settings", None)
    if kind is None:
        if values:
            raise InputError(f"{name!r} takes no settings: its file has no class `Settings`; remove them")
        return None
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in (name, *first["loc"]))
        raise InputError(f"{key}: {first['msg'].removeprefix('Value error, ')}") from error
