"""What configurations are made of: sections, whose keys declare their role, and walks that read the roles.

A key is declared with its type, default, role and, as a docstring below it, its description:

    points_per_batch: Annotated[StrictInt, Field(ge=1, le=4096), HOW] = 64
    \"\"\"Points prompted at a time.\"\"\"

A key without a role shapes the result; a path without a role is an input, which counts by its content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictFloat, ValidationInfo
from pydantic.fields import FieldInfo

from schemas.errors import InputError


@dataclass(frozen=True)
class Role:
    """What a key is to the dataset, or to whatever the configuration makes.

    `hashed`: part of the configuration's hash, a path by its last part. `keyed`: part of the job keys of
    every stage that takes the section, or of the one stage named. `public`: published with the dataset.
    `written`: a path that the work itself makes, so it needn't exist.
    """

    title: str
    hashed: bool = False
    keyed: bool | str = False
    public: bool = True
    written: bool = False


RESULT = Role("shapes the result", hashed=True, keyed=True)
SETTLED = Role("shapes the result", hashed=True)
"""Shapes the result, but job keys hold what becomes of it instead, such as the pictures kept."""
INPUT = Role("input")
"""Which inputs to take: job keys hold their content."""
NAMED_INPUT = Role("input", hashed=True)
"""A path whose last part is in the configuration's hash."""
OUTPUT = Role("output", public=False, written=True)
LABEL = Role("label")
CUT = Role("cuts shards", public=False)
"""The same rows, in other shards: after a change nothing made before is reused."""
HOW = Role("how only", public=False)


def shapes_files(stage: str) -> Role:
    """The role of a key that shapes the published files, not their rows, and is part of one stage's keys."""
    return Role("shapes files", keyed=stage)


@dataclass(frozen=True)
class CountsAs:
    """In hash and job keys, the values `among` these are one, `value`."""

    value: str
    among: tuple[str, ...]


class ModelOrFolder:
    """Marks a model's name on the Hugging Face hub or the path of its folder."""


def _no_zero_byte(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a path can't hold a zero byte")
    return path


ConfigPath = Annotated[Path, AfterValidator(_no_zero_byte)]
Share = Annotated[StrictFloat, Field(ge=0, le=1)]
ShortText = Annotated[str, Field(min_length=1, max_length=500)]
ModelName = Annotated[ShortText, ModelOrFolder()]
"""A name on the Hugging Face hub or a folder. It is part of keys as it is spelled, wherever the folder is."""
Settings = dict[str, dict[str, Any]]
"""Settings of plug-ins that were added as files, by the plug-in's name."""
LEFT_OUT = Field(exclude_if=lambda value: not value)
"""Out of everything written while empty: keys and files are then as if there were no such setting."""
_HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")
_PLACES = ("/", "~", "./", "../")
"""How a path on this machine begins, where only the text can tell that it is one."""


def checked_as(kind: str) -> AfterValidator:
    """For a key about plug-ins, which this package doesn't know: the context of validation may hold a
    function for the kind that raises InputError for a wrong value. Without one any value is taken here.
    """

    def check(value: Any, info: ValidationInfo) -> Any:
        refuse: Callable[[Any], None] | None = (info.context or {}).get(kind)
        try:
            if refuse is not None:
                refuse(value)
        except InputError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(check)


class Section(BaseModel):
    """A part of a configuration: an unknown key is an error, and a docstring below a key describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


AnySection = TypeVar("AnySection", bound=Section)


def shaping(section: Section, stage: str | None = None) -> dict[str, Any]:
    """What of a section shapes rows, as JSON values: for the job keys of `stage`, or for the configuration's
    hash when that is None. A section in which nothing does is left out.
    """

    def counts(role: Role) -> bool:
        return role.hashed if stage is None else role.keyed in (True, stage)

    found = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if counts(role_of(field)) and not _is_left_out(field, value):
            shaped = _shaped(value, stage)
            if shaped or not isinstance(value, Section):
                found[name] = shaped
        for counted in marks(field, CountsAs):
            if name in found and value in counted.among:
                found[name] = counted.value
    return found


def _shaped(value: Any, stage: str | None) -> Any:
    if isinstance(value, Section):
        return shaping(value, stage)
    if isinstance(value, list | tuple):
        return [_shaped(part, stage) for part in value]
    return value.name if isinstance(value, Path) else value


def absolute(section: AnySection, base: Path) -> AnySection:
    """The same section with every path absolute; relative ones start from `base`, an absolute folder."""
    parts = {name: _absolute(getattr(section, name), base) for name in type(section).model_fields}
    return section.model_copy(update=parts)


def _absolute(value: Any, base: Path) -> Any:
    if isinstance(value, Section):
        return absolute(value, base)
    if isinstance(value, list | tuple):
        return type(value)(_absolute(part, base) for part in value)
    return base / value if isinstance(value, Path) else value


def public(section: Section) -> dict[str, Any]:
    """What of a section may leave this machine, as JSON values: not how the work is done, nor where files
    are. Paths, models' folders among them, are cut to their last part; keys left at None are left out.
    """
    found = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        unset = (value is None and field.default is None) or _is_left_out(field, value)
        if unset or not role_of(field).public:
            continue
        shown = _public(value, any(marks(field, ModelOrFolder)))
        if shown or not isinstance(value, Section):
            found[name] = shown
    return found


def _public(value: Any, model: bool) -> Any:
    if isinstance(value, Section):
        return public(value)
    if isinstance(value, list | tuple):
        return [_public(part, model) for part in value]
    if isinstance(value, dict):
        return {name: _without_places(part) for name, part in value.items()}
    folder = model and isinstance(value, str) and not _HUB_NAME.fullmatch(value)
    return Path(value).name if folder or isinstance(value, Path) else value


def _without_places(value: Any) -> Any:
    """A value whose keys no section declares, every text that begins like a path cut to its last part."""
    if isinstance(value, dict):
        return {name: _without_places(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(part) for part in value]
    return Path(value).name if isinstance(value, str) and value.startswith(_PLACES) else value


def inputs(section: Section, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """(dotted key, path) of every file and folder that has to exist before the work begins."""
    for name, field in type(section).model_fields.items():
        if not role_of(field).written:
            yield from _inputs(getattr(section, name), f"{prefix}{name}")


def _inputs(value: Any, key: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Section):
        yield from inputs(value, f"{key}.")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _inputs(part, f"{key}.{number}")
    elif isinstance(value, Path):
        yield key, value


def role_of(field: FieldInfo) -> Role:
    """The role that a key declares, or that its type gives it."""
    return next(marks(field, Role), INPUT if _holds(field.annotation, Path) else RESULT)


def _is_left_out(field: FieldInfo, value: Any) -> bool:
    """Whether the value is written nowhere: keys and files are then as if there were no such key."""
    return field.exclude_if is not None and field.exclude_if(value)


Mark = TypeVar("Mark")


def marks(field: FieldInfo, kind: type[Mark]) -> Iterator[Mark]:
    """The marks of one kind on a field, on its type or on a type inside that."""
    yield from (mark for mark in field.metadata if isinstance(mark, kind))
    yield from _inner_marks(field.annotation, kind)


def _inner_marks(annotation: Any, kind: type[Mark]) -> Iterator[Mark]:
    yield from (mark for mark in getattr(annotation, "__metadata__", ()) if isinstance(mark, kind))
    for part in get_args(annotation):
        yield from _inner_marks(part, kind)


def _holds(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_holds(part, kind) for part in get_args(annotation))
