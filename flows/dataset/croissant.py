"""The Croissant description of a dataset folder: croissant.json."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from flows.dataset.columns import COLUMNS, HUB_LICENSES, PublishedFile, used_splits
from flows.dataset.report.data import ReportData
from flows.dataset.report.plain_text import plural, words

_DESCRIBED_DISTORTIONS = 3
"""Croissant has no list of structs in a list of structs: distortions are fields, by their order."""

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(data: ReportData, files: Sequence[PublishedFile]) -> dict[str, Any]:
    """The dataset as Croissant 1.0, as JSON-LD (https://docs.mlcommons.org/croissant/docs/croissant-spec.html).

    Each Parquet file is a FileObject with its SHA-256; the record set `rows` reads the FileSet of all of
    them.
    """
    build = data.build
    description: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": build.name,
        "description": (
            f"{plural(data.rows, 'question and answer', 'questions and answers')} about the quality of "
            f"{plural(data.pictures, 'picture')} with {plural(data.distorted_regions, 'distorted region')}, "
            f"made from {plural(data.photographs, 'photograph')}. Digest {build.digest}."
        ),
        "version": _version(build.code_version),
        "license": [_license_url(name) for name in data.licenses],
        "url": f"urn:sha256:{build.digest}",
        "citeAs": f"{build.name}, digest {build.digest}",
        "isLiveDataset": False,
        "distribution": [
            *(
                {
                    "@type": "cr:FileObject",
                    "@id": file.path,
                    "name": file.path,
                    "description": f"{plural(file.rows, 'row')} of the split {file.split}.",
                    "contentUrl": file.path,
                    "contentSize": f"{file.bytes} B",
                    "encodingFormat": "application/x-parquet",
                    "sha256": file.sha256,
                }
                for file in files
            ),
            {
                "@type": "cr:FileSet",
                "@id": "parquet-files",
                "name": "parquet-files",
                "description": "All rows.",
                "encodingFormat": "application/x-parquet",
                "includes": "data/*.parquet",
            },
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "splits",
                "name": "splits",
                "dataType": "cr:Split",
                "key": {"@id": "splits/name"},
                "field": [{"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}],
                "data": [{"splits/name": split} for split in used_splits(files)],
            },
            {
                "@type": "cr:RecordSet",
                "@id": "rows",
                "name": "rows",
                "description": "One training sample a record.",
                "key": {"@id": "rows/id"},
                "field": _fields(),
            },
        ],
    }
    if build.made:
        description["datePublished"] = build.made
    return description


def _fields() -> list[dict[str, Any]]:
    """The record set's fields: one a column, structs with sub-fields."""
    what = dict(COLUMNS)
    text, integer, real, flag = "sc:Text", "sc:Integer", "sc:Float", "sc:Boolean"
    messages = (("role", text, "role", False), ("content", text, "content", False))
    regions = (
        ("region_id", text, "region_id", False),
        ("label", text, "label", False),
        ("label_score", real, "label_score", False),
        ("bbox", integer, "bbox", True),
        ("area", integer, "area", False),
        ("mask_size", integer, "mask.size", True),
        ("mask_counts", text, "mask.counts", False),
        ("position", text, "position", False),
        *(
            (f"distortion_{k + 1}_{part}", kind, f"distortions[{k}].{part}", False)
            for k in range(_DESCRIBED_DISTORTIONS)
            for part, kind in (("name", text), ("category", text), ("level", integer))
        ),
        ("strength", real, "strength", False),
    )
    origin = (
        *((name, text, name, False) for name in ("id", "sha256", "uri", "license")),
        ("width", integer, "width", False),
        ("height", integer, "height", False),
    )
    provenance = (
        *(
            (name, text, name, False)
            for name in ("generator", "model", "revision", "prompt_version", "config_hash", "code_version")
        ),
        ("attempt", integer, "attempt", False),
        ("seed", integer, "seed", False),
    )
    stated = (
        *((name, text, name, False) for name in ("file", "given_id", "task_type")),
        ("row", integer, "row", False),
        ("better", integer, "better", False),
    )
    return [
        *(_field(name, text, what[name]) for name in ("id", "source", "license", "task", "split")),
        _struct("messages", messages, what["messages"], repeated=True),
        _struct("regions", regions, what["regions"], repeated=True),
        _field("target_region_ids", text, what["target_region_ids"], repeated=True),
        _field("whole_image", flag, what["whole_image"]),
        _field("order_effect", real, what["order_effect"]),
        _struct("source_image", origin, what["source_image"], repeated=False),
        _struct("provenance", provenance, what["provenance"], repeated=False),
        _struct("external", stated, what["external"], repeated=False),
        _field("images", "sc:ImageObject", what["images"], repeated=True, path="bytes"),
    ]


def _field(
    name: str, kind: str, description: str, repeated: bool = False, path: str = "", column: str = ""
) -> dict[str, Any]:
    source: dict[str, Any] = {
        "fileSet": {"@id": "parquet-files"},
        "extract": {"column": column or name},
    }
    if path:
        source["transform"] = {"jsonPath": path}
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"rows/{name}",
        "name": f"rows/{name}",
        "description": description,
        "dataType": kind,
        "source": source,
    }
    if repeated:
        field["repeated"] = True
    return field


def _struct(
    column: str, parts: Sequence[tuple[str, str, str, bool]], description: str, repeated: bool
) -> dict[str, Any]:
    """A column of structs, or of lists of them, with a sub-field for (name, type, path, repeated)."""
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"rows/{column}",
        "name": f"rows/{column}",
        "description": description,
        "subField": [
            _field(f"{column}/{name}", kind, f"{words(name)} of {words(column)}", many, path, column)
            for name, kind, path, many in parts
        ],
    }
    if repeated:
        field["repeated"] = True
    return field


def _version(code_version: str) -> str:
    """The first three numbers of a version (Croissant wants major.minor.patch)."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", code_version)
    return f"{found[1]}.{found[2]}.{found[3] or 0}" if found else "0.0.0"


def _license_url(name: str) -> str:
    """SPDX's page for an identifier it could have, the text itself otherwise."""
    if name.lower() in HUB_LICENSES and "-" in name:
        return f"https://spdx.org/licenses/{name}.html"
    return name
