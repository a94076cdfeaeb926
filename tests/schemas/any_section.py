"""Sections with a value for every key, and with one key changed, made from the declarations alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from schemas.sections import ModelOrFolder, Role, Section, marks, role_of

FOLDER = "some/private/folder"
Kind = TypeVar("Kind", bound=Section)


def filled(kind: type[Kind]) -> Kind:
    """A section with every key given, unchecked; paths and models' names lie below FOLDER."""
    values = {}
    for name, field in kind.model_fields.items():
        model = any(marks(field, ModelOrFolder))
        values[name] = f"/{FOLDER}/{name}" if model else _value(field.annotation, name)
    return kind.model_construct(**values)


def _value(annotation: Any, name: str) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value(arguments[0], name)
    if origin is Literal:
        return arguments[0]
    if origin in (list, tuple):
        return origin([_value(arguments[0], name)])
    if origin is dict:
        return {}
    if arguments:
        return _value(next(part for part in arguments if part is not NoneType), name)
    if issubclass(annotation, Section):
        return filled(annotation)
    return {bool: False, int: 1, float: 0.5, str: name, Path: Path(FOLDER, name)}[annotation]


def changes(section: Kind, prefix: str = "") -> Iterator[tuple[str, list[Role], Kind]]:
    """Every key at the end of the section's tree that isn't None: its dotted name, the roles of the keys that
    lead to it, and the section with another value there.
    """
    for name, field in type(section).model_fields.items():
        for inner, roles, value in _changed(getattr(section, name), field.annotation):
            changed = section.model_copy(update={name: value})
            yield f"{prefix}{name}{inner}", [role_of(field), *roles], changed


def _changed(value: Any, annotation: Any) -> Iterator[tuple[str, list[Role], Any]]:
    if isinstance(value, Section):
        yield from ((f".{name}", roles, other) for name, roles, other in changes(value))
    elif isinstance(value, list | tuple) and value:
        for name, roles, other in _changed(value[0], None):
            yield f".0{name}", roles, type(value)([other, *value[1:]])
    elif value is not None and not isinstance(value, dict | list | tuple):
        yield "", [], _other(value, annotation)


def _other(value: Any, annotation: Any) -> Any:
    for part in (annotation, *get_args(annotation)):
        if get_origin(part) is Literal:
            return next(word for word in get_args(part) if word != value)
    if isinstance(value, bool):
        return not value
    return value.with_name(f"{value.name}-2") if isinstance(value, Path) else value * 2 or f"{value}-2"
