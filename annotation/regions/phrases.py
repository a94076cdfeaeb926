"""Noun phrases as labels: from the names of a model's classes, from captions, from what people write."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import yaml

from annotation.regions.names import PLACE_WORDS

ARTICLES = frozenset({"a", "an", "the"})
NO_CLASS = frozenset(
    {"background", "void", "unlabeled", "unlabelled", "ignore", "unknown", "other", "misc", "none", "n/a"}
)
"""Class names that say that a pixel belongs to no class."""
MAX_WORDS = 5
"""Words of a caption's phrase; of a longer one the last are kept, which hold the noun."""

_ENDINGS = re.compile(r"[- ](?:merged|other|stuff)$")
_MATERIAL = re.compile(r"^(wall|floor|ceiling)-(\w+)$")  # COCO's "wall-brick" is a brick wall
_SPELLED = {"playingfield": "playing field", "waterdrops": "water drops", "window-blind": "window blind"}
_TOKEN = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]")
_WORDS = Path(__file__).with_name("words.yaml")


def tidy(text: str) -> str:
    """`text` in lower case, on one line, without a leading article and without place words; may be empty."""
    words = text.lower().replace("_", " ").split()
    while words and words[0] in ARTICLES:
        words.pop(0)
    return " ".join(word for word in words if word not in PLACE_WORDS)


def class_phrase(name: str) -> str | None:
    """The noun phrase for a class of COCO, COCO-Stuff, ADE20K, Cityscapes, LVIS and the like, or None for a
    class that means "no class".

    The first synonym ("person, individual" is "person"), without brackets, underscores and the dataset's own
    endings ("wall-other-merged" is "wall"), material first ("wall-brick" is "brick wall").
    """
    text = re.sub(r"\([^)]*\)", " ", name.replace("_", " ").lower())
    text = " ".join(re.split(r"[,;]", text)[0].split())
    while _ENDINGS.search(text):
        text = _ENDINGS.sub("", text)
    text = _SPELLED.get(text, text)
    text = tidy(_MATERIAL.sub(r"\2 \1", text))
    return None if text in NO_CLASS or not any(letter.isalpha() for letter in text) else text


def noun_phrases(caption: str) -> list[str]:
    """The noun phrases of an English caption in their order, none twice, without articles and place words.

    A chunker over closed word classes (words.yaml): a phrase is what stands between determiners,
    prepositions, conjunctions, pronouns, punctuation and verbs (the common ones, and participles after a
    noun), as far as it holds more than adjectives. It needs no model and errs towards short phrases.
    """
    text = re.sub(r"(?<=\w)\s+(['’-])\s+(?=\w)", r"\1", caption.lower())
    words = _words()
    phrases: list[str] = []
    run: list[str] = []
    for token in [*_TOKEN.findall(text), "."]:
        if token in words["ends"] or not token[0].isalnum():
            phrases += _phrases(run)
            run = []
        elif not run or run[-1] != token:
            run.append(token)
    return list(dict.fromkeys(phrases))


def _phrases(run: list[str]) -> list[str]:
    """The phrases in a run of open-class words: a participle after a noun ends one phrase."""
    parts: list[list[str]] = [[]]
    for word in run:
        if _is_participle(word, ("ing", "ed")) and _holds_a_noun(parts[-1]):
            parts.append([])
        parts[-1].append(word)
    phrases = []
    for number, part in enumerate(parts):
        leading = ("ing", "ed", "ly") if number else ("ing", "ly")
        words = [word for word in part if word not in PLACE_WORDS]
        while words and _is_participle(words[0], leading):
            words.pop(0)
        if _holds_a_noun(words) and not all(word in _words()["vague"] for word in words):
            phrases.append(" ".join(words[-MAX_WORDS:]))
    return phrases


def _holds_a_noun(words: list[str]) -> bool:
    return any(
        word not in _words()["adjectives"] and not word.isdigit() and not _is_participle(word, ("ing", "ed"))
        for word in words
    )


def _is_participle(word: str, endings: tuple[str, ...]) -> bool:
    """Whether a word of five letters or more has one of the endings and isn't known as a thing."""
    return len(word) > 4 and word.endswith(endings) and word not in _words()["things"]


@lru_cache(maxsize=1)
def _words() -> dict[str, frozenset[str]]:
    lists = {
        name: frozenset(text.split())
        for name, text in yaml.safe_load(_WORDS.read_text(encoding="utf-8")).items()
    }
    return {
        "ends": lists["determiners"] | lists["prepositions"] | lists["others"] | lists["verbs"],
        "vague": lists["never_alone"] | lists["adjectives"] | lists["kinds"],
        "adjectives": lists["adjectives"] | lists["kinds"],
        "things": lists["things"] | lists["kinds"],
    }
