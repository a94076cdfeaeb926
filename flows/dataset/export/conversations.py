"""Dialogues with pictures beside them: messages (TRL), LLaVA, and ShareGPT (LLaMA-Factory, ms-swift)."""

from __future__ import annotations

import json
from io import TextIOWrapper
from typing import Any

from flows.dataset.export.folder import ExportFolder
from schemas.records import Row

_FROM = {"user": "human", "assistant": "gpt"}


class _Files:
    """One open file a split, `<split><suffix>`."""

    def __init__(self, folder: ExportFolder, suffix: str) -> None:
        self._folder, self._suffix = folder, suffix
        self._open: dict[str, TextIOWrapper] = {}

    def of(self, split: str) -> tuple[TextIOWrapper, bool]:
        """The split's file, and whether it is new."""
        new = split not in self._open
        if new:
            path = self._folder.file(f"{split}{self._suffix}")
            self._open[split] = path.open("w", encoding="utf-8", newline="\n")
        return self._open[split], new

    def close(self, end: str = "") -> list[str]:
        """Write `end` to every file, close them, and tell the splits."""
        for file in self._open.values():
            file.write(end)
            file.close()
        return sorted(self._open)


class MessagesWriter:
    """`<split>.jsonl` of {messages, images}: TRL's conversational form, and our columns beside them.

    A content is text alone; TRL's vision trainers put the pictures before the text of the first user turn.
    `images` are paths below the folder.
    """

    def __init__(self, folder: ExportFolder) -> None:
        self._folder, self._files = folder, _Files(folder, ".jsonl")

    def add(self, row: Row, pictures: list[bytes]) -> None:
        images = [self._folder.picture(data) for data in pictures]
        record = {"messages": [turn.model_dump() for turn in row.messages], "images": images, **_told(row)}
        self._files.of(row.split)[0].write(json.dumps(record, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._files.close()


class LlavaWriter:
    """`<split>.json`: LLaVA's list of {id, image, conversations}.

    `image` is a path, a list of paths where a row has several pictures, and absent where it has none; the
    first human turn starts with one "<image>" line a picture.
    """

    def __init__(self, folder: ExportFolder) -> None:
        self._folder, self._files = folder, _Files(folder, ".json")

    def add(self, row: Row, pictures: list[bytes]) -> None:
        images = [self._folder.picture(data) for data in pictures]
        record: dict[str, Any] = {"id": row.id}
        if images:
            record["image"] = images[0] if len(images) == 1 else images
        record["conversations"] = _conversations(row, len(images))
        record.update(_told(row))
        file, new = self._files.of(row.split)
        file.write(("[\n" if new else ",\n") + json.dumps(record, ensure_ascii=False))

    def close(self) -> None:
        self._files.close("\n]\n")


class ShareGptWriter:
    """`<split>.jsonl` of {conversations, images} and dataset_info.json: LLaMA-Factory's multimodal ShareGPT.

    There is one "<image>" a picture in the conversation, as LLaMA-Factory and ms-swift count them.
    """

    def __init__(self, folder: ExportFolder) -> None:
        self._folder, self._files = folder, _Files(folder, ".jsonl")

    def add(self, row: Row, pictures: list[bytes]) -> None:
        images = [self._folder.picture(data) for data in pictures]
        record = {"conversations": _conversations(row, len(images)), "images": images, **_told(row)}
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


def _conversations(row: Row, pictures: int) -> list[dict[str, str]]:
    """Turns as {from, value}. An "<image>" in the text would count as a picture, so it is spelled apart."""
    turns = []
    for number, turn in enumerate(row.messages):
        text = turn.content.replace("<image>", "< image >")
        shown = "<image>\n" * pictures if number == 0 else ""
        turns.append({"from": _FROM[turn.role], "value": shown + text})
    return turns


def _told(row: Row) -> dict[str, str]:
    return {"row_id": row.id, "source": row.source, "task": row.task}
