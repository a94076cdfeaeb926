"""The Arrow schema: the one `datasets` builds from its features, lossless for any row; content digests."""

from __future__ import annotations

import io
import random
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.arrow import (
    ROW_SCHEMA,
    TEXT_COLUMNS,
    dataset_digest,
    row_digest,
    row_from_arrow,
    to_table,
)
from schemas.records import Row
from tests.schemas import rows as make


def test_schema_is_the_one_datasets_builds_from_its_features() -> None:
    features = datasets.Features.from_arrow_schema(ROW_SCHEMA)
    assert features.arrow_schema.equals(ROW_SCHEMA, check_metadata=True)
    assert features["images"] == datasets.List(datasets.Image())
    assert features["regions"].feature["mask"]["counts"] == datasets.Value("string")


def test_columns_are_those_of_the_design_and_images_come_last() -> None:
    assert [*TEXT_COLUMNS, "images"] == ROW_SCHEMA.names
    assert set(TEXT_COLUMNS) == set(Row.model_fields)
    region = ROW_SCHEMA.field("regions").type.value_type
    assert [region.field(i).name for i in range(region.num_fields)] == [
        "region_id", "label", "label_score", "bbox", "area", "mask", "position", "distortions", "strength",
    ]  # fmt: skip


@settings(max_examples=40)
@given(st.lists(st.tuples(make.rows, st.lists(st.binary(max_size=20), max_size=2)), min_size=1, max_size=3))
def test_any_row_comes_back_from_parquet_as_it_was(listed: list[tuple[Row, list[bytes]]]) -> None:
    table = to_table(listed)
    assert table.schema.equals(ROW_SCHEMA, check_metadata=True)
    sink = io.BytesIO()
    pq.write_table(table, sink)
    back = pq.read_table(io.BytesIO(sink.getvalue())).to_pylist()
    assert [(row_from_arrow(v), [image["bytes"] for image in v["images"]]) for v in back] == listed


def test_what_an_external_row_does_not_know_is_a_typed_null() -> None:
    values = to_table([(make.external_row("x"), [])]).to_pylist()[0]
    for name in ("whole_image", "order_effect", "source_image", "provenance"):
        assert values[name] is None
    assert pa.types.is_struct(ROW_SCHEMA.field("provenance").type)


@pytest.mark.parametrize("change", [{"split": "validation"}, {"messages": None}, {"id": None}])
def test_broken_rows_are_rejected(change: dict[str, Any]) -> None:
    values = to_table([(make.row(), [])]).to_pylist()[0]
    with pytest.raises(ValidationError):
        row_from_arrow({**values, **change})


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=8), st.randoms())
def test_digest_does_not_depend_on_order_or_shards(rows: dict[str, str], draw: random.Random) -> None:
    turned = list(rows.items())
    draw.shuffle(turned)
    assert dataset_digest(dict(turned)) == dataset_digest(rows)


def test_digest_depends_on_every_row() -> None:
    rows = {f"r{n}": f"{n}" for n in range(5)}
    digest = dataset_digest(rows)
    assert dataset_digest({**rows, "r0": "other"}) != digest
    assert dataset_digest({k: v for k, v in rows.items() if k != "r3"}) != digest
    assert dataset_digest({**rows, "r5": "5"}) != digest


def test_row_digest_depends_on_every_field_and_the_pixels() -> None:
    row = make.row()
    digest = row_digest(row, ["p"])
    assert row_digest(make.row(), ["p"]) == digest
    assert row_digest(row, ["q"]) != digest
    assert row_digest(row, []) != digest
    region = row.regions[0]
    changes: list[dict[str, Any]] = [
        {"id": "b"},
        {"split": "test"},
        {"whole_image": None},
        {"target_region_ids": []},
        {"regions": [region.model_copy(update={"area": 23})]},
        {"regions": [region, region]},
        {"messages": row.messages[::-1]},
        {"provenance": None},
    ]
    digests = {row_digest(row.model_copy(update=change), ["p"]) for change in changes}
    assert len(digests | {digest}) == len(changes) + 1
