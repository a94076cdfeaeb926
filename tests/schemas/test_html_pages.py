"""Templates escape every value, hide nothing in it, and belong to what is installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markupsafe import Markup

from schemas.html_pages import page_templates

ROOT = Path(__file__).parents[2]
TEMPLATES = page_templates("schemas")
PRINTED = tuple(
    TEMPLATES.from_string(template)
    for template in (
        "{{ text }}",
        "{{ text|cut(20) }}",
        "{{ text|keep_lines }}",
        "{{ text ~ text }}",
        "{% macro m(t) %}{{ t }}{% endmacro %}{{ m(text) }}",
        "{% set kept %}{{ text }}{% endset %}{{ kept }}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ text }}{% endcall %}",
    )
)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=[])))
def test_text_in_a_page_is_inert_and_encodes(text: str) -> None:
    plain, cut, lines, *others = (template.render(text=text) for template in PRINTED)
    for shown in (plain, cut, lines, *others):
        shown.encode("utf-8")
        assert not re.search(r"[<>\"'\x00-\x09\x0b-\x1f\u202e]", shown)
        assert not re.search(r"&(?!(lt|gt|amp|#34|#39);)", shown)
    assert "\n" not in plain
    assert lines.count("\n") == text.removesuffix("\n").count("\n") + text.endswith("\n")
    assert len(re.sub(r"&[^;]+;|\\[ux][0-9a-f]+|\\[nrt]", "?", cut)) <= 21
    assert others == [plain * 2, plain, plain, plain]


def test_markup_stays_and_numbers_are_as_wanted() -> None:
    template = TEMPLATES.from_string("{{ ours }} {{ 2.345|fixed(1) }} {{ data|data_uri('image/png') }}")
    assert template.render(ours=Markup("<b>x</b>"), data=b"ab") == "<b>x</b> 2.3 data:image/png;base64,YWI="


def test_a_name_that_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="missing"):
        TEMPLATES.from_string("{{ missing }}").render()


@pytest.mark.parametrize("package", ["flows/dataset/report", "training/sft", "inference"])
def test_templates_and_style_sheets_are_packaged(package: str) -> None:
    endings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    for name in ("*.html", "*.css"):
        assert name in endings
        assert list((ROOT / package).glob(name))
    assert (ROOT / package / "__init__.py").is_file()
