"""The words for distortions, read from lexicon.yaml: what texts write, and what the checks recognize."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

LEXICON_FILE = Path(__file__).with_name("lexicon.yaml")

PhraseKind = Literal["name", "hint", "generic", "clean"]


@dataclass(frozen=True)
class Group:
    """Words for one kind of damage; `forms` hold a severity slot ({adj}, {adv} or {a_adj}), `done` follow
    "was".
    """

    category: str
    forms: tuple[str, ...]
    done: tuple[str, ...]

    def bare(self) -> tuple[str, ...]:
        """The forms without severity ("Gaussian blur"); forms that need an article are left out."""
        return tuple(strip_slot(form) for form in self.forms if "{a_adj}" not in form)


@dataclass(frozen=True)
class Phrase:
    """What a phrase stands for: the catalog names it may mean (empty for generic and clean words)."""

    kind: PhraseKind
    names: frozenset[str]


@dataclass(frozen=True)
class Lexicon:
    """`phrases` maps a normalized phrase to its meaning; `pattern` finds phrases, longest first; see
    lexicon.yaml.
    """

    groups: dict[str, Group]
    names: dict[str, str]
    phrases: dict[str, Phrase]
    pattern: re.Pattern[str]
    severity: dict[str, frozenset[int]]
    severity_pattern: re.Pattern[str]
    reserved: frozenset[str]

    def group(self, name: str) -> Group:
        """Words of a catalog name. Raises KeyError when the lexicon doesn't know it."""
        return self.groups[self.names[name]]

    def kind(self, name: str) -> str:
        """The group of a catalog name, the same for names that no words tell apart; the name itself when
        the lexicon doesn't know it.
        """
        return self.names.get(name, name)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that have no words yet."""
        return [name for name in names if name not in self.names]

    def is_reserved(self, label: str) -> bool:
        """Whether a label taken alone reads as something else in the texts: a distortion, a severity, a
        place.
        """
        text = normalize(label.lower())
        if text in self.reserved or text in self.severity or self.pattern.fullmatch(text):
            return True
        return all(word in self.reserved for word in re.split(r"[\s-]+", text))

    def phrase(self, matched: str) -> Phrase:
        """The meaning of text that `pattern` matched."""
        return self.phrases[re.sub(r"[\s-]+", " ", matched)]


_SPELLING = (
    (re.compile(r"colour"), "color"),
    (re.compile(r"\bgrey"), "gray"),
    (re.compile(r"\bcentre"), "center"),
    (re.compile(r"artefact"), "artifact"),
    (re.compile(r"(quanti|posteri|pixeli)s(?=(?:ed|ing|ation|es|e)\b)"), r"\1z"),
    (re.compile(r"\bdefocuss"), "defocus"),
    (re.compile("[\u2018\u2019]"), "'"),
    (re.compile("[\u2010\u2011]"), "-"),
)


def normalize(text: str) -> str:
    """Lower case with one spelling ("color" -> "color", "quantization" -> "quantization")."""
    text = text.lower()
    for pattern, replacement in _SPELLING:
        text = pattern.sub(replacement, text)
    return text


def strip_slot(form: str) -> str:
    """A form without its severity slot."""
    return re.sub(r"\{(?:a_adj|adj|adv)\}\s*", "", form)


def phrase_pattern(phrases: Iterable[str]) -> re.Pattern[str]:
    """A pattern for whole phrases, longest first; a space also matches hyphens and line breaks."""
    ordered = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    body = "|".join(re.escape(phrase).replace(r"\ ", r"[\s-]+") for phrase in ordered)
    return re.compile(rf"(?<![\w])(?:{body})(?![\w])")


@lru_cache(maxsize=1)
def load_lexicon() -> Lexicon:
    """The packaged lexicon. Raises ValueError when the file contradicts itself."""
    data = yaml.safe_load(LEXICON_FILE.read_text(encoding="utf-8"))
    names: dict[str, str] = data["names"]
    unknown = set(names.values()) ^ set(data["groups"])
    if unknown:
        raise ValueError(f"lexicon.yaml: groups without names or names without group: {sorted(unknown)}")
    groups = {
        key: Group(entry["category"], tuple(entry["forms"]), tuple(entry["done"]))
        for key, entry in data["groups"].items()
    }
    severity = {word: frozenset(levels) for word, levels in data["severity"].items()}
    phrases = _phrases(data, groups, names)
    return Lexicon(
        groups=groups,
        names=names,
        phrases=phrases,
        pattern=phrase_pattern(phrases),
        severity=severity,
        severity_pattern=phrase_pattern(severity),
        reserved=frozenset(data["reserved"]),
    )


def _phrases(data: dict[str, Any], groups: dict[str, Group], names: dict[str, str]) -> dict[str, Phrase]:
    members = {key: frozenset(n for n, g in names.items() if g == key) for key in groups}
    table: dict[str, Phrase] = {}

    def add(phrase: str, kind: PhraseKind, meaning: frozenset[str]) -> None:
        key = re.sub(r"[\s-]+", " ", normalize(phrase))
        known = table.get(key)
        if known is not None and known.kind != kind:
            raise ValueError(f"lexicon.yaml: '{phrase}' is both {known.kind} and {kind}")
        table[key] = Phrase(kind, meaning | known.names if known else meaning)

    for key, group in groups.items():
        forms = [strip_slot(form) for form in group.forms]
        for phrase in [*forms, *group.done, *data["groups"][key]["synonyms"]]:
            add(phrase, "name", members[key])
    for section, kind in (("shared_names", "name"), ("hints", "hint")):
        for entry in data[section]:
            meaning = frozenset[str]().union(*(members[key] for key in entry["groups"]))
            for phrase in entry["phrases"]:
                add(phrase, "name" if kind == "name" else "hint", meaning)
    for phrase in data["generic"]:
        add(phrase, "generic", frozenset())
    for phrase in data["clean"]:
        add(phrase, "clean", frozenset())
    return table
