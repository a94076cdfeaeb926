"""The records: what a region, a distorted sample and a training row are, validated by pydantic."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Task = Literal[
    "global_description",
    "local_description",
    "grounding_hyd",
    "grounding_sid",
    "grounding_dao",
    "referring_short",
    "referring_long",
]
TASKS: tuple[Task, ...] = get_args(Task)
ExternalTask = Literal[
    "external_question",
    "external_choice",
    "external_rating",
    "external_identification",
    "external_description",
    "external_comparison",
    "external_comparison_description",
    "external_general",
]
EXTERNAL_TASKS: tuple[ExternalTask, ...] = get_args(ExternalTask)
"""Tasks of merged datasets that are none of ours; what is the same keeps our name."""
OWN_SOURCE = "iqa-spider"
"""The source of rows that are made here."""
Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")

SampleKind = Literal["hyd", "sid", "dao", "single", "whole", "pristine"]
SAMPLE_KINDS: tuple[SampleKind, ...] = ("hyd", "sid", "dao", "single", "whole", "pristine")

Ask = Literal["worst", "best", "strongest", "weakest", "order", "where"]


class Record(BaseModel):
    """Base of all records: unknown fields are errors, values are checked on the way in."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Mask(Record):
    """A binary mask as COCO run-length encoding (column-major); `size` is [height, width] in pixels."""

    size: Annotated[list[int], Field(min_length=2, max_length=2)]
    counts: str


class Distortion(Record):
    """One distortion a region carries: canonical catalogue name, its class, severity level 1-5, order from
    1.
    """

    name: str
    category: str
    level: Annotated[int, Field(ge=1, le=5)]
    order: Annotated[int, Field(ge=1)]


class Region(Record):
    """One region of a picture.

    `bbox` is [x, y, width, height] in pixels, the tight bounding box of the mask; `area` the number of mask
    pixels;
    `position` the words for the mask's place ("top left", "center"); `distortions` in order of application,
    empty for
    an untouched region; `strength` the measured perceptual strength inside the mask (0 = identical, at most
    3.41),
    None where nobody measured it.
    """

    region_id: str
    label: str
    label_score: float | None
    bbox: Annotated[list[int], Field(min_length=4, max_length=4)]
    area: Annotated[int, Field(ge=1)]
    mask: Mask
    position: str
    distortions: list[Distortion] = []
    strength: float | None = None


class SourceImage(Record):
    """The picture a sample was made from. `id` is the first 16 hex digits of `sha256` (of the file's
    bytes).
    """

    id: str
    sha256: str
    uri: str
    license: str | None
    width: int
    height: int


class Provenance(Record):
    """Where a row's text comes from and what made it."""

    generator: str
    model: str | None
    revision: str | None
    prompt_version: str
    attempt: int
    config_hash: str
    code_version: str
    seed: int


class Message(Record):
    """One turn of a dialogue. Pictures belong to the first user turn; the text carries no image token."""

    role: Literal["user", "assistant"]
    content: str


class Sample(Record):
    """A distorted picture with its injected truth, before any text is written.

    kind             ask                     target_region_ids
    hyd              worst | best            the region with the highest | lowest measured strength
    sid              strongest | weakest     the same, one distortion type in every distorted region
    dao              order                   the region that received `ask_order` in exactly that order
    single           where                   the only distorted region
    whole            where                   [] with whole_image = True; every region carries the distortion
    pristine         None                    []

    `regions` holds every region of the picture, distorted or not. `ask_order` are catalogue names in order
    of application
    (dao only). `order_effect` is the least perceptual distance between the target's order and its swap (dao
    only).
    """

    sample_id: str
    kind: SampleKind
    source_image: SourceImage
    regions: list[Region]
    target_region_ids: list[str]
    whole_image: bool
    ask: Ask | None
    ask_order: list[str] = []
    order_effect: float | None = None
    position_grid: Literal["thirds", "quadrants"] = "thirds"
    seed: int = 0


class GivenDistortion(Record):
    """A distortion as another dataset states it for the whole picture number `image` (from 0) of a row.

    `name`, `category` and `level` are ours, null where ours have no counterpart; `given_*` are the words and
    the number of the source. `order` from 1 is the order of application.
    """

    image: Annotated[int, Field(ge=0)]
    order: Annotated[int, Field(ge=1)]
    name: str | None
    category: str | None
    level: Annotated[int, Field(ge=1, le=5)] | None
    given_name: str | None
    given_category: str | None
    given_level: int | None


class ExternalPicture(Record):
    """A picture of a merged row: its path in the dataset, its part in the dialogue, the file's hash and that
    of its pixels.
    """

    uri: str
    part: Literal["image", "reference", "A", "B"]
    sha256: str
    pixels: str


class External(Record):
    """Where a merged row comes from and what its dataset states beside the dialogue.

    `file` and `row` (from 0) are its place in the annotation file, `given_id` and `task_type` the dataset's.
    `images` are the row's pictures in order. `distortions` is null where the dataset says nothing, empty for
    pictures it calls untouched. `better` is the number of the better picture in `images`.
    """

    file: str
    row: int
    given_id: str | None
    task_type: str | None
    images: list[ExternalPicture]
    distortions: list[GivenDistortion] | None
    better: int | None


class Row(Record):
    """One training sample without its picture bytes, which the published Parquet holds in the column
    `images`. `license` is that of the text and its pictures; `external` is null for rows made here.
    """

    id: str
    source: str
    license: str | None = None
    task: str
    split: Split
    messages: list[Message]
    regions: list[Region]
    target_region_ids: list[str]
    whole_image: bool | None
    order_effect: float | None
    source_image: SourceImage | None
    provenance: Provenance | None
    external: External | None = None


class Quarantined(Record):
    """A sample that failed: where, why, and what it was."""

    stage: str
    source: str
    sample_id: str | None = None
    reason: str
    error: str
