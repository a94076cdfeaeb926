"""What checks look at, a row's regions and target with its messages already read, and what they find."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from annotation.qa.read_message import LabelMask, MessageReading
from schemas.records import Distortion, Region, Task


@dataclass(frozen=True)
class Failure:
    """A check that failed: its name (counted in reports) and what is wrong, in words a writer can act on."""

    name: str
    reason: str


@dataclass(frozen=True)
class Scene:
    """A row under check. `subject` is the index of the one region it is about, None for the whole picture;
    `labels` finds the regions' labels.
    """

    task: Task
    regions: tuple[Region, ...]
    subject: int | None
    whole_image: bool
    messages: tuple[tuple[str, MessageReading], ...]
    labels: LabelMask

    @property
    def target(self) -> int:
        """The subject's index. Raises ValueError for a row about the whole picture."""
        if self.subject is None:
            raise ValueError("the row is about the whole picture")
        return self.subject

    @property
    def question(self) -> MessageReading:
        """The first message."""
        return self.messages[0][1]

    @property
    def answers(self) -> list[MessageReading]:
        return [reading for role, reading in self.messages if role == "assistant"]

    @property
    def questions(self) -> list[MessageReading]:
        return [reading for role, reading in self.messages if role == "user"]

    @cached_property
    def distorted(self) -> tuple[int, ...]:
        """Indexes of the regions that carry a distortion."""
        return tuple(i for i, region in enumerate(self.regions) if region.distortions)

    def about(self) -> tuple[int, ...]:
        """Indexes of the regions whose distortions the row has to tell: the subject, or every distorted
        region.
        """
        return self.distorted if self.subject is None else (self.subject,)

    def distortions(self, indexes: Iterable[int]) -> list[Distortion]:
        """The distortions of some regions."""
        return [d for i in indexes for d in self.regions[i].distortions]
