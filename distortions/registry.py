"""The catalog: every distortion as data (class, words, extent, levels), looked up by name or alias."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml

from distortions.operations import OPERATIONS, Operation
from schemas.hashing import content_key

Parameters = Mapping[str, float | str]
Extent = Literal["local", "global"]
Statistics = Literal["none", "mask", "box"]

LEVELS = (1, 2, 3, 4, 5)
PATH_SIDE = 384
MAXIMUM_REACH = 3.41


class UnknownDistortion(ValueError):
    """Unknown name or alias, or one that needs a level to be unambiguous; the message says what to do."""


@dataclass(frozen=True)
class Levels:
    """Parameters of levels 1 to 5, set for pictures with a short side of `side` pixels.

    Empty at levels where the alias is another distortion.
    """

    side: int
    parameters: tuple[Parameters, ...]


@dataclass(frozen=True)
class Entry:
    """One distortion of the catalog.

    `name` is canonical, `alias` the peer's name it was looked up by (None for the canonical levels),
    `category` its class (plans/pairs.yaml lists them), `phrase` its name in text ("Gaussian blur").
    `extent` "local": a pixel depends on its surroundings alone; "global": on statistics too, taken over the
    pixels of the region ("mask"), or over its bounding box with some context ("box"). `lengths` are the
    parameters measured in pixels. `tables` hold the levels at one short side, from which lengths scale with
    the picture, or at several, between which every number is interpolated. `aliases` are peers' names, each
    with the peer's own levels. `source` says where the operation and peers' levels come from. `reach` is the
    largest mean strength of a type on photographs, if that is below the others' level 5. `draws` is
    how many seeds per photograph its calibration averages: more than one where the random part (an angle, a
    texture, positions) influences the strength.
    """

    name: str
    category: str
    phrase: str
    extent: Extent
    statistics: Statistics
    operation: str
    lengths: tuple[str, ...]
    tables: tuple[Levels, ...]
    aliases: Mapping[str, Levels]
    source: str
    reach: float = MAXIMUM_REACH
    draws: int = 1
    alias: str | None = None

    @property
    def function(self) -> Operation:
        """The operation that computes the pixels."""
        return OPERATIONS[self.operation]

    def parameters(self, level: int, short_side: int) -> dict[str, float | str]:
        """The operation's parameters at `level` 1 to 5 for a picture with this short side in pixels."""
        if isinstance(level, bool) or level not in LEVELS:
            raise ValueError(f"level must be 1, 2, 3, 4 or 5; got {level!r}")
        if not self.tables[0].parameters[level - 1]:
            raise ValueError(f"{self.alias} isn't {self.name} at level {level}; resolve it with its level")
        return _interpolate(self.tables, self.lengths, level, short_side)


def _interpolate(
    tables: tuple[Levels, ...], lengths: tuple[str, ...], level: int, short_side: int
) -> dict[str, float | str]:
    """Parameters between two tables, linear in the short side's logarithm; beyond the end tables, theirs.

    Lengths are interpolated as shares of the short side: beyond the end tables they scale with the picture.
    """
    sides = [table.side for table in tables]
    within = min(max(short_side, sides[0]), sides[-1])
    right = next(i for i, side in enumerate(sides) if side >= within)
    left = max(0, right - 1)
    share = math.log(within / sides[left]) / math.log(sides[right] / sides[left]) if right else 0.0
    mixed: dict[str, float | str] = {}
    for name, a in tables[left].parameters[level - 1].items():
        b = tables[right].parameters[level - 1][name]
        if isinstance(a, str) or isinstance(b, str):
            mixed[name] = a
        elif name in lengths:
            a, b = a * short_side / sides[left], b * short_side / sides[right]
            mixed[name] = a + share * (b - a)
        else:
            mixed[name] = a + share * (b - a)
    return mixed


@dataclass(frozen=True)
class Registry:
    """Entries by canonical name, by alias, and by alias and level where the level determines the entry."""

    entries: Mapping[str, Entry]
    aliases: Mapping[str, Entry]
    by_level: Mapping[str, tuple[Entry, ...]]

    def names(self) -> list[str]:
        """All names and aliases."""
        return [*self.entries, *self.aliases, *self.by_level]


def catalog() -> tuple[Entry, ...]:
    """All entries with their canonical levels, in the catalog's order."""
    return tuple(_registry().entries.values())


def resolve(name: str, level: int | None = None) -> Entry:
    """The entry of a canonical name, or of an alias such as "depictqa:pixelate" with the peer's levels.

    The distortion of some peers' scales depends on the level: "kadid:18" brightens at levels 1 and 2 and
    darkens at 4 and 5. Such an alias is an entry only together with a `level`, and its levels aren't
    severities; where the peer's level changes nothing (kadid:18 at 3) it is the entry of the level before,
    without effect. Other names ignore `level`.

    Raises UnknownDistortion (a ValueError) naming the nearest known name, or the entries an alias stands for
    when it needs a level and has none.
    """
    registry = _registry()
    found = registry.entries.get(name) or registry.aliases.get(name)
    if found is not None:
        return found
    parts = registry.by_level.get(name)
    if parts is None:
        near = difflib.get_close_matches(str(name), registry.names(), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else "distortions.catalog() lists all names"
        raise UnknownDistortion(f"unknown distortion {name!r}; {hint}")
    if level is None:
        names = " or ".join(dict.fromkeys(entry.name for entry in parts))
        raise UnknownDistortion(f"{name!r} is a different distortion at different levels; use {names}")
    if isinstance(level, bool) or level not in LEVELS:
        raise ValueError(f"level must be 1, 2, 3, 4 or 5; got {level!r}")
    return parts[level - 1]


def path_parameters(path: Mapping[str, Any], t: float) -> dict[str, float | str]:
    """An entry's parameters at `t` on its path, 0 (no effect) to 1 (strongest), for a short side of 384."""
    parameters: dict[str, float | str] = {}
    for name, value in path.items():
        if not isinstance(value, list):
            parameters[name] = value if isinstance(value, str) else float(value)
        elif value[2] == "log":
            parameters[name] = float(value[0] * (value[1] / value[0]) ** t)
        else:
            parameters[name] = float(value[0] + (value[1] - value[0]) * t)
    return parameters


def catalog_digest(names: Iterable[str]) -> str:
    """64 hex digits over everything that determines these distortions' pixels: levels, operation, scaling."""
    parts = []
    for name in sorted(set(names)):
        entry = resolve(name)
        tables = [[table.side, [dict(p) for p in table.parameters]] for table in entry.tables]
        operation = [entry.operation, entry.function.version, entry.function.grid]
        parts.append([entry.name, operation, list(entry.lengths), entry.statistics, tables])
    return content_key("distortions", parts)


def build_registry(table: Mapping[str, Any], calibrated: Mapping[str, Any]) -> Registry:
    """The registry from the two data files' contents.

    Raises ValueError for a duplicate name or alias, an unknown operation or parameter, or a wrong number of
    levels.
    """
    entries: dict[str, Entry] = {}
    aliases: dict[str, Entry] = {}
    for item in table["entries"]:
        entry = _entry(item, calibrated.get(item["name"]))
        for name in (entry.name, *entry.aliases):
            if name in entries or name in aliases:
                raise ValueError(f"duplicate distortion name {name!r}")
            if name == entry.name:
                entries[name] = entry
            else:
                aliases[name] = replace(entry, tables=(entry.aliases[name],), alias=name)
    unknown = sorted(set(calibrated) - set(entries))
    if unknown:
        raise ValueError(f"levels.yaml has unknown distortions: {', '.join(unknown)}")
    by_level = {}
    for alias, scale in table.get("by_level", {}).items():
        if alias in entries or alias in aliases:
            raise ValueError(f"duplicate distortion name {alias!r}")
        by_level[alias] = _parts(alias, scale, entries)
    return Registry(entries, aliases, by_level)


def _parts(alias: str, table: Mapping[str, Any], entries: Mapping[str, Entry]) -> tuple[Entry, ...]:
    """The entry of each level of an alias that is several distortions."""
    found: dict[int, Entry] = {}
    for name, part in table["parts"].items():
        if name not in entries:
            raise ValueError(f"{alias}: unknown distortion {name!r}")
        columns = {parameter: values for parameter, values in part.items() if parameter != "levels"}
        given = _rows(alias, columns, len(part["levels"]))
        if set(given[0]) != set(entries[name].tables[0].parameters[0]):
            raise ValueError(f"{alias}: its levels of {name} have other parameters than the entry")
        rows: list[Parameters] = [{} for _ in LEVELS]
        for level, row in zip(part["levels"], given, strict=True):
            rows[level - 1] = row
        levels = Levels(int(table["side"]), tuple(rows))
        found |= dict.fromkeys(part["levels"], replace(entries[name], tables=(levels,), alias=alias))
    if sorted(found) != list(LEVELS):
        raise ValueError(f"{alias}: its parts are for the levels {sorted(found)}, not 1 to 5")
    return tuple(found[level] for level in LEVELS)


def _entry(item: Mapping[str, Any], calibrated: Mapping[int, Any] | None) -> Entry:
    name = item["name"]
    if item["operation"] not in OPERATIONS:
        raise ValueError(f"{name}: unknown operation {item['operation']!r}")
    aliases = {}
    tables: tuple[Levels, ...]
    for alias, table in item.get("peers", {}).items():
        aliases[alias] = _levels(alias, int(table["side"]), {k: v for k, v in table.items() if k != "side"})
    if calibrated is not None:
        tables = tuple(_levels(name, int(side), columns) for side, columns in sorted(calibrated.items()))
    elif aliases:
        tables = (next(iter(aliases.values())),)
    else:
        path = {parameter: value for parameter, value in item["path"].items() if parameter != "sides"}
        tables = (Levels(PATH_SIDE, tuple(path_parameters(path, level / 5) for level in LEVELS)),)
    known = {tuple(sorted(p)) for table in (*tables, *aliases.values()) for p in table.parameters}
    if len(known) != 1:
        raise ValueError(f"{name}: its level tables have different parameters: {sorted(known)}")
    return Entry(
        name=name,
        category=item["category"],
        phrase=item["phrase"],
        extent="local" if item.get("statistics", "none") == "none" else "global",
        statistics=item.get("statistics", "none"),
        operation=item["operation"],
        lengths=tuple(item.get("lengths", ())),
        tables=tables,
        aliases=aliases,
        source=item["source"],
        reach=float(item.get("reach", MAXIMUM_REACH)),
        draws=int(item.get("draws", 1)),
    )


def _levels(name: str, side: int, columns: Mapping[str, Any]) -> Levels:
    """A table from columns: a list of five values by level, or one value for all levels."""
    return Levels(side, tuple(_rows(name, columns, len(LEVELS))))


def _rows(name: str, columns: Mapping[str, Any], count: int) -> list[Parameters]:
    """`count` rows from columns."""
    rows: list[dict[str, float | str]] = [{} for _ in range(count)]
    for parameter, values in columns.items():
        by_level = values if isinstance(values, list) else [values] * count
        if len(by_level) != count:
            raise ValueError(f"{name}: {parameter} has {len(by_level)} values for {count} levels")
        for row, value in zip(rows, by_level, strict=True):
            row[parameter] = value if isinstance(value, str) else float(value)
    return list(rows)


@lru_cache(maxsize=1)
def _registry() -> Registry:
    return build_registry(read_table("catalog.yaml"), read_table("levels.yaml"))


def read_table(name: str) -> dict[str, Any]:
    """Load one of this package's YAML data files."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data = yaml.load(text, Loader=loader)
    return data if isinstance(data, dict) else {}
