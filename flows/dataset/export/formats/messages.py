"""Messages, TRL's form of conversations, with pictures beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from flows.dataset.export.dialogue_files import SplitFiles, row_facts
from flows.dataset.export.export_folder import ExportFolder
from schemas.records import Row


def make(folder: ExportFolder, paths: Sequence[Path]) -> MessagesWriter:
    """The writer into `folder` of the rows in the files `paths`."""
    return MessagesWriter(folder)


class MessagesWriter:
    """`<split>.jsonl` of {messages, images}: TRL's conversational form, and our columns beside them.

    A content is text alone; TRL's vision trainers put the pictures before the text of the first user turn.
    `images` are paths below the folder.
    """

    def __init__(self, folder: ExportFolder) -> None:
        self._folder, self._files = folder, SplitFiles(folder, ".jsonl")

    def add(self, row: Row, pictures: list[bytes]) -> None:
        images = [self._folder.picture(data) for data in pictures]
        record = {
            "messages": [turn.model_dump() for turn in row.messages],
            "images": images,
            **row_facts(row),
        }
        self._files.of(row.split)[0].write(json.dumps(record, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._files.close()
