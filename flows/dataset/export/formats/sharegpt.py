"""ShareGPT's conversations, as LLaMA-Factory and ms-swift read them, with pictures beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from flows.dataset.export.dialogue_files import SplitFiles, conversations, row_facts
from flows.dataset.export.export_folder import ExportFolder
from schemas.records import Row


def make(folder: ExportFolder, paths: Sequence[Path]) -> ShareGptWriter:
    """The writer into `folder` of the rows in the files `paths`."""
    return ShareGptWriter(folder)


class ShareGptWriter:
    """`<split>.jsonl` of {conversations, images} and dataset_info.json: LLaMA-Factory's multimodal ShareGPT.

    There is one "<image>" a picture in the conversation, as LLaMA-Factory and ms-swift count them.
    """

    def __init__(self, folder: ExportFolder) -> None:
        self._folder, self._files = folder, SplitFiles(folder, ".jsonl")

    def add(self, row: Row, pictures: list[bytes]) -> None:
        images = [self._folder.picture(data) for data in pictures]
        record = {"conversations": conversations(row, len(images)), "images": images, **row_facts(row)}
        self._files.of(row.split)[0].write(json.dumps(record, ensure_ascii=False) + "\n")

    def close(self) -> None:
        columns = {"messages": "conversations", "images": "images"}
        described = {
            f"iqa_spider_{split}": {
                "file_name": f"{split}.jsonl",
                "formatting": "sharegpt",
                "columns": columns,
                "tags": {
                    "role_tag": "from",
                    "content_tag": "value",
                    "user_tag": "human",
                    "assistant_tag": "gpt",
                },
            }
            for split in self._files.close()
        }
        self._folder.json("dataset_info.json", described)
