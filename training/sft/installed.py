"""Checks that the packages training needs are installed."""

from __future__ import annotations

from importlib.util import find_spec

from schemas.errors import InputError


def check_installed() -> None:
    """Raise InputError when a package that training needs isn't installed. Imports none of them."""
    needed = ("torch", "transformers", "peft", "tensorboard", "trl")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise InputError(f"training needs {', '.join(missing)}; pip install 'iqa-spider[train]'")
