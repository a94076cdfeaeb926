"""A row of another dataset as it is published: its record, its pictures, and what merging knows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.stages.merging.candidates import RowRef
from schemas.records import Row
from schemas.shards import Item, read_item
from schemas.store import Store

if TYPE_CHECKING:
    from flows.stages.external import ExternalRecord
    from flows.stages.pictures import StoredPicture


def external_row(
    store: Store, ref: RowRef, record: ExternalRecord, split: str
) -> tuple[Row, list[bytes], list[str]]:
    """The row, its pictures (PNG) and the hashes of their pixels. What its dataset doesn't know is null."""
    items: list[Item[StoredPicture]] = [read_item(store, *place) for place in ref.pictures]
    source: Item[StoredPicture] | None = None
    if ref.source is not None:
        source = next((item for item in items if item.id == ref.source[3]), None)
        source = source or read_item(store, *ref.source)
    parts = [part for _, part in record["pictures"]]
    values = {
        "id": ref.row_id,
        "source": record["source"],
        "license": record["license"],
        "task": record["task"],
        "split": split,
        "messages": [{"role": role, "content": content} for role, content in record["messages"]],
        "regions": [],
        "target_region_ids": [],
        "whole_image": None,
        "order_effect": None,
        "source_image": None
        if source is None
        else {
            "id": source.id[:16],
            "sha256": source.id,
            "uri": source.record["uri"],
            "license": record["license"],
            "width": source.record["width"],
            "height": source.record["height"],
        },
        "provenance": None,
        "external": {
            **{
                name: record[name]
                for name in ("file", "row", "given_id", "task_type", "distortions", "better")
            },
            "images": [
                {"uri": item.record["uri"], "part": part, "sha256": item.id, "pixels": item.record["pixels"]}
                for item, part in zip(items, parts, strict=True)
            ],
        },
    }
    pictures = [item.picture or b"" for item in items]
    return Row.model_validate(values), pictures, [item.record["pixels"] for item in items]
