"""The dataset card of a dataset folder: README.md with its YAML header."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from flows.dataset.columns import COLUMNS, HUB_LICENSES, PublishedFile, used_splits
from flows.dataset.croissant import croissant
from flows.dataset.report.data import ReportData, share
from flows.dataset.report.plain_text import number, percent, plural, size, words
from schemas.foreign_text import escape_hidden
from schemas.markdown import markdown_table
from schemas.records import SPLITS

_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
)

__all__ = ["PublishedFile", "croissant", "dataset_card"]

_TASK_MEANING = {
    "global_description": "the quality of the whole picture, and why",
    "local_description": "the quality of one region, named or placed",
    "grounding_hyd": "where quality is worst or best, among regions that carry different distortions",
    "grounding_sid": "where one distortion is strongest or weakest",
    "grounding_dao": "which region received two distortions in a given order",
    "referring_short": "the distortions of a given region, as names",
    "referring_long": "the distortions of a given region, with levels and effect",
    "external_question": "a short question about a picture",
    "external_choice": "which of the listed options is right; the answer is its letter and words",
    "external_rating": "how good the picture is, in one of five words",
    "external_identification": "which distortions the whole picture has",
    "external_description": "the quality of a picture beside its reference",
    "external_comparison": "which of two pictures is better",
    "external_comparison_description": "what is wrong with two pictures, and which is better",
    "external_general": "anything else that a merged dataset mixes in",
}


def dataset_card(
    data: ReportData, files: Sequence[PublishedFile], config_text: str, limits: Sequence[str] = ()
) -> str:
    """The text of README.md: a Hugging Face dataset card.

    `config_text` is the build's configuration as YAML; `limits` are further sentences for "Known limits" that
    only the build can know.
    """
    build = data.build
    header = yaml.safe_dump(_header(data, files), sort_keys=False, allow_unicode=True)
    lines = [
        f"---\n{header}---\n",
        f"# {_plain(build.name)}\n",
        f"{plural(data.rows, 'training sample')} about image quality: questions and answers about "
        f"{plural(data.pictures, 'picture')} made from {plural(data.photographs, 'photograph')} by "
        f"distorting {plural(data.distorted_regions, 'region')} through their masks. Every distortion, "
        "its region, its level and its measured strength are in the row.\n",
        "## Load it\n",
        "```python",
        "from datasets import load_dataset\n",
        f'rows = load_dataset("parquet", data_files={{{_data_files(files)}}})',
        f'row = rows["{used_splits(files)[0]}"][0]',
        'row["images"][0]          # a PIL picture',
        'row["messages"]           # the dialogue',
        'row["regions"]            # masks, distortions, strength',
        "```\n",
        "Paths are relative to the dataset's folder. Masks are COCO run-length encodings: "
        '`pycocotools.mask.decode(region["mask"])`.\n',
        "## Tasks\n",
        markdown_table(
            ("task", "asks", *SPLITS),
            [
                (_code(task), _TASK_MEANING.get(task, ""), *(number(splits[s]) for s in SPLITS))
                for task, splits in data.tasks.items()
            ],
        ),
        "## Splits\n",
        markdown_table(
            ("split", "rows", "pictures", "photographs", "files", "size"),
            [
                (
                    split,
                    number(data.splits[split]),
                    number(data.split_pictures[split]),
                    number(data.split_photographs[split]),
                    number(sum(f.split == split for f in files)),
                    size(sum(f.bytes for f in files if f.split == split)),
                )
                for split in SPLITS
            ],
        ),
        "A photograph and everything made from it are in one split.\n"
        if data.shared_photographs == 0
        else f"{plural(data.shared_photographs, 'photograph is', 'photographs are')} in two splits.\n",
        "## Columns\n",
        markdown_table(("column", "what"), [(f"`{name}`", what) for name, what in COLUMNS]),
        "## Distortions\n",
        markdown_table(
            ("class", "injected", "types"),
            [
                (_plain(words(category)), number(count), ", ".join(_types(data, category)))
                for category, count in data.categories.items()
            ],
        ),
        "Levels 1 to 5: " + ", ".join(number(count) for count in data.levels) + ".\n",
        "## Sources and licenses\n",
        markdown_table(
            ("source", "rows"),
            [(_plain(source), number(sum(n.values()))) for source, n in data.sources.items()],
        ),
        markdown_table(
            ("license of the photograph", "rows"),
            [(_plain(name), number(count)) for name, count in data.licenses.items()],
        ),
        "Each row names its photograph and its license in `source_image`, and the license of the row in "
        "`license`. A distorted picture is made from the photograph and stays under the photograph's "
        "license.\n",
        *_merged(data),
        "## How it was made\n",
        "Photographs are decoded, turned upright and brought to 8-bit sRGB; duplicates are dropped. "
        "Regions are proposed and filtered; distortions are injected through their masks, and pixels outside "
        "(of the feathered mask, where the configuration asks for a feather) stay as they were. Strength is "
        "measured on one perceptual scale for every type; questions that rank regions keep a margin on it. "
        "Each text is checked against the injected truth before its row is written.\n",
        markdown_table(
            ("what", "value"),
            [
                ("digest", _code(build.digest)),
                ("seed", _code(str(build.seed))),
                ("configuration", _code(build.config_hash)),
                ("code", _code(build.code_version)),
                (
                    "text written by",
                    ", ".join(f"{_plain(g)} ({number(n)})" for g, n in data.generators.items()),
                ),
            ],
        ),
        "The same photographs, configuration, code and seed give the same digest.\n",
        _fenced(config_text, "yaml"),
        "\n## Known limits\n",
        "\n".join(f"- {limit}" for limit in (*_limits(data), *(_plain(line) for line in limits))) + "\n",
        "More in `report.html`; what was set aside and why in `quarantine.parquet`.\n",
    ]
    return "\n".join(lines)


def _merged(data: ReportData) -> list[str]:
    """The part about other datasets; nothing when there is none."""
    build = data.build
    lines: list[str] = []
    if data.merged_rows:
        lines += [
            "## Merged datasets\n",
            markdown_table(
                ("source", "license", "rows"),
                [
                    (_plain(source), _plain(license), number(count))
                    for (source, license), count in data.source_licenses.items()
                ],
            ),
            "Rows of other datasets keep what their makers state in the column `external`; what they "
            "don't know is null. Distortions have the names of our catalog and, beside them, those of the "
            "source. Where labels of one picture contradict each other, what was injected and measured here "
            "counts more than what another generator says it did, and that more than what people wrote; of "
            "rows that count equally none stays.\n",
        ]
    if build.mixture:
        rules = [
            (
                _plain(rule.source or "any"),
                _plain(rule.task or "any"),
                "" if rule.cap is None else number(rule.cap),
                "" if rule.weight is None else f"{rule.weight:g}",
            )
            for rule in build.mixture
        ]
        lines += ["Mixture, by the first rule that fits a row:\n"]
        lines += [markdown_table(("source", "task", "at most", "weight"), rules)]
    if build.merged:
        counts = [(_plain(k), number(n)) for k, n in build.merged.items()]
        lines += [markdown_table(("merging", "rows"), counts)]
    if build.kept_out:
        sets = sorted({entry.picture.partition("/")[0] for entry in build.kept_out})
        lines += [
            f"{plural(len(build.kept_out), 'picture')} of the evaluation sets {', '.join(map(_plain, sets))} "
            "were found, by exact and perceptual hash, and left out with all rows about them; "
            "`manifest.json` lists them.\n"
        ]
    return lines


def _header(data: ReportData, files: Sequence[PublishedFile]) -> dict[str, Any]:
    """The card's YAML header."""
    known = sorted({name.lower() for name in data.licenses})
    header: dict[str, Any] = {"pretty_name": escape_hidden(data.build.name), "language": ["en"]}
    if known and all(name in HUB_LICENSES for name in known):
        header["license"] = known if len(known) > 1 else known[0]
    else:
        header |= {
            "license": "other",
            "license_name": "license-of-each-photograph",
            "license_link": "README.md#sources-and-licenses",
        }
    header["task_categories"] = ["visual-question-answering", "image-text-to-text", "image-segmentation"]
    header["size_categories"] = [next((name for limit, name in _SIZES if data.rows < limit), "10M<n<100M")]
    header["tags"] = ["image-quality-assessment", "grounding", "distortion"]
    header["configs"] = [
        {
            "config_name": "default",
            "data_files": [
                {"split": split, "path": f"data/{split}-*.parquet"} for split in used_splits(files)
            ],
        }
    ]
    return header


def _data_files(files: Sequence[PublishedFile]) -> str:
    return ", ".join(f'"{split}": "data/{split}-*.parquet"' for split in used_splits(files))


def _types(data: ReportData, category: str) -> list[str]:
    return [
        f"{_code(kind.name)} {number(kind.total)}" for kind in data.distortions if kind.category == category
    ]


def _limits(data: ReportData) -> list[str]:
    """What the counts themselves say a reader should know."""
    limits = [
        "The distortions are synthetic; levels follow the tables of the catalog, not what a camera does.",
        "Strength is a computed measure, not the opinion of people.",
    ]
    if any(name.split()[:1] == ["grammar"] for name in data.generators):
        limits.append(
            "Texts written by `grammar` state the injected truth in varied sentences; they don't describe "
            "what the picture shows beyond the region's label, its place and what was done to it."
        )
    if data.answers:
        limits.append(f"{percent(share(data.distinct_answers, data.answers))} of the answers are different.")
    if data.merged_rows:
        limits.append(
            "Rows of merged datasets have no regions, and their texts weren't checked against a truth: some "
            "were written by people, some by a language model."
        )
    if "not stated" in data.licenses:
        limits.append(
            f"{plural(data.licenses['not stated'], 'row')} come from photographs without a stated license."
        )
    unused = sorted(set(data.build.catalog) - {kind.name for kind in data.distortions})
    if unused:
        limits.append("Never injected: " + ", ".join(_code(name) for name in unused) + ".")
    if data.quarantined:
        limits.append(f"{plural(data.quarantined, 'sample was', 'samples were')} set aside during the build.")
    return limits


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave alone, on one line."""
    shown = escape_hidden(text)
    return re.sub(r"([\\`*_\[\]<>|#~$])", r"\\\1", shown) if not re.fullmatch(r"[\w.-]*", shown) else shown


def _code(text: str) -> str:
    """A code span that also holds inside a table."""
    return "`" + escape_hidden(text).replace("`", "'").replace("|", "\\|") + "`"


def _fenced(text: str, kind: str) -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{escape_hidden(text, keep_lines=True).rstrip()}\n{fence}"
