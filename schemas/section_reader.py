"""Reads a YAML file into a Section, with errors that name the line, the key, and the nearest known key."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

from schemas.errors import InputError
from schemas.sections import Section

MAX_TEXT = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 50
"""Bounds of a configuration file: its characters, its values with every alias written out, its nesting."""

Root = TypeVar("Root", bound=Section)
Checks = Mapping[str, Callable[[Any], None]]
"""What raises InputError for a wrong value of a key, by the kind that `checked_as` marks the key with."""


def load_section(path: Path, kind: type[Root], checks: Checks | None = None) -> Root:
    """Read a YAML file whose keys are those of `kind`; `checks` refuse wrong values of keys about plug-ins.

    Raises InputError (one line: file, line, key, what to do).
    """
    node, data = _parse(path, _read(path))
    try:
        return kind.model_validate(data, context=checks)
    except ValidationError as error:
        raise InputError(_explain(path, kind, node, error)) from error


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_TEXT + 1)
    except OSError as error:
        raise InputError(
            f"{path}: can't read this configuration: {error.strerror}; give a YAML file"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path}: can't read this configuration: not UTF-8 text; give a YAML file"
        ) from error
    if len(text) > MAX_TEXT:
        raise InputError(f"{path}: more than {MAX_TEXT} characters; a configuration is far smaller")
    return text


def _parse(path: Path, text: str) -> tuple[yaml.MappingNode, dict[Any, Any]]:
    """The document as nodes, which know their lines, and as values. Raises InputError."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(node, yaml.MappingNode):
            raise InputError(f"{path}: a configuration is a mapping of keys such as name, images, out")
        _refuse_bombs(path, node)
        _refuse_duplicate_keys(path, node)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        raise InputError(f"{path}{line}: {problem}; fix the YAML there") from error
    except RecursionError as error:
        raise InputError(
            f"{path}: nested too deeply; a configuration has at most {MAX_DEPTH} levels"
        ) from error
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:  # PyYAML, for a value against its tag
        raise InputError(f"{path}: a value can't be read: {error}; fix the YAML") from error
    return node, data


def _refuse_bombs(path: Path, root: yaml.Node) -> None:
    """Aliases may repeat parts, but not multiply them without bound or hold themselves."""
    pending = [(root, 1)]
    seen = 0
    while pending:
        node, depth = pending.pop()
        seen += 1
        if seen > MAX_NODES or depth > MAX_DEPTH:
            line = node.start_mark.line + 1
            limit = f"at most {MAX_NODES} values, aliases written out, and {MAX_DEPTH} levels"
            raise InputError(f"{path}:{line}: too many values or levels; a configuration has {limit}")
        if isinstance(node, yaml.MappingNode):
            pending += [(child, depth + 1) for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            pending += [(child, depth + 1) for child in node.value]


def _refuse_duplicate_keys(path: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise InputError(
                        f"{path}:{key.start_mark.line + 1}: the key '{key.value}' is given twice; keep one"
                    )
                seen.add(key.value)
            _refuse_duplicate_keys(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicate_keys(path, value)


def _explain(path: Path, kind: type[Section], node: yaml.Node, error: ValidationError) -> str:
    """One line for the first problem, and how many more there are."""
    problems = error.errors()
    unknown = [problem for problem in problems if problem["type"] in ("extra_forbidden", "invalid_key")]
    first = [*unknown, *problems][0]
    loc = [part for part in first["loc"] if isinstance(part, (str, int))]
    line = _line_of(node, loc)
    dotted = ".".join(str(part) for part in loc)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if unknown:
        known = _keys_at(kind, loc[:-1])
        close = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}"
        return f"{path}:{line}: unknown key '{dotted}'; {hint}{more}"
    if first["type"] == "missing":
        return f"{path}:{line}: the key '{dotted}' is missing; add it{more}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "model_type":
        message = f"must be a mapping with keys out of {', '.join(_keys_at(kind, loc))}"
    shown = "" if isinstance(first["input"], dict) else f" (given {reprlib.repr(first['input'])})"
    return f"{path}:{line}: '{dotted or 'configuration'}': {message}{shown}{more}"


def _keys_at(kind: type[Section], loc: list[str | int]) -> list[str]:
    model = kind
    for part in loc:
        if isinstance(part, str):
            model = section_of(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def section_of(annotation: Any) -> type[Section] | None:
    """The section in a field's type: itself, optional, or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_of(part))), None)


def _line_of(node: yaml.Node | None, loc: list[str | int]) -> int:
    """The 1-based line of the deepest key on `loc` that the file has."""
    line = 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line + 1, value
                    break
            else:
                return line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line
