"""What the formats of dialogues share: a file for each split, and turns with their pictures' places."""

from __future__ import annotations

from io import TextIOWrapper

from flows.dataset.export.export_folder import ExportFolder
from schemas.records import Row

_FROM = {"user": "human", "assistant": "gpt"}


class SplitFiles:
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


def conversations(row: Row, pictures: int) -> list[dict[str, str]]:
    """Turns as {from, value}. An "<image>" in the text would count as a picture, so it is spelled apart."""
    turns = []
    for number, turn in enumerate(row.messages):
        text = turn.content.replace("<image>", "< image >")
        shown = "<image>\n" * pictures if number == 0 else ""
        turns.append({"from": _FROM[turn.role], "value": shown + text})
    return turns


def row_facts(row: Row) -> dict[str, str]:
    """The columns that are written beside a dialogue."""
    return {"row_id": row.id, "source": row.source, "task": row.task}
