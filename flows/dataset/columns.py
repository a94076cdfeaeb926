"""What the dataset card and the Croissant description both say: the files, the columns, known licenses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.records import SPLITS

HUB_LICENSES = frozenset(
    [
        "apache-2.0",
        "mit",
        "bsd-2-clause",
        "bsd-3-clause",
        "cc",
        "cc0-1.0",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nd-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "odbl",
        "odc-by",
        "pddl",
        "unlicense",
    ]
)
"""Identifiers the Hugging Face Hub accepts in a card's `license`; anything else becomes `other`."""

COLUMNS = (
    ("id", "identity of the row"),
    ("source", "where the row comes from"),
    ("license", "license of the row: of its text and its pictures"),
    ("task", "one of the seven tasks, or external_* for what merged datasets ask beside them"),
    ("split", "train or test; follows the source photograph"),
    ("images", "the pictures, losslessly encoded"),
    ("messages", "the dialogue: role (user, assistant) and content"),
    (
        "regions",
        "region_id, label, label_score, bbox [x, y, w, h] in pixels, area, mask (COCO run-length encoding), "
        "position, "
        "distortions (name, category, level 1-5, order), strength (0 = identical, at most 3.41)",
    ),
    ("target_region_ids", "the regions that answer the question"),
    ("whole_image", "the answer is the whole picture"),
    ("order_effect", "perceptual distance between the order of the target's distortions and its swap"),
    ("source_image", "id, sha256, uri, license, width, height of the photograph"),
    ("provenance", "what wrote the text and what built the row"),
    (
        "external",
        "for rows of merged datasets, else null: file, row, given_id, task_type, images (uri, part, sha256, "
        "pixels), distortions as stated (image, order, name, category, level, given_name, given_category, "
        "given_level), better (the number of the better picture)",
    ),
)


@dataclass(frozen=True)
class PublishedFile:
    """One Parquet file: its path below the dataset folder (with /), split, rows, bytes and SHA-256."""

    path: str
    split: str
    rows: int
    bytes: int
    sha256: str


def used_splits(files: Sequence[PublishedFile]) -> list[str]:
    """The splits that have a file; all when there is none at all."""
    return [split for split in SPLITS if any(file.split == split for file in files)] or list(SPLITS)
