"""The results of an evaluation as Parquet: one row an item, with its labels and numbers as columns."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.dataset import named_read_errors
from schemas.errors import InputError

_HEAD = b"iqa-spider evaluation"
_STRING, _FLOAT = pa.string(), pa.float64()
_MASK = pa.struct([("size", pa.list_(pa.int64())), ("counts", _STRING)])
_FIRST = (("id", _STRING), ("group", _STRING), ("task", _STRING))
_LAST = (
    ("questions", pa.list_(_STRING)),
    ("answers", pa.list_(_STRING)),
    ("reference", _STRING),
    ("whole_image", pa.bool_()),
    ("masks", pa.list_(_MASK)),
    ("mask_scores", pa.list_(_FLOAT)),
    ("points", pa.list_(pa.list_(_FLOAT))),
    ("words", pa.list_(_FLOAT)),
    ("seconds", _FLOAT),
    ("error", _STRING),
)
FIXED = tuple(name for name, _ in (*_FIRST, *_LAST))
"""The columns that every table of results has."""


@dataclass(frozen=True)
class Results:
    """A table of results: `rows` as plain values, the names of its label and number columns, and its head."""

    head: dict[str, Any]
    labels: tuple[str, ...]
    numbers: tuple[str, ...]
    rows: list[dict[str, Any]]


def results_bytes(results: Results) -> bytes:
    """The Parquet file of a table of results. Raises ValueError for a column's name that is taken."""
    names = [*FIXED, *results.labels, *results.numbers]
    if len(set(names)) != len(names):
        raise ValueError(f"columns of the same name: {sorted(n for n in set(names) if names.count(n) > 1)}")
    told = {"head": results.head, "labels": results.labels, "numbers": results.numbers}
    fields = [
        *_FIRST,
        *((name, _STRING) for name in results.labels),
        *((name, _FLOAT) for name in results.numbers),
        *_LAST,
    ]
    schema = pa.schema(fields, metadata={_HEAD: json.dumps(told).encode()})
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(results.rows, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def read_results(path: Path, columns: Sequence[str] | None = None) -> Results:
    """Read a table of results, or of its fixed columns only some (`columns`) and all labels and numbers.

    Raises InputError for a file that can't be read or isn't one.
    """
    with named_read_errors(path):
        schema = pq.read_schema(path)
    try:
        told: Mapping[str, Any] = json.loads((schema.metadata or {})[_HEAD])
        labels, numbers = tuple(told["labels"]), tuple(told["numbers"])
        head = dict(told["head"])
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not the results of an evaluation; give a folder of `evaluate`") from error
    kinds = {
        **dict(_FIRST),
        **dict(_LAST),
        **dict.fromkeys(labels, _STRING),
        **dict.fromkeys(numbers, _FLOAT),
    }
    if {field.name: field.type for field in schema} != kinds:
        raise InputError(f"{path}: its columns are not those of results; evaluate again")
    wanted = None if columns is None else [*columns, *labels, *numbers]
    with named_read_errors(path):
        return Results(head, labels, numbers, pq.read_table(path, columns=wanted).to_pylist())
