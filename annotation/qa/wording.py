"""The wording file of the grammar back end: loaded, validated, and its templates expanded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from annotation.qa.lexicon import LEXICON_FILE, load_lexicon
from annotation.qa.nouns import conjugate
from schemas.errors import InputError

WORDING_FILE = Path(__file__).parent / "wording" / "en.yaml"

T = TypeVar("T")
Options = Annotated[list[str], Field(min_length=1)]
Value = str | Callable[[], str]

_TOKEN = re.compile(r"\{([^{}]*)\}")


class SeverityWords(BaseModel):
    """Adjectives and adverbs for one level."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    adj: Options
    adv: Options


class EffectClauses(BaseModel):
    """Visible effects of one kind of damage: at any level, at levels 1-2, at levels 4-5."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    any: Options
    low: list[str] = []
    high: list[str] = []

    def at(self, level: int) -> list[str]:
        """The clauses that fit a level (1-5)."""
        return self.any + (self.low if level <= 2 else self.high if level >= 4 else [])


class Wording(BaseModel):
    """The wording file; see wording/en.yaml for the placeholders."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    pictures: Options
    severity: dict[int, SeverityWords]
    places: dict[str, Options]
    phrases: dict[str, Options]
    effects: dict[str, EffectClauses]


def load_wording(path: Path | None = None) -> Wording:
    """Read and validate a wording file (the packaged one by default). Raises InputError in one line."""
    file = path or WORDING_FILE
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        wording = Wording.model_validate(data)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{file}: can't read this wording file: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{file}: '{where}': {first['msg']}") from error
    for problem in _problems(wording):
        raise InputError(f"{file}: {problem}")
    return wording


def wording_version(path: Path | None = None) -> str:
    """Hash (16 hex digits) of the wording file and the lexicon: what the grammar's texts depend on besides
    code.
    """
    file = path or WORDING_FILE
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: can't read this wording file: {error}") from error
    return hashlib.sha256(content + b"\0" + LEXICON_FILE.read_bytes()).hexdigest()[:16]


def _problems(wording: Wording) -> list[str]:
    """What the grammar would stumble over, first things first."""
    packaged = _packaged_keys() if wording.phrases else frozenset[str]()
    groups = load_lexicon().groups
    problems = [
        f"no severity words for level {level}" for level in range(1, 6) if level not in wording.severity
    ]
    problems += [f"no effects for '{group}'" for group in groups if group not in wording.effects]
    problems += [f"'phrases.{key}' is missing" for key in sorted(packaged - set(wording.phrases))]
    problems += [f"'places.{key}' is missing" for key in PLACE_KEYS if key not in wording.places]
    for key, options in wording.phrases.items():
        for option in options:
            for token in _TOKEN.findall(option):
                if token.startswith("@") and token[1:] not in wording.phrases:
                    problems.append(f"'phrases.{key}' uses the unknown entry {{{token}}}")
                elif (
                    not token.startswith("@")
                    and token not in TOKENS
                    and not re.fullmatch(r"(?:v|v2|n):[a-z]+", token)
                ):
                    problems.append(f"'phrases.{key}' uses the unknown placeholder {{{token}}}")
    return problems


def _packaged_keys() -> frozenset[str]:
    return frozenset(yaml.safe_load(WORDING_FILE.read_text(encoding="utf-8"))["phrases"])


PLACE_KEYS = ("corner", "row", "column", "center", "labelled")
TOKENS = frozenset(
    re.findall(
        r"\w+",
        """
        pic the np place they its dists dists_plain names bare effects list done1 done2 bare1 bare2
        effect1 effect2 the1 the2 clean1 clean2
        """,
    )
)


@dataclass
class Expander:
    """Draws templates and fills them; within one dialogue no option is drawn twice while others are left."""

    wording: Wording
    generator: np.random.Generator
    _drawn: dict[str, set[str]] = field(default_factory=dict)

    def draw(self, key: str, options: list[str]) -> str:
        """One of `options`, each equally likely, drawn ones set aside under `key`."""
        drawn = self._drawn.setdefault(key, set())
        left = [option for option in options if option not in drawn]
        if not left:
            drawn.clear()
            left = options
        choice = left[int(self.generator.integers(len(left)))]
        drawn.add(choice)
        return choice

    def choose(self, options: list[T]) -> T:
        """One of `options`, each equally likely, repeats allowed."""
        return options[int(self.generator.integers(len(options)))]

    def phrase(self, key: str, values: Mapping[str, Value], plural: Mapping[str, bool]) -> str:
        """A template of `phrases.key`, filled: `values` by placeholder, `plural` by verb kind (v, v2, n)."""
        return self.fill(self.draw(key, self.wording.phrases[key]), values, plural)

    def fill(self, template: str, values: Mapping[str, Value], plural: Mapping[str, bool]) -> str:
        def replace(match: re.Match[str]) -> str:
            token = match[1]
            if token.startswith("@"):
                return self.phrase(token[1:], values, plural)
            if ":" in token:
                kind, verb = token.split(":")
                return conjugate(verb, plural[kind])
            value = values[token]
            return value if isinstance(value, str) else value()

        return _TOKEN.sub(replace, template)


def capitalize(text: str) -> str:
    """Each sentence starts with a capital; spaces before punctuation go."""
    text = re.sub(r"\s+([,.;:?!])", r"\1", re.sub(r"\s+", " ", text).strip())
    return re.sub(r"(^|[.?!]\s+)([a-z])", lambda match: match[1] + match[2].upper(), text)
