"""Writes docs/configuration.md: every key of the three kinds of configuration file.

Run `python -m flows.configuration_page` from the root after a change; a test compares the page with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from flows.proof.proof_config import ProofOptions
from schemas.config import BuildConfig
from schemas.section_reader import section_of
from schemas.sections import Section, role_of
from training.sft.train_config import TrainOptions

PAGE = Path("docs/configuration.md")
KINDS: dict[str, type[Section]] = {
    "Build": BuildConfig,
    "Training run": TrainOptions,
    "Learning proof": ProofOptions,
}
HEAD = """\
# Configuration

<!-- Written by `python -m flows.configuration_page`: don't edit it here. -->

Every key of the YAML files that `iqa-spider build`, `train` and `proof` read. An unknown key, a wrong type or
a value out of range is one line with the file, the line and the nearest known key. Relative paths start from
the folder the command runs in.

[regions.md](regions.md) lists the proposers and labellers, [vlm.md](vlm.md) the back ends that ask a model.

The role says what a change does to a build:

| role | a change |
|---|---|
| shapes the result | remakes the shards of its stage and of those after it |
| shapes files | writes the same rows to other files |
| input | counts by the files' content, wherever they are |
| output | is where something is written |
| cuts shards | makes the same rows, and all shards again |
| how only | changes how the work is done, and remakes nothing |
| label | is a name |
"""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([HEAD, *(text for title, kind in KINDS.items() for text in _kind(title, kind))])


def _kind(title: str, kind: type[Section]) -> Iterator[str]:
    names = _names(title, kind)
    for section, name in names.items():
        level = "##" if section is kind else "###"
        yield f"{level} {name}\n\n{_prose(section.__doc__ or '')}\n"
        yield "| key | type | values | default | role | what it is |\n|---|---|---|---|---|---|"
        for key, field in section.model_fields.items():
            role = "" if section_of(field.annotation) else role_of(field).title
            cells = (f"`{key}`", *_type(field, names), _default(field), role, _described(field))
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        yield ""


def _names(title: str, kind: type[Section]) -> dict[type[Section], str]:
    """Each section below `kind`, itself first, with its heading: the keys that lead to it, or, where several
    do, its own name.
    """
    paths: dict[type[Section], list[str]] = {}

    def visit(section: type[Section], path: str) -> None:
        paths.setdefault(section, []).append(path)
        for key, field in section.model_fields.items():
            inner = section_of(field.annotation)
            if inner is not None:
                visit(inner, f"{path}.{key}".lstrip("."))

    visit(kind, "")
    names = {kind: title}
    for section, found in paths.items():
        if section is not kind:
            own = re.sub(r"(Config|Options)$", "", section.__name__).lower()
            names[section] = f"{title}: {f'`{found[0]}`' if len(found) == 1 else own}"
    return names


def _prose(doc: str) -> str:
    """A docstring as paragraphs, each on one line."""
    return "\n\n".join(" ".join(part.split()) for part in doc.split("\n\n"))


def _described(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _type(field: FieldInfo, names: dict[type[Section], str]) -> tuple[str, str]:
    """What a value is, and which values may be given."""
    base = _without_none(field.annotation)
    own = _bounds(field.metadata) + _bounds(getattr(base, "__metadata__", ()))
    base = _bare(base)
    arguments = get_args(base)
    if get_origin(base) in (list, tuple):
        inner, values = _one(_without_none(arguments[0]), names)
        entries = ", ".join(own).replace("characters", "entries")
        return f"list: {inner}", "; ".join(part for part in (entries, values) if part)
    what, values = _one(base, names)
    return what, ", ".join(part for part in (values, *own) if part)


def _one(annotation: Any, names: dict[type[Section], str]) -> tuple[str, str]:
    values = ", ".join(_bounds(getattr(annotation, "__metadata__", ())))
    base = _bare(annotation)
    if get_origin(base) is Literal:
        return "choice", ", ".join(f"`{value}`" for value in get_args(base))
    if get_origin(base) is list:
        return f"list: {_one(get_args(base)[0], names)[0]}", values
    if get_origin(base) is dict:
        key, value = (_one(part, names)[0] for part in get_args(base))
        return f"mapping: {key} to {value}", ""
    if isinstance(base, type) and issubclass(base, Section):
        anchor = re.sub(r"[^\w -]", "", names[base].lower()).replace(" ", "-")
        return f"[section](#{anchor})", ""
    plain = {int: "integer", float: "number", str: "text", Path: "path", bool: "boolean", Any: "any value"}
    return plain[base], values


def _without_none(annotation: Any) -> Any:
    """The type of `X | None`, which is what None stands in for."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    (inner,) = (part for part in get_args(annotation) if part is not NoneType)
    return inner


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _bounds(marks: Any) -> list[str]:
    """Ranges, lengths and patterns among the marks of a type, each in words."""
    flat = [part for mark in marks for part in (mark.metadata if isinstance(mark, FieldInfo) else (mark,))]
    found = {
        name: value
        for mark in flat
        for name in ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")
        if (value := getattr(mark, name, None)) is not None
    }
    words = []
    if "ge" in found and "le" in found:
        words.append(f"{_number(found['ge'])} to {_number(found['le'])}")
    else:
        for name, word in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
            words += [f"{word} {_number(found[name])}"] if name in found else []
    if "multiple_of" in found:
        words.append(f"multiple of {found['multiple_of']}")
    if "max_length" in found:
        words.append(f"{found.get('min_length', 0)} to {found['max_length']} characters")
    if "pattern" in found:
        words.append(f"`{found['pattern']}`")
    return words


def _number(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined:
        return f"`{field.default_factory()}`"  # type: ignore[misc, call-arg]
    return _format_value(field.default)


def _format_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Section):
        name = getattr(value, "name", None)
        return f"`{name}`" if name is not None else "its defaults"
    if isinstance(value, list | tuple):
        return ", ".join(_format_value(part) for part in value) or "none"
    return f"`{value}`" if value else "empty"


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
