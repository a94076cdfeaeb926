"""The Arrow schema of a published row, with the metadata that lets `datasets` decode its pictures alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from schemas.hashing import canonical_json
from schemas.records import Row

_STRING, _FLOAT, _INT, _BOOL = pa.string(), pa.float64(), pa.int64(), pa.bool_()


def _struct(**fields: pa.DataType) -> pa.DataType:
    return pa.struct([pa.field(name, kind) for name, kind in fields.items()])


_IMAGE = _struct(bytes=pa.binary(), path=_STRING)
_MASK = _struct(size=pa.list_(_INT), counts=_STRING)
_DISTORTION = _struct(name=_STRING, category=_STRING, level=_INT, order=_INT)
_REGION = _struct(
    region_id=_STRING,
    label=_STRING,
    label_score=_FLOAT,
    bbox=pa.list_(_INT),
    area=_INT,
    mask=_MASK,
    position=_STRING,
    distortions=pa.list_(_DISTORTION),
    strength=_FLOAT,
)
_SOURCE_IMAGE = _struct(id=_STRING, sha256=_STRING, uri=_STRING, license=_STRING, width=_INT, height=_INT)
_PROVENANCE = _struct(
    generator=_STRING,
    model=_STRING,
    revision=_STRING,
    prompt_version=_STRING,
    attempt=_INT,
    config_hash=_STRING,
    code_version=_STRING,
    seed=_INT,
)
_EXTERNAL = _struct(
    file=_STRING,
    row=_INT,
    given_id=_STRING,
    task_type=_STRING,
    images=pa.list_(_struct(uri=_STRING, part=_STRING, sha256=_STRING, pixels=_STRING)),
    distortions=pa.list_(
        _struct(
            image=_INT,
            order=_INT,
            name=_STRING,
            category=_STRING,
            level=_INT,
            given_name=_STRING,
            given_category=_STRING,
            given_level=_INT,
        )
    ),
    better=_INT,
)

_FIELDS = {
    "id": _STRING,
    "source": _STRING,
    "license": _STRING,
    "task": _STRING,
    "split": _STRING,
    "messages": pa.list_(_struct(role=_STRING, content=_STRING)),
    "regions": pa.list_(_REGION),
    "target_region_ids": pa.list_(_STRING),
    "whole_image": _BOOL,
    "order_effect": _FLOAT,
    "source_image": _SOURCE_IMAGE,
    "provenance": _PROVENANCE,
    "external": _EXTERNAL,
    "images": pa.list_(_IMAGE),
}


def hugging_face_feature(kind: pa.DataType) -> dict[str, Any]:
    """The `datasets` feature (as its JSON form) of an Arrow type; a struct of bytes and path is an image."""
    if kind == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_struct(kind):
        return {field.name: hugging_face_feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        return {"feature": hugging_face_feature(kind.value_type), "_type": "List"}
    names = {_STRING: "string", _FLOAT: "float64", _INT: "int64", _BOOL: "bool"}
    return {"dtype": names[kind], "_type": "Value"}


def _metadata() -> dict[bytes, bytes]:
    features = {name: hugging_face_feature(kind) for name, kind in _FIELDS.items()}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


ROW_SCHEMA = pa.schema([pa.field(name, kind) for name, kind in _FIELDS.items()], metadata=_metadata())
TEXT_COLUMNS: tuple[str, ...] = tuple(name for name in _FIELDS if name != "images")


def to_table(rows: Sequence[tuple[Row, Sequence[bytes]]]) -> pa.Table:
    """Rows and their encoded pictures as one table of `ROW_SCHEMA`."""
    dumped = []
    for row, pictures in rows:
        values = row.model_dump(mode="json")
        values["images"] = [{"bytes": data, "path": None} for data in pictures]
        dumped.append(values)
    return pa.Table.from_pylist(dumped, schema=ROW_SCHEMA)


def row_from_arrow(values: dict[str, Any]) -> Row:
    """A row from `pa.Table.to_pylist()`, without its pictures. Raises pydantic's ValidationError."""
    return Row.model_validate({name: values[name] for name in TEXT_COLUMNS})


def row_digest(row: Row, picture_hashes: Sequence[str]) -> str:
    """SHA-256 of a row's content: canonical JSON of its fields and the hashes of its pictures' pixels."""
    content = {**row.model_dump(mode="json"), "images": list(picture_hashes)}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def dataset_digest(rows: dict[str, str]) -> str:
    """SHA-256 over the sorted (row id, row digest) pairs: the same for any order, sharding and encoder."""
    digest = hashlib.sha256()
    for row_id, value in sorted(rows.items()):
        digest.update(f"{row_id}\t{value}\n".encode())
    return digest.hexdigest()
