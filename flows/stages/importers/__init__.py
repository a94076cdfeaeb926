"""Datasets to merge in: one file a kind, which `merge.external` names (docs/adding-an-importer.md).

A file holds `LICENSE`, what the publishers state, and `read(row, facts)`, which reads a row of an annotation
file. What else it may hold, and what is true of a dataset without it, is in `Importer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import InputError
from schemas.plugins import PlugIns

if TYPE_CHECKING:
    from flows.stages.merging.candidates import Candidate
    from flows.stages.row_fields import Imported, Values

IMPORTERS = PlugIns("importer", "flows.stages.importers", functions=("read",), texts=("LICENSE",))
LAST = 100


@dataclass(frozen=True)
class Importer:
    """What is known of a dataset, by the names in its file.

    Args:
        license: `LICENSE`, of rows whose configuration gives no other.
        read: `read(row, facts)`: a row of an annotation file. Raises SampleError.
        facts: `facts(path)`: what the rows of a file depend on beside themselves, as JSON values; job keys
            hold it. Nothing by default.
        generated: `generated(row)`: the files among a row's pictures that the dataset distorted on purpose.
            Two of them that look alike aren't taken for near copies. None by default.
        rank: `RANK`, from 1: where rows contradict each other, those of the lower number stay. Rows made here
            have 0. By default a dataset gives way to all others.
        by_people: `BY_PEOPLE`: people wrote the answers, so that a "no" may deny what the picture has.
        rows: `ROWS`, about how many rows were published, for forecasts. Unknown by default.
        pictures: `PICTURES`, about how many pictures.
    """

    license: str
    read: Callable[[Values, Mapping[str, Any]], Imported]
    facts: Callable[[Path], dict[str, Any]]
    generated: Callable[[Candidate], Iterable[str]]
    rank: int
    by_people: bool
    rows: int
    pictures: int


@cache
def importer(kind: str) -> Importer:
    """The importer of this name.

    Raises InputError for an unknown name, with the nearest one, and for a file that is broken.
    """
    module = IMPORTERS.load(kind)
    numbers = {"RANK": LAST, "ROWS": 0, "PICTURES": 0}
    for name, default in numbers.items():
        numbers[name] = getattr(module, name, default)
        if type(numbers[name]) is not int or numbers[name] < (name == "RANK"):
            least = int(name == "RANK")
            raise InputError(f"{module.__file__}: `{name}` must be an integer from {least}; fix it")
    return Importer(
        license=module.LICENSE,
        read=module.read,
        facts=getattr(module, "facts", lambda path: {}),
        generated=getattr(module, "generated", lambda row: ()),
        rank=numbers["RANK"],
        by_people=getattr(module, "BY_PEOPLE", False),
        rows=numbers["ROWS"],
        pictures=numbers["PICTURES"],
    )
