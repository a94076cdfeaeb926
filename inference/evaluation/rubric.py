"""Rubrics: the instructions for a judge model, the scale of its scores, how its reply becomes a score."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, model_validator

from schemas.errors import InputError
from schemas.hashing import content_key

FOLDER = Path(__file__).parent / "rubrics"
NAMES = ("0-10", "0-5")
"""The rubrics that come with the package."""
MAX_FILE = 100_000
_FIELDS = frozenset({"question", "reference", "answer"})
_TAGS = re.compile(r"</?\s*(?:question|reference|candidate)\s*>", re.IGNORECASE)
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_SCORE = re.compile(
    r"(?:(?:score|rating|grade)\s*[:=]?\s*)?([+-]?\d+)(?:\s*(?:/|out of)\s*(\d+))?\.?", re.I | re.A
)


class _File(BaseModel):
    """A rubric file as written."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(pattern=r"^[\w.-]{1,40}$")]
    lowest: Annotated[StrictInt, Field(ge=0, le=1000)]
    highest: Annotated[StrictInt, Field(ge=1, le=1000)]
    tasks: Annotated[list[str], Field(min_length=1)]
    system: Annotated[str, Field(min_length=1)]
    question: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _usable(self) -> _File:
        if self.highest <= self.lowest:
            raise ValueError("'highest' isn't above 'lowest'")
        template = Template(self.question)
        found = set(template.get_identifiers())
        if not template.is_valid() or not {"reference", "answer"} <= found <= _FIELDS:
            raise ValueError(
                "'question' has to hold ${reference} and ${answer}, may hold ${question}, no more"
            )
        return self


@dataclass(frozen=True)
class Rubric:
    """A rubric: its scale (whole numbers), the tasks it is for, and its texts.

    `version` is the hash of all that, 16 hex digits.
    """

    name: str
    lowest: int
    highest: int
    tasks: tuple[str, ...]
    system: str
    question: str
    version: str

    def ask(self, question: str, reference: str, answer: str) -> str:
        """What a judge is asked. Tags that set the parts apart are taken out of the parts themselves."""
        parts = {"question": question, "reference": reference, "answer": answer}
        clean = {name: _TAGS.sub(" ", text).strip() for name, text in parts.items()}
        return Template(self.question).substitute(clean)


def load_rubric(name: str) -> Rubric:
    """A rubric of the package by its name, or a YAML file by its path. Raises InputError."""
    path = FOLDER / f"{name}.yaml" if name in NAMES else Path(name)
    try:
        if path.stat().st_size > MAX_FILE:
            raise InputError(f"{path}: more than {MAX_FILE} bytes; a rubric is a short text")
        told: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        file = _File.model_validate(told)
    except FileNotFoundError as error:
        raise InputError(
            f"{name}: no rubric; there are {' and '.join(NAMES)}, or give the path of a YAML file"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read: {error}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{path}: {place}: {first['msg']}") from error
    texts = file.model_dump(mode="json")
    version = content_key("rubric", texts)[:16]
    return Rubric(
        file.name, file.lowest, file.highest, tuple(file.tasks), file.system, file.question, version
    )


def read_score(text: str, rubric: Rubric) -> int | str:
    """The whole number on a reply's first line, or why there is none: "empty", "no-score", "out-of-range".

    "7", "7/10" (over the scale's end), "Score: 7", with nothing else on the line; thoughts between <think>
    tags before it are skipped. "7.5" and "about 7" are no scores, "11/10" and "11" are out of range.
    """
    lines = [line.strip() for line in _THOUGHT.sub("", text).splitlines() if line.strip()]
    if not lines:
        return "empty"
    found = _SCORE.fullmatch(lines[0].strip("*#_` ").strip())
    if found is None:
        return "no-score"
    score, over = int(found[1][:9]), found[2]
    if not rubric.lowest <= score <= rubric.highest:
        return "out-of-range"
    return score if over is None or over == str(rubric.highest) else "no-score"
