"""HTML from templates: every inserted value is text, escaped, with nothing hidden in it."""

from __future__ import annotations

import base64
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from schemas.foreign_text import escape_hidden


def page_templates(package: str) -> Environment:
    """The templates (`*.html`) among the files of `package`.

    Text passed to a template goes through `escape_hidden` and is escaped for HTML content and quoted
    attributes; only `Markup` stays as it is. An undefined name is an error (jinja2.UndefinedError). Filters:
    `cut` (a limit in characters), `keep_lines` (keeps line breaks; an optional limit), `fixed` (a number of
    decimals), `data_uri` (a picture's bytes and their media type).
    """
    templates = Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_as_text,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "cut": escape_hidden,
        "keep_lines": _keep_lines,
        "fixed": lambda value, digits: f"{value:.{digits}f}",
        "data_uri": lambda data, media: f"data:{media};base64,{base64.b64encode(data).decode('ascii')}",
    }
    return templates


def own_file(package: str, name: str) -> Markup:
    """One of this package's own style sheets or scripts, inserted into a page unescaped."""
    return Markup(resources.files(package).joinpath(name).read_text(encoding="utf-8"))


def _as_text(value: Any) -> Any:
    return escape_hidden(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _keep_lines(text: str, limit: int = 0) -> Markup:
    return escape(escape_hidden(text, limit, keep_lines=True))
