"""The build configuration: YAML to pydantic, with errors that name the line, the key and the nearest right one."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import InputError
from schemas.records import SAMPLE_KINDS, SampleKind

RunnerName = Literal["serial", "thread", "process"]


class Section(BaseModel):
    """Base of the configuration's parts: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ImagesConfig(Section):
    """Where the photographs come from: exactly one of the four."""

    bundled: bool = False
    folder: Path | None = None
    coco: Path | None = None
    manifest: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> ImagesConfig:
        given = [self.bundled, self.folder is not None, self.coco is not None, self.manifest is not None]
        if self.coco is not None and self.folder is not None:
            given.remove(True)
        if sum(given) != 1:
            raise ValueError("give exactly one of bundled, folder, coco (with its picture folder), manifest")
        return self


class IngestConfig(Section):
    """Decoding: limits are checked on the header, before any pixel is decoded."""

    max_side: Annotated[int, Field(ge=16, le=16384)] = 1024
    min_side: Annotated[int, Field(ge=1)] = 64
    max_pixels: Annotated[int, Field(ge=1)] = 100_000_000
    max_bytes: Annotated[int, Field(ge=1)] = 200_000_000
    near_duplicate_bits: Annotated[int, Field(ge=-1, le=32)] = 4
    license: str | None = None


class RegionsConfig(Section):
    """Which proposer and labeller make regions, and the rules a region has to pass."""

    proposer: Literal["graph", "coco"] = "graph"
    labeller: Literal["appearance", "given"] = "appearance"
    position_grid: Literal["thirds", "quadrants"] = "thirds"
    min_area: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_area: Annotated[float, Field(gt=0, le=1)] = 0.6
    max_regions: Annotated[int, Field(ge=1, le=500)] = 10

    @model_validator(mode="before")
    @classmethod
    def _default_labeller(cls, values: Any) -> Any:
        """The labeller that goes with the proposer: annotations bring labels, segmentations don't."""
        if isinstance(values, dict) and values.get("labeller") is None:
            return {**values, "labeller": "given" if values.get("proposer") == "coco" else "appearance"}
        return values


class SamplesConfig(Section):
    """How many samples of each kind to plan for one photograph."""

    hyd: Annotated[int, Field(ge=0, le=1000)] = 2
    sid: Annotated[int, Field(ge=0, le=1000)] = 2
    dao: Annotated[int, Field(ge=0, le=1000)] = 1
    single: Annotated[int, Field(ge=0, le=1000)] = 2
    whole: Annotated[int, Field(ge=0, le=1000)] = 1
    pristine: Annotated[int, Field(ge=0, le=1000)] = 1

    def counts(self) -> dict[SampleKind, int]:
        return {kind: int(getattr(self, kind)) for kind in SAMPLE_KINDS}


class DistortConfig(Section):
    """Plans and injection. Margins and thresholds are in units of perceptual strength (0 to 3.41)."""

    samples: SamplesConfig = SamplesConfig()
    names: list[str] | None = None
    margin_two: Annotated[float, Field(ge=0, le=3.41)] = 1.0
    margin_many: Annotated[float, Field(ge=0, le=3.41)] = 1.4
    min_order_effect: Annotated[float, Field(ge=0, le=3.41)] = 0.7
    min_strength: Annotated[float, Field(ge=0, le=3.41)] = 0.3
    min_region_area: Annotated[float, Field(ge=0, le=1)] = 0.02
    feather: Annotated[int, Field(ge=0, le=64)] = 0
    attempts: Annotated[int, Field(ge=1, le=1000)] = 40


class AnnotateConfig(Section):
    """The question-and-answer back end. `wording` replaces the packaged wording file."""

    backend: Literal["grammar"] = "grammar"
    wording: Path | None = None
    attempts: Annotated[int, Field(ge=1, le=100)] = 12


class MergeConfig(Section):
    """Splits follow the source picture: its id hashed with `salt` falls below `test_share` or not."""

    test_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    salt: str = ""


class PublishConfig(Section):
    """Shard and row-group bounds of the published Parquet files."""

    rows_per_group: Annotated[int, Field(ge=1, le=100_000)] = 64
    group_bytes: Annotated[int, Field(ge=1, le=1_500_000_000)] = 128_000_000
    shard_bytes: Annotated[int, Field(ge=1, le=4_000_000_000)] = 400_000_000
    min_shards: Annotated[int, Field(ge=1, le=100_000)] = 1


class RunConfig(Section):
    """How the build runs; nothing here changes the dataset."""

    runner: RunnerName = "process"
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    shard_size: Annotated[int, Field(ge=1, le=10_000)] = 16
    max_failure_rate: Annotated[float, Field(ge=0, le=1)] = 0.2


class BuildConfig(Section):
    """One build, as its YAML file says."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    images: ImagesConfig
    out: Path
    store: Path | None = None
    ingest: IngestConfig = IngestConfig()
    regions: RegionsConfig = RegionsConfig()
    distort: DistortConfig = DistortConfig()
    annotate: AnnotateConfig = AnnotateConfig()
    merge: MergeConfig = MergeConfig()
    publish: PublishConfig = PublishConfig()
    run: RunConfig = RunConfig()


def load_config(path: Path) -> BuildConfig:
    """Read a build configuration. Raises InputError (one line: file, line, key, what to do)."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't read this configuration: {error}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise InputError(f"{path}{line}: {problem}; mend the YAML there") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: a configuration is a mapping of keys such as name, images, out")
    _refuse_duplicate_keys(path, node)
    try:
        return BuildConfig.model_validate(data)
    except ValidationError as error:
        raise InputError(_explain(path, node, error)) from error


def _refuse_duplicate_keys(path: Path, node: yaml.Node | None) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise InputError(f"{path}:{key.start_mark.line + 1}: the key '{key.value}' is given twice; keep one")
            seen.add(key.value)
            _refuse_duplicate_keys(path, value)


def _explain(path: Path, node: yaml.Node | None, error: ValidationError) -> str:
    """One line for the first problem, and how many more there are."""
    problems = error.errors()
    first = problems[0]
    loc = [part for part in first["loc"] if isinstance(part, (str, int))]
    line = _line_of(node, loc)
    dotted = ".".join(str(part) for part in loc)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _keys_at(loc[:-1])
        close = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}"
        return f"{path}:{line}: unknown key '{dotted}'; {hint}{more}"
    if first["type"] == "missing":
        return f"{path}:{line}: the key '{dotted}' is missing; add it{more}"
    message = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    shown = "" if isinstance(given, dict) else f" (given {given!r})"
    return f"{path}:{line}: '{dotted or 'configuration'}': {message}{shown}{more}"


def _keys_at(loc: list[str | int]) -> list[str]:
    model: Any = BuildConfig
    for part in loc:
        model = model.model_fields[str(part)].annotation
    return list(model.model_fields)


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
