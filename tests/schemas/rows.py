"""Rows for testing the data contract: small valid ones, and Hypothesis strategies."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from schemas import masks
from schemas.pictures import encode
from schemas.records import TASKS, Distortion, Message, Provenance, Region, Row, SourceImage

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
number = st.integers(-(2**63), 2**63 - 1)
real = st.floats(allow_nan=False, allow_infinity=False)


def region(region_id: str = "r1", size: tuple[int, int] = (6, 8)) -> Region:
    """The left half of a picture, blurred."""
    mask = np.zeros(size, np.bool_)
    mask[:, : size[1] // 2] = True
    return Region(
        region_id=region_id,
        label="red area",
        label_score=0.5,
        bbox=masks.bounding_box(mask),
        area=int(mask.sum()),
        mask=masks.encode(mask),
        position=masks.position(mask),
        distortions=[Distortion(name="blur_gaussian", category="blur", level=3, order=1)],
        strength=1.25,
    )


def row(row_id: str = "a-single-0-referring_short-r1", source: str = "5" * 64) -> Row:
    return Row(
        id=row_id,
        source="iqa-spider",
        task="referring_short",
        split="train",
        messages=[Message(role="user", content="What is wrong?"), Message(role="assistant", content="Blur.")],
        regions=[region()],
        target_region_ids=["r1"],
        whole_image=False,
        order_effect=None,
        source_image=SourceImage(id=source[:16], sha256=source, uri="a.png", license=None, width=8, height=6),
        provenance=Provenance(
            generator="grammar",
            model=None,
            revision=None,
            prompt_version="1",
            attempt=1,
            config_hash="c",
            code_version="0",
            seed=2**63 - 1,
        ),
    )


def external_row(row_id: str) -> Row:
    """A row of another dataset: what it doesn't know is null."""
    return Row(
        id=row_id,
        source="q-instruct",
        task="yes_no",
        split="train",
        messages=[],
        regions=[],
        target_region_ids=[],
        whole_image=None,
        order_effect=None,
        source_image=None,
        provenance=None,
    )


def picture(value: int = 7, size: tuple[int, int] = (6, 8)) -> bytes:
    """A single-color picture, encoded as in rows."""
    return encode(np.full((*size, 3), value, np.uint8))


rows = st.builds(
    Row,
    id=text,
    source=text,
    task=st.sampled_from(TASKS) | text,
    split=st.sampled_from(["train", "test"]),
    messages=st.lists(
        st.builds(Message, role=st.sampled_from(["user", "assistant"]), content=text), max_size=3
    ),
    regions=st.lists(
        st.builds(
            Region,
            region_id=text,
            label=text,
            label_score=st.none() | real,
            bbox=st.lists(number, min_size=4, max_size=4),
            area=st.integers(1, 2**63 - 1),
            mask=st.just(region().mask),
            position=text,
            distortions=st.lists(
                st.builds(
                    Distortion, name=text, category=text, level=st.integers(1, 5), order=st.integers(1, 9)
                ),
                max_size=2,
            ),
            strength=st.none() | real,
        ),
        max_size=2,
    ),
    target_region_ids=st.lists(text, max_size=2),
    whole_image=st.none() | st.booleans(),
    order_effect=st.none() | real,
    source_image=st.none()
    | st.builds(
        SourceImage, id=text, sha256=text, uri=text, license=st.none() | text, width=number, height=number
    ),
    provenance=st.none()
    | st.builds(
        Provenance,
        generator=text,
        model=st.none() | text,
        revision=st.none() | text,
        prompt_version=text,
        attempt=number,
        config_hash=text,
        code_version=text,
        seed=number,
    ),
)
"""Any row the records allow."""
