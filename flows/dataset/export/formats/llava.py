"""LLaVA's conversations, with pictures beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.dataset.export.dialogue_files import SplitFiles, conversations, row_facts
from flows.dataset.export.export_folder import ExportFolder
from schemas.records import Row


def make(folder: ExportFolder, paths: Sequence[Path]) -> LlavaWriter:
    """The writer into `folder` of the rows in the files `paths`."""
    return LlavaWriter(folder)


class LlavaWriter:
    """`<split>.json`: LLaVA's list of {id, image, conversations}.

    `image` is a path, a list of paths where a row has several pictures, and absent where it has none; the
    first human turn starts with one "<image>" line a picture.
    """

    def __init__(self, folder: ExportFolder) -> None:
        self._folder, self._files = folder, SplitFiles(folder, ".json")

    def add(self, row: Row, pictures: list[bytes]) -> None:
        images = [self._folder.picture(data) for data in pictures]
        record: dict[str, Any] = {"id": row.id}
        if images:
            record["image"] = images[0] if len(images) == 1 else images
        record["conversations"] = conversations(row, len(images))
        record.update(row_facts(row))
        file, new = self._files.of(row.split)
        file.write(("[\n" if new else ",\n") + json.dumps(record, ensure_ascii=False))

    def close(self) -> None:
        self._files.close("\n]\n")
