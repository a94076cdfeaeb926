"""Reads a vocabulary: the noun phrases the labeller `clip` chooses from."""

from __future__ import annotations

from pathlib import Path

from annotation.regions.names import PLACE_WORDS
from annotation.regions.phrases import tidy
from schemas.errors import InputError

MAX_BYTES = 4_000_000
MAX_PHRASES = 50_000
MAX_LETTERS = 80


def read_vocabulary(path: Path) -> tuple[str, ...]:
    """The phrases of a UTF-8 text file, one a line, in the file's order; see `parse_vocabulary`.

    Raises InputError with the file, the line and what to do.
    """
    data = vocabulary_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8 text; save the vocabulary as UTF-8") from error
    return parse_vocabulary(text, str(path))


def vocabulary_bytes(path: Path) -> bytes:
    """The file of a vocabulary as it lies there. Raises InputError when it can't be read or is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"{path}: can't read this vocabulary: {error.strerror or error}; "
            "regions.clip.vocabulary is a text file with one noun phrase a line"
        ) from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: more than {MAX_BYTES} bytes; a vocabulary is far smaller")
    return data


def parse_vocabulary(text: str, source: str) -> tuple[str, ...]:
    """The phrases of a vocabulary, lower case, without a leading article.

    "#" at a line's start or after a blank begins a comment; empty lines are skipped. Raises InputError that
    names `source` and the line: a phrase given twice (case, blanks and articles make no difference), one too
    long, without a letter, with a control character, or with a word for a place ("left"), which a region's
    name can't hold; and a vocabulary without any phrase.
    """
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        written = _without_comment(line)
        if not written:
            continue
        phrase = _checked(written, f"{source}:{number}")
        if phrase in lines:
            raise InputError(
                f"{source}:{number}: {written!r} is given twice, first on line {lines[phrase]}; keep one"
            )
        lines[phrase] = number
        if len(lines) > MAX_PHRASES:
            raise InputError(f"{source}:{number}: more than {MAX_PHRASES} phrases; shorten the vocabulary")
    if not lines:
        raise InputError(f"{source}: no phrase in this vocabulary; write one noun phrase a line")
    return tuple(lines)


def _without_comment(line: str) -> str:
    words = line.split()
    for index, word in enumerate(words):
        if word.startswith("#"):
            return " ".join(words[:index])
    return " ".join(words)


def _checked(written: str, at: str) -> str:
    if len(written) > MAX_LETTERS:
        raise InputError(f"{at}: more than {MAX_LETTERS} characters; write one short noun phrase a line")
    if not written.isprintable() or not any(letter.isalpha() for letter in written):
        raise InputError(f"{at}: {written!r} is not a noun phrase; write words such as: wooden chair")
    places = [word for word in written.split() if word.casefold() in PLACE_WORDS]
    if places:
        raise InputError(
            f"{at}: {written!r} says where a thing is, which its region says itself; take {places[0]!r} out"
        )
    phrase = tidy(written)
    if not phrase:
        raise InputError(f"{at}: {written!r} is an article alone; write a noun phrase")
    return phrase
