"""Noun phrases for regions: the label as texts speak it, whether it is plural, and English lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from annotation.qa.lexicon import load_lexicon

MAX_LABEL = 80
"""Characters of a label that texts speak; the rest is cut at a word."""

_ARTICLE = re.compile(r"^(?:the|a|an)\s+", re.IGNORECASE)
_PLACE_TAIL = re.compile(
    r"\s(?:of|with|in|on|at|across|along|down|under|behind|near|from|filling|by|beside|between)\s.*$"
)
_COUNTED = re.compile(r"(?:two|three|four|five|six|several|many|some|both|few)\b", re.IGNORECASE)
_PLURALS = {
    "skis",
    "taxis",
    "kiwis",
    "bikinis",
    "people",
    "men",
    "women",
    "children",
    "feet",
    "teeth",
    "mice",
    "geese",
    "police",
    "cattle",
    "clothes",
}
_SINGULARS = {
    "lens",
    "gas",
    "canvas",
    "atlas",
    "series",
    "species",
    "christmas",
    "chaos",
    "cosmos",
    "bias",
    "news",
    "alias",
    "asparagus",
}


@lru_cache(maxsize=65536)
def spoken_label(label: str) -> str:
    """The label as texts say it after "the": one line, no leading article, never empty, at most MAX_LABEL
    characters.

    A label the texts would confuse with their own words ("light", "picture") becomes "light area".
    """
    text = re.sub(r"[\s_\x00-\x1f\x7f]+", " ", label).strip()
    text = _ARTICLE.sub("", text)
    if len(text) > MAX_LABEL:
        text = text[:MAX_LABEL].rsplit(" ", 1)[0]
    if not any(ch.isalnum() for ch in text):
        return "unnamed area"
    if load_lexicon().is_reserved(text):
        return f"{text} area"
    return text


def is_plural(spoken: str) -> bool:
    """Whether "the <spoken>" takes a plural verb, judged by its head noun (English spelling rules and a short
    list).
    """
    if _COUNTED.match(spoken):
        return True
    head = _PLACE_TAIL.sub("", spoken.lower()).split()
    word = re.sub(r"[^a-z]", "", head[-1]) if head else ""
    if word in _PLURALS:
        return True
    if word in _SINGULARS or len(word) < 3:
        return False
    return word.endswith("s") and not word.endswith(("ss", "us", "is"))


def conjugate(verb: str, plural: bool) -> str:
    """Third person of a regular verb, "be" or "have": conjugate("carry", False) is "carries"."""
    irregular = {"be": ("is", "are"), "have": ("has", "have"), "do": ("does", "do")}
    if verb in irregular:
        return irregular[verb][plural]
    if plural:
        return verb
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return f"{verb}es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}s"


def join(parts: Sequence[str], word: str = "and") -> str:
    """An English list: "a", "a and b", "a, b and c". Raises ValueError when there is nothing to list."""
    if not parts:
        raise ValueError("nothing to list")
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def article(following: str) -> str:
    """ "a" or "an" before `following`, by its first letter."""
    return "an" if following[:1].lower() in "aeiou" else "a"
