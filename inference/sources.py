"""Where answers come from: a model of transformers in this process, or anything else that is a source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from inference.generate import Sampling, generate_answers
from inference.grounded_answer import Answer, Picture
from inference.load_model import LoadedModel
from inference.place_tokens import Vocabulary

Spoken = tuple[Answer, Vocabulary, tuple[str, ...]]
"""An answer, the vocabulary its token ids belong to, and notes on what weakens its logits."""


def named(model: str, revision: str | None) -> str:
    """A model as records name it: "Qwen/Qwen2.5-VL-7B-Instruct@main"."""
    return f"{model}@{revision}" if revision else model


class Source(Protocol):
    """Answers questions about pictures and says with which logits."""

    @property
    def name(self) -> str:
        """What answers, for people and for records."""
        ...

    def ask_all(self, pictures: Sequence[Picture], questions: Sequence[str]) -> list[Spoken]:
        """One answer for each (H, W, 3) uint8 RGB picture and its question, all at once."""
        ...


class ModelSource:
    """A loaded model; the position words of its tokenizer are found once."""

    def __init__(self, loaded: LoadedModel, sampling: Sampling | None = None) -> None:
        self.loaded = loaded
        self.sampling = sampling or Sampling()
        self.vocabulary = Vocabulary.of(loaded.processor.tokenizer)

    @property
    def name(self) -> str:
        """The model's name and revision."""
        return named(self.loaded.name, self.loaded.revision)

    def ask_all(self, pictures: Sequence[Picture], questions: Sequence[str]) -> list[Spoken]:
        """As `inference.generate.generate_answers`, in one batch. Raises InputError as it does."""
        found = generate_answers(
            self.loaded.model,
            self.loaded.processor,
            pictures,
            questions,
            self.vocabulary.columns,
            self.sampling,
        )
        return [(answer, self.vocabulary, ()) for answer in found]
