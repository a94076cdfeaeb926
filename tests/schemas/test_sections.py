"""The walks over sections forget no key: they are held against every key that is declared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.configuration_page import KINDS
from schemas.config import AnnotateConfig, BuildConfig, config_hash
from schemas.hashing import content_key
from schemas.sections import Section, absolute, inputs, public, role_of, shaping
from tests.schemas.any_section import FOLDER, changes, filled

BUILD = filled(BuildConfig)
CHANGES = {name: (roles, changed) for name, roles, changed in changes(BUILD)}
STAGES = {
    "ingest": ("ingest", "pictures"),
    "regions": ("regions",),
    "distort": ("distort",),
    "annotate": ("annotate",),
    "merge": ("merge",),
    "publish": ("merge", "publish"),
}
"""The stages whose job keys hold a section."""


def keyed(config: BuildConfig) -> dict[str, Any]:
    """What job keys hold of the configuration."""
    found: dict[str, Any] = {
        f"{stage}: {part}": shaping(getattr(config, part), stage)
        for part, stages in STAGES.items()
        for stage in stages
    }
    return {**found, "seed": config.seed}


def paths(value: Any) -> list[Path]:
    if isinstance(value, Section):
        return [path for name in type(value).model_fields for path in paths(getattr(value, name))]
    if isinstance(value, list | tuple):
        return [path for part in value for path in paths(part)]
    return [value] if isinstance(value, Path) else []


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_path_is_made_absolute(kind: type[Section]) -> None:
    section = filled(kind)
    before = paths(section)
    assert before
    assert not any(path.is_absolute() for path in before)
    after = absolute(section, Path("/base"))
    assert paths(after) == [Path("/base", path) for path in before]
    assert paths(absolute(after, Path("/other"))) == paths(after)
    assert [path for path in paths(section) if path.is_absolute()] == []


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_path_is_an_input_or_is_written(kind: type[Section]) -> None:
    section = filled(kind)
    found = dict(inputs(section))
    written = {
        name
        for name, roles, changed in changes(section)
        if paths(changed) != paths(section) and any(role.written for role in roles)
    }
    assert written.isdisjoint(found)
    assert len(found) + len(written) == len(paths(section))


@pytest.mark.parametrize("kind", KINDS.values())
def test_what_is_published_names_no_folder_of_this_machine(kind: type[Section]) -> None:
    section = filled(kind)
    assert FOLDER in section.model_dump_json()
    assert FOLDER not in json.dumps(public(section))


def test_how_work_is_done_is_not_published() -> None:
    shown = public(BUILD)
    for name, (roles, _) in CHANGES.items():
        value: Any = shown
        for part in name.split("."):
            if not value or (isinstance(value, dict) and part not in value):
                value = None
                break
            value = value[int(part)] if isinstance(value, list) else value[part]
        assert (value is not None) == all(role.public for role in roles), name


@pytest.mark.parametrize("name", CHANGES)
def test_a_key_counts_as_its_role_says(name: str) -> None:
    roles, changed = CHANGES[name]
    hashed = all(role.hashed for role in roles)
    assert (config_hash(changed) != config_hash(BUILD)) == hashed
    counted = all(role.keyed for role in roles)
    assert (keyed(changed) != keyed(BUILD)) == counted


def test_back_ends_that_reach_one_model_in_other_ways_count_as_one() -> None:
    server, replay = (AnnotateConfig.model_validate({"backend": name}) for name in ("server", "replay"))
    assert shaping(server, "annotate") == shaping(replay, "annotate")
    assert shaping(server, "annotate")["backend"] == "vlm"
    assert shaping(AnnotateConfig(), "annotate") == {"attempts": 12, "backend": "grammar", "vlm": None}


def test_what_is_published_is_a_configuration_of_the_same_hash() -> None:
    given = {
        "name": "a",
        "images": {"folder": "a/b"},
        "out": "out",
        "annotate": {"backend": "server", "vlm": {"url": "http://secret.host/v1", "prompts": "a/p"}},
        "merge": {"keep_out": [{"list": "c/d.txt"}]},
    }
    config = BuildConfig.model_validate(given)
    again = BuildConfig.model_validate({**public(config), "out": "elsewhere"})
    assert config_hash(again) == config_hash(config)
    assert "secret.host" not in json.dumps(public(config))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("facebook/sam-vit-huge", "facebook/sam-vit-huge"),
        ("gpt2", "gpt2"),
        ("/home/me/models/sam", "sam"),
        ("~/models/sam", "sam"),
        ("./models/sam", "sam"),
        ("../sam", "sam"),
        ("models/mine/sam", "sam"),
    ],
)
def test_of_a_models_folder_the_last_part_is_published(name: str, shown: str) -> None:
    config = AnnotateConfig.model_validate({"backend": "lmdeploy", "vlm": {"model": name}})
    assert public(config)["vlm"]["model"] == shown


def test_places_in_the_settings_of_plug_ins_are_hidden() -> None:
    settings = {"mine": {"folder": "/home/me/masks", "files": ["../a/b.txt"], "ratio": "3/4", "side": 5}}
    config = AnnotateConfig.model_construct(backend="mine", settings=settings)
    shown = {"mine": {"folder": "masks", "files": ["b.txt"], "ratio": "3/4", "side": 5}}
    assert public(config)["settings"] == shown


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_key_is_described_in_a_phrase(kind: type[Section]) -> None:
    def check(section: Section) -> None:
        for name, field in type(section).model_fields.items():
            assert field.description, f"{type(section).__name__}.{name} has no docstring below it"
            assert field.description[0].isupper()
            assert field.description.endswith(".")
            assert role_of(field).title
            value = getattr(section, name)
            for part in value if isinstance(value, list | tuple) else [value]:
                if isinstance(part, Section):
                    check(part)

    check(filled(kind))


PINNED: list[tuple[str, str, dict[str, Any]]] = [
    ("48a715140053b45e", "8a6bb381acf3eb49", {}),
    (
        "e7e3dd3c4a075696",
        "5bad8c51f1611c69",
        {
            "regions": "ssa",
            "annotate": {"backend": "server", "vlm": {"prompts": "p/q", "temperature": 0.1}},
        },
    ),
    (
        "86b16dc3f17963b6",
        "dfafc0d2801fd79f",
        {
            "regions": {
                "proposer": "sam",
                "labeller": "clip",
                "clip": {"vocabulary": "v/w.txt"},
                "sam": {"model": "/a/b"},
            },
            "merge": {
                "external": [{"kind": "q-instruct", "annotations": ["a/b.json", "c.json"], "images": "i/j"}],
                "keep_out": [{"folder": "k/l"}, {"name": "n", "list": "m/list.txt"}],
                "mixture": [{"source": "s", "weight": 1}, {"task": "t", "cap": 3}],
                "licenses": {"allow": ["CC*"]},
            },
            "ingest": {"license": "CC0"},
        },
    ),
    (
        "2c99263d974d6d09",
        "75389123b74dcf2a",
        {
            "regions": {"proposer": "coco", "labeller": "vote", "run_on": {"dtype": "float16"}},
            "annotate": {"wording": "w.yaml"},
        },
    ),
]


@pytest.mark.parametrize(("whole", "stages", "given"), PINNED)
def test_hash_and_keys_are_those_of_stores_made_before(
    whole: str, stages: str, given: dict[str, Any]
) -> None:
    config = BuildConfig.model_validate({"name": "a", "images": {"folder": "x/y"}, "out": "out", **given})
    assert config_hash(config) == whole
    held = [
        shaping(config.ingest, "ingest"),
        shaping(config.regions, "regions"),
        shaping(config.distort, "distort"),
        shaping(config.annotate, "annotate"),
        shaping(config.merge, "merge"),
        shaping(config.publish, "merge"),
        shaping(config.publish, "publish"),
    ]
    assert content_key(*held)[:16] == stages
