"""The prompts: one text file each, its placeholders checked when loaded; their hash is their version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from annotation.qa.lexicon import LEXICON_FILE
from schemas.errors import InputError

PROMPTS_FOLDER = Path(__file__).parent / "prompts" / "en"
MAX_PROMPT = 20_000
"""Characters a prompt may have."""

PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    "system": frozenset(),
    "picture": frozenset(),
    "region": frozenset({"subject"}),
    "overview": frozenset(),
    "truth": frozenset({"facts"}),
    "repair": frozenset({"reasons"}),
    "referring_short": frozenset({"subject"}),
    "referring_long": frozenset({"subject"}),
    "local_description": frozenset({"subject"}),
    "global_description": frozenset(),
    "global_whole": frozenset(),
    "grounding_hyd": frozenset({"end", "subject", "label", "place"}),
    "grounding_sid": frozenset({"damage", "end", "subject", "label", "place"}),
    "grounding_whole": frozenset({"damage"}),
    "grounding_dao": frozenset({"first", "second", "subject", "label", "place"}),
}
"""The prompts there are and what each may hold in ${...}."""
_NEEDED: Mapping[str, frozenset[str]] = {
    **PLACEHOLDERS,
    "region": frozenset(),
    "grounding_hyd": frozenset({"end", "label", "place"}),
    "grounding_sid": frozenset({"damage", "end", "label", "place"}),
    "grounding_dao": frozenset({"first", "second", "label", "place"}),
}


@dataclass(frozen=True)
class Prompts:
    """The texts by name, and the hash of all files and of the words the checks know (16 hex digits)."""

    texts: Mapping[str, Template]
    version: str

    def fill(self, name: str, **values: str) -> str:
        """The prompt with its placeholders filled; values it doesn't use are left out.

        A value that itself looks like a placeholder stays as it is.
        """
        return self.texts[name].substitute(values)


def load_prompts(folder: Path | None = None) -> Prompts:
    """Read and check the prompts (the packaged ones by default). Raises InputError in one line."""
    place = folder or PROMPTS_FOLDER
    texts = {}
    digest = hashlib.sha256()
    for name in sorted(PLACEHOLDERS):
        file = place / f"{name}.txt"
        text = _read(file)
        texts[name] = Template(text)
        problem = _problem(texts[name], name)
        if problem:
            raise InputError(f"{file}: {problem}")
        digest.update(f"{name}\0{text}\0".encode())
    known = {f"{name}.txt" for name in PLACEHOLDERS}
    for file in sorted(place.glob("*.txt")):
        if file.name not in known:
            raise InputError(f"{file}: no prompt has this name; known: {', '.join(sorted(PLACEHOLDERS))}")
    digest.update(LEXICON_FILE.read_bytes())
    return Prompts(texts, digest.hexdigest()[:16])


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"{file}: can't read this prompt: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: can't read this prompt: not UTF-8 text") from error
    if not 0 < len(text) <= MAX_PROMPT:
        raise InputError(f"{file}: a prompt has 1 to {MAX_PROMPT} characters, this one {len(text)}")
    return text


def _problem(template: Template, name: str) -> str | None:
    """What is wrong with a prompt's placeholders, None if nothing is."""
    if not template.is_valid():
        return "a '$' is neither '$$' nor the start of a placeholder such as ${subject}"
    found = set(template.get_identifiers())
    unknown = sorted(found - PLACEHOLDERS[name])
    if unknown:
        known = ", ".join(f"${{{word}}}" for word in sorted(PLACEHOLDERS[name])) or "none"
        return f"unknown placeholder ${{{unknown[0]}}}; known here: {known}"
    missing = sorted(_NEEDED[name] - found)
    return f"the placeholder ${{{missing[0]}}} is missing" if missing else None
