"""DQ-495K (DepictQA-Wild's DataDepictQA): distorted pictures identified, described and compared."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distortions import UnknownDistortion, catalog, resolve
from flows.stages.row_fields import (
    Imported,
    Part,
    Turn,
    Values,
    conversation,
    identifier,
    in_sentences,
    path,
    text,
    without_tokens,
)
from schemas.errors import SampleError
from schemas.hashing import content_key

if TYPE_CHECKING:
    from flows.stages.merging.candidates import Candidate

LICENSE = "Apache-2.0"
RANK = 1
"""What a generator says it did."""
ROWS, PICTURES = 495_000, 400_000
"""About a picture a row of identification, fewer of the rest."""

_PARTS: dict[str, tuple[tuple[str, Part], ...]] = {
    "quality_single_A": (("image_ref", "reference"), ("image_A", "A")),
    "quality_single_A_noref": (("image_A", "A"),),
    "quality_compare": (("image_ref", "reference"), ("image_A", "A"), ("image_B", "B")),
    "quality_compare_noref": (("image_A", "A"), ("image_B", "B")),
}
"""The pictures of each task type in the order in which the dialogue gets them."""
_FORMS = {"brief": "brief", "mix": "brief", "single": "brief", "detail": "detail"}
_FORM = re.compile(r"(?:^|_)(brief|mix|single|detail)(?=_|\.|$)")
_PHOTOGRAPH = re.compile(r"^(KADIS700K|KADID10K|PIPAL)[^/]*/(?:.*/)?([^/]+?)(?:_\d+)*\.[^./]+$")
"""Distorted versions are named after their photograph: 121-cc-774921_0, I01_01_05, A0001_00_00."""
_SINGLE = ("distortion_class", "distortion_name", "severity")
_SEVERAL = ("distortion_classes", "distortion_names", "severities")


def facts(path: Path) -> dict[str, Any]:
    """The form of the file's rows by its path, however that is written, and what names are mapped to."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 links stay: their targets may be named by hashes
    return {"form": form_of("/".join(whole.parts[-3:])), "catalogue": catalog_key()}


def form_of(place: str) -> str | None:
    """ "brief" or "detail" as the last part of a path with / that says it does, else None."""
    for part in reversed(place.split("/")):
        found = _FORM.findall(part)
        if found:
            return _FORMS[found[-1]]
    return None


def catalog_key() -> str:
    """A hash of what the names are mapped to: part of every key."""
    return content_key(
        [[alias, entry.name, entry.category] for entry in catalog() for alias in entry.aliases]
    )


def read(row: Values, facts: Mapping[str, Any]) -> Imported:
    """A row of any of its files. Raises SampleError."""
    kind = row.get("task_type")
    if not isinstance(kind, str):
        raise SampleError("task-type", "task_type is missing or not text")
    if "quality" not in kind and "image" in row and "image_A" not in row:
        return _general(row, kind)
    if kind not in _PARTS:
        raise SampleError("task-type", f"no importer for the task type {kind[:80]!a}")
    pictures = _pictures(row, kind)
    turns, published_test = _dialogue(row, len(pictures))
    if kind.startswith("quality_compare"):
        task, distortions, better = _compared(row, pictures)
    else:
        task = _single(row, pictures, facts["form"])
        distortions, better = _stated(row, len(pictures) - 1), None
    shown = {part: name for name, part in pictures}
    origin = shown.get("reference") or path(row, "image_ref")
    named = [name for name in (origin, shown.get("A"), shown.get("B")) if name is not None]
    groups = {f"{found[1]}:{found[2]}" for found in map(_PHOTOGRAPH.match, named) if found is not None}
    return Imported(
        task=task,
        messages=_introduced(in_sentences(turns), pictures),
        pictures=pictures,
        given_id=identifier(row),
        task_type=kind,
        origin=origin,
        groups=sorted(groups),
        published_test=published_test,
        distortions=distortions,
        better=better,
    )


def _pictures(row: Values, kind: str) -> list[tuple[str, Part]]:
    """Raises SampleError "missing-reference", "missing-picture", "unexpected-picture" or as `path`."""
    found: list[tuple[str, Part]] = []
    for key, part in _PARTS[kind]:
        name = path(row, key)
        if name is None:
            reason = "missing-reference" if part == "reference" else "missing-picture"
            raise SampleError(reason, f"{kind} needs {key}")
        found.append((name, part))
    if not kind.startswith("quality_compare") and path(row, "image_B") is not None:
        raise SampleError("unexpected-picture", f"{kind} is about one picture, the row has image_B")
    return found


def _dialogue(row: Values, pictures: int) -> tuple[list[Turn], bool]:
    """The turns, none for a test question without an answer; and whether the row has the form of a test."""
    if "query" not in row:
        return without_tokens(conversation(row.get("conversations")), pictures), False
    if row.get("conversations") is not None:
        raise SampleError("two-dialogues", "the row has both a query and conversations")
    question = ("user", text(row["query"], "the query"))
    if row.get("answer") is None:
        return [], True
    return without_tokens([question, ("assistant", text(row["answer"], "the answer"))], pictures), True


def _single(row: Values, pictures: list[tuple[str, Part]], form: str | None) -> str:
    """The task of a row about one picture: its file says whether it identifies or describes."""
    form = form or form_of(pictures[-1][0])
    if form is None:
        raise SampleError("unknown-form", "neither the file's nor the picture's path says brief or detail")
    if form == "brief":
        return "external_identification"
    return "global_description" if len(pictures) == 1 else "external_description"


def _compared(
    row: Values, pictures: list[tuple[str, Part]]
) -> tuple[str, list[dict[str, Any]] | None, int | None]:
    """The task, distortions and the better picture of a row about a pair."""
    first = len(pictures) - 2
    if "A_better_B" in row:
        better = row["A_better_B"]
        if not isinstance(better, bool):
            raise SampleError("better-type", "A_better_B is neither true nor false")
        return "external_comparison", None, first if better else first + 1
    stated: list[dict[str, Any]] = []
    for number, key in enumerate(("distortions_A", "distortions_B"), first):
        block = row.get(key)
        if not isinstance(block, dict):
            raise SampleError("no-distortions", f"{key} is missing or no object")
        stated += _stated(block, number)
    return "external_comparison_description", stated, None


def _stated(block: Values, image: int) -> list[dict[str, Any]]:
    """What was done to picture number `image`, in order; [] for an untouched one.

    Raises SampleError "no-distortions", "distortions-twice", "pristine-mismatch", "distortion-type",
    "distortion-lengths", "severity-type", "severity-range", "unknown-distortion", "unknown-class",
    "class-mismatch".
    """
    forms = [keys for keys in (_SINGLE, _SEVERAL) if any(key in block for key in keys)]
    if not forms:
        raise SampleError("no-distortions", "the row doesn't say what was done to its picture")
    if len(forms) > 1:
        raise SampleError("distortions-twice", "the row has fields for one distortion and for several")
    classes, names, levels = (block.get(key) for key in forms[0])
    if classes is None and names is None:
        if type(levels) is not int or levels != 0:
            raise SampleError("pristine-mismatch", "no distortion is named, but the severity is not 0")
        return []
    if type(levels) is int and levels == 0:
        raise SampleError("pristine-mismatch", "the severity is 0, but a distortion is named")
    if forms[0] is _SINGLE:
        classes, names, levels = [classes], [names], [levels]
    if not (isinstance(classes, list) and isinstance(names, list) and isinstance(levels, list)):
        raise SampleError("distortion-type", "several distortions are not given as lists")
    if not len(classes) == len(names) == len(levels) > 0:
        raise SampleError("distortion-lengths", "classes, names and severities are not equally many")
    return [
        _one(image, order, *given) for order, given in enumerate(zip(classes, names, levels, strict=True), 1)
    ]


def _one(image: int, order: int, given_class: object, given_name: object, level: object) -> dict[str, Any]:
    if not isinstance(given_class, str) or not isinstance(given_name, str):
        raise SampleError("distortion-type", "the name or class of a distortion is not text")
    if type(level) is not int:
        raise SampleError("severity-type", "a severity is no whole number")
    if not 1 <= level <= 5:
        raise SampleError("severity-range", f"the severity {level} is not 1 to 5")
    name, category = _ours(given_name[:200])
    if given_class not in _classes():
        raise SampleError("unknown-class", f"no class of distortions is called {given_class[:80]!a}")
    if given_class != category:
        raise SampleError("class-mismatch", f"{name} is of class {category}, not {given_class[:80]}")
    return {
        "image": image,
        "order": order,
        "name": name,
        "category": category,
        "level": level,
        "given_name": given_name,
        "given_category": given_class,
        "given_level": level,
    }


def generated(row: Candidate) -> Iterator[str]:
    """Pictures whose distortions are stated, and those of a comparison but for the photograph."""
    if row.task == "external_general":
        return
    compared = row.task == "external_comparison"
    for name, truth in zip(row.pictures, row.truths, strict=True):
        if truth or (truth is None and compared and name != row.origin):
            yield name


@lru_cache(maxsize=1000)
def _ours(given: str) -> tuple[str, str]:
    """Our name and class of DepictQA's name, in its spelling ("shfit") or spelled right."""
    for spelled in (given, given.replace("_shift_", "_shfit_")):
        try:
            entry = resolve(f"depictqa:{spelled}")
        except UnknownDistortion:
            continue
        return entry.name, entry.category
    raise SampleError("unknown-distortion", f"no distortion is called {given[:80]!a}")


@lru_cache(maxsize=1)
def _classes() -> frozenset[str]:
    return frozenset(
        entry.category for entry in catalog() if any(alias.startswith("depictqa:") for alias in entry.aliases)
    )


def _introduced(turns: list[Turn], pictures: list[tuple[str, Part]]) -> list[Turn]:
    """The first question says which picture is which where the dialogue calls them by name."""
    if not turns or len(pictures) == 1:
        return turns
    words = {"reference": "the reference", "A": "Image A", "B": "Image B", "image": "the image"}
    listed = ", ".join(words[part] for _, part in pictures)
    return [("user", f"The pictures are, in order: {listed}.\n{turns[0][1]}"), *turns[1:]]


def _general(row: Values, kind: str) -> Imported:
    """A row of LAMM, mixed in to keep a model's other abilities."""
    picture = path(row, "image")
    if picture is None:
        raise SampleError("missing-picture", f"{kind} needs image")
    return Imported(
        task="external_general",
        messages=without_tokens(conversation(row.get("conversations")), 1),
        pictures=[(picture, "image")],
        given_id=identifier(row),
        task_type=kind,
        origin=picture,
    )
