"""The tokens of a vocabulary that write place words, by class, whatever their spelling (" Left", "-left")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from inference.words import AxisName, words
from schemas.errors import InputError

PAPER: dict[AxisName, tuple[str, str]] = {"horizontal": ("left", "right"), "vertical": ("top", "bottom")}
"""The paper's four words, each axis in its order."""
_LEAST_START = 3
"""Letters of the first token of a word of several tokens, to be told from others."""
_CONTEXTS = ("the {}", "top-{}", "{}")
_LETTERS = re.compile(r"[A-Za-z]+\Z")
_USUAL = (" lower", " title", "lower", "title")


@dataclass(frozen=True)
class Vocabulary:
    """The tokens to watch, and what they write.

    `columns` (K,) int64 their ids, ascending; `classes` maps "left", "right", "top", "bottom", "center" to
    places in `columns`, (n,) int64 each. `pairs` has for each axis and spelling (what stands before the word,
    and its case) the places of the paper's two words; `spellings` (K,) names each column's spelling.
    `missing` are words of the table that no token of their own begins: they can't be read.
    """

    columns: NDArray[np.int64]
    classes: Mapping[str, NDArray[np.int64]]
    pairs: Mapping[AxisName, Mapping[str, tuple[int, int]]]
    spellings: tuple[str, ...]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, tokenizer: Any) -> Vocabulary:
        """The vocabulary of a tokenizer of transformers, found once for each tokenizer.

        Raises InputError when a class ("left", ...) has no token: such a model's words can't be read.
        """
        size, found = _KNOWN.get(tokenizer, (0, None))
        if found is None or size != len(tokenizer):
            texts = token_texts(tokenizer)
            found = _build(texts, _starts(tokenizer, texts))
            without = [name for name in ("left", "right", "top", "bottom") if not found.classes[name].size]
            if without:
                raise InputError(f"the tokenizer has no token for {', '.join(without)}; take another model")
            _KNOWN[tokenizer] = (len(tokenizer), found)
        return found

    def place(self, token: int) -> int | None:
        """Where a token id stands in `columns`, None when it isn't watched."""
        at = int(np.searchsorted(self.columns, token))
        return at if at < self.columns.size and self.columns[at] == token else None

    def pair(self, axis: AxisName, place: int | None) -> tuple[int, int] | None:
        """The paper's two words of an axis in the spelling of a column, else in the most usual one there is;
        None when no spelling has both.
        """
        pairs = self.pairs[axis]
        wanted = [self.spellings[place]] if place is not None else []
        for spelling in (*wanted, *_USUAL):
            if spelling in pairs:
                return pairs[spelling]
        return next(iter(pairs.values()), None)


_KNOWN: WeakKeyDictionary[Any, tuple[int, Vocabulary]] = WeakKeyDictionary()


def vocabulary_of_texts(texts: Iterable[str]) -> Vocabulary:
    """The vocabulary of numbered token texts, as a server returns them: text number i is token i.

    Classes may be empty and nothing is raised: what isn't there can't be read.
    """
    return _build(dict(enumerate(texts)), {})


def token_texts(tokenizer: Any) -> dict[int, str]:
    """The text of every ordinary token of a tokenizer by id; special tokens are left out.

    Pieces are decoded as the two common kinds write them: byte-level BPE (GPT-2's table of bytes; a byte that
    is not valid UTF-8 by itself becomes U+FFFD) and SentencePiece ("▁" is a space, "<0x41>" a byte).
    """
    pieces: dict[str, int] = tokenizer.get_vocab()
    special = set(tokenizer.all_special_ids)
    spaced = sum(piece.startswith("▁") for piece in pieces)
    byte_level = sum(piece.startswith("Ġ") for piece in pieces) > spaced
    decode = _byte_level if byte_level else _sentence_piece
    return {number: decode(piece) for piece, number in pieces.items() if number not in special}


def word_of(text: str) -> tuple[str, str] | None:
    """The letters a token ends with and what stands before them; None when it ends with no letter of English
    or has other letters before.
    """
    match = _LETTERS.search(text)
    if match is None:
        return None
    before = text[: match.start()]
    if any(letter.isalpha() or letter == "\ufffd" for letter in before):
        return None
    return match[0], before


def _build(texts: Mapping[int, str], starts: Mapping[int, str]) -> Vocabulary:
    """The vocabulary of token texts by id, and of first tokens of longer words by id with their class."""
    names = _class_names()
    found: dict[int, tuple[str, str]] = {}
    four: dict[str, dict[str, int]] = {word: {} for pair in PAPER.values() for word in pair}
    whole: set[str] = set()
    for number, text in sorted(texts.items()):
        read = word_of(text)
        if read is None:
            continue
        name = names.get(read[0].casefold()) or starts.get(number)
        if name is None:
            continue
        spelling = read[1] + _case(read[0])
        found[number] = (name, spelling)
        whole.add(read[0].casefold())
        if read[0].casefold() in four:
            four[read[0].casefold()].setdefault(spelling, number)
    columns = np.array(sorted(found), np.int64)
    place = {int(number): at for at, number in enumerate(columns)}
    every = ("left", "right", "top", "bottom", "center")
    classes = {name: np.array([place[n] for n in place if found[n][0] == name], np.int64) for name in every}
    pairs: dict[AxisName, Mapping[str, tuple[int, int]]] = {
        axis: {s: (place[four[a][s]], place[four[b][s]]) for s in four[a] if s in four[b]}
        for axis, (a, b) in PAPER.items()
    }
    missing = [word for word in names if not any(word.startswith(w) for w in whole)]
    return Vocabulary(columns, classes, pairs, tuple(found[int(n)][1] for n in columns), tuple(missing))


def _case(word: str) -> str:
    if word.islower():
        return "lower"
    return "upper" if word.isupper() and len(word) > 1 else "title"


@lru_cache(maxsize=1)
def _class_names() -> dict[str, str]:
    """The class of every word that a vocabulary is searched for."""
    table = words()
    both = [*table.classes.items(), *table.rivals.items()]
    return {word: name for name, listed in both for word in listed}


def _starts(tokenizer: Any, texts: Mapping[int, str]) -> dict[int, str]:
    """First tokens of words that take several ("cent" of "center"), by id, with their class.

    A first token counts when it has three letters or more, is no word of the table nor one that English has
    beside ("low" of "lower"), and begins words of one class only. Rivals have to be whole tokens. "leftmost"
    needs nothing of the kind: it begins with "left".
    """
    names = _class_names()
    found: dict[int, str] = {}
    searched = [word for listed in words().classes.values() for word in listed]
    for word, name in ((word, names[word]) for word in searched):
        for context in _CONTEXTS:
            written = context.format(word if context != "{}" else word.title())
            number = _token_at(tokenizer, written, len(written) - len(word))
            read = word_of(texts.get(number, "")) if number is not None else None
            if read is None or number is None:
                continue
            begun = read[0].casefold()
            classes = {n for w, n in names.items() if w.startswith(begun)}
            if len(begun) < _LEAST_START or begun in names or begun in words().lists["not_starts"]:
                continue
            if classes == {name}:
                found[number] = name
    return found


def _token_at(tokenizer: Any, text: str, start: int) -> int | None:
    """The token that begins the word at character `start`; None for a tokenizer that doesn't tell offsets."""
    if not tokenizer.is_fast:
        return None
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    for number, (first, last) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        if first <= start < last:
            return int(number)
    return None


@lru_cache(maxsize=1)
def _bytes() -> dict[str, int]:
    """GPT-2's letters for bytes: printable Latin-1 is itself, the other bytes follow from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    return table | {chr(0x100 + at): byte for at, byte in enumerate(others)}


def _byte_level(piece: str) -> str:
    table = _bytes()
    if any(letter not in table for letter in piece):
        return piece
    return bytes(table[letter] for letter in piece).decode("utf-8", errors="replace")


def _sentence_piece(piece: str) -> str:
    if re.fullmatch(r"<0x[0-9A-Fa-f]{2}>", piece):
        return bytes([int(piece[3:5], 16)]).decode("utf-8", errors="replace")
    return piece.replace("▁", " ")
