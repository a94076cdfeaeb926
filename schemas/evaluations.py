"""The results of an evaluation as Parquet: one row per item, with its labels and numbers as columns."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.dataset import wrap_read_errors
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
"""The columns that every results table has."""


@dataclass(frozen=True)
class Results:
    """A results table: its header, the names of its label and number columns, and `rows` as plain values."""

    head: dict[str, Any]
    labels: tuple[str, ...]
    numbers: tuple[str, ...]
    rows: list[dict[str, Any]]


def results_bytes(results: Results) -> bytes:
    """The Parquet file of a results table. Raises ValueError when two columns have the same name."""
    names = [*FIXED, *results.labels, *results.numbers]
    if len(set(names)) != len(names):
        raise ValueError(f"columns of the same name: {sorted(n for n in set(names) if names.count(n) > 1)}")
    described = {"head": results.head, "labels": results.labels, "numbers": results.numbers}
    fields = [
        *_FIRST,
        *((name, _STRING) for name in results.labels),
        *((name, _FLOAT) for name in results.numbers),
        *_LAST,
    ]
    schema = pa.schema(fields, metadata={_HEAD: json.dumps(described).encode()})
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(results.rows, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def read_results(path: Path, columns: Sequence[str] | None = None) -> Results:
    """Read a results table; with `columns`, only these of the fixed columns, and all labels and numbers.

    Raises InputError for a file that can't be read or isn't a results table.
    """
    with wrap_read_errors(path):
        schema = pq.read_schema(path)
    try:
        described: Mapping[str, Any] = json.loads((schema.metadata or {})[_HEAD])
        labels, numbers = tuple(described["labels"]), tuple(described["numbers"])
        head = dict(described["head"])
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: not the results of an evaluation; give a folder that `evaluate` wrote"
        ) from error
    kinds = {
        **dict(_FIRST),
        **dict(_LAST),
        **dict.fromkeys(labels, _STRING),
        **dict.fromkeys(numbers, _FLOAT),
    }
    if {field.name: field.type for field in schema} != kinds:
        raise InputError(f"{path}: its columns aren't those of a results table; evaluate again")
    wanted = None if columns is None else [*columns, *labels, *numbers]
    with wrap_read_errors(path):
        return Results(head, labels, numbers, pq.read_table(path, columns=wanted).to_pylist())
