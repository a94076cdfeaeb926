"""What configuration sections are made of: their base class, paths, and what may leave this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict


def _no_zero_byte(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a path can't hold a zero byte")
    return path


ConfigPath = Annotated[Path, AfterValidator(_no_zero_byte)]


class Section(BaseModel):
    """Base of the configuration's parts: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def without_places(value: Any) -> Any:
    """What `model_dump` gave, with every path cut to its last part: what may leave this machine."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, dict):
        return {key: without_places(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(part) for part in value]
    return value
