"""The registry: names, aliases, messages, scaling and the digest that store keys depend on."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from distortions import Op, UnknownDistortion, apply, catalog, catalog_digest, inject, registry, resolve
from distortions.registry import build_registry, read_table


def test_the_35_types_of_depictqa_in_12_classes() -> None:
    entries = [entry for entry in catalog() if any(alias.startswith("depictqa:") for alias in entry.aliases)]
    assert len(entries) == 35
    assert len({entry.category for entry in entries}) == 12
    assert all(entry.source and entry.phrase for entry in entries)
    assert len({entry.phrase for entry in catalog()}) == len(catalog())


@pytest.mark.parametrize("number", range(1, 26))
def test_all_25_of_kadid_have_an_alias(number: int) -> None:
    for level in range(1, 6):
        entry = resolve(f"kadid:{number}", level)
        assert entry.alias == f"kadid:{number}"
        assert "KADID-10k" in resolve(entry.name).source
        assert entry.parameters(level, 384)


BY_LEVEL = {
    "kadid:18": ["brightness_brighten_shift_RGB"] * 3 + ["brightness_darken_shift_RGB"] * 2,
    "kadid:25": ["contrast_strengthen_curve"] * 3 + ["contrast_weaken_curve"] * 2,
    "imagecorruptions:saturate": ["saturate_weaken_HSV"] * 2 + ["saturate_strengthen_HSV"] * 3,
    "imagecorruptions:spatter": ["weather_spatter_water"] * 3 + ["weather_spatter_mud"] * 2,
}


@pytest.mark.parametrize("alias", BY_LEVEL)
def test_a_scale_that_changes_its_distortion_resolves_by_level(alias: str) -> None:
    assert [resolve(alias, level).name for level in range(1, 6)] == BY_LEVEL[alias]
    with pytest.raises(UnknownDistortion, match=f"{BY_LEVEL[alias][0]} or {BY_LEVEL[alias][4]}"):
        resolve(alias)
    with pytest.raises(ValueError, match="level"):
        resolve(alias, 6)
    with pytest.raises(ValueError, match="at level 1"):
        resolve(alias, 5).parameters(1, 384)


def test_kadids_mean_shift_changes_nothing_at_level_3() -> None:
    image = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    mask = np.ones((10, 10), bool)
    assert np.array_equal(apply(image, "kadid:18", 3), image)
    assert np.array_equal(inject(image, mask, [Op("kadid:18", 3)]), image)
    means = [apply(np.full((4, 4, 3), 100, np.uint8), "kadid:18", level).mean() for level in range(1, 6)]
    assert np.round(np.array(means) - 100).tolist() == [38, 20, 0, -20, -38]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"pixelate": {"levels": [1, 2, 3, 4], "cell": 2}}, "levels"),
        ({"pixelate": {"levels": [1, 2, 3, 4, 5], "sigma": 2}}, "other parameters"),
        ({"pixel": {"levels": [1, 2, 3, 4, 5], "cell": 2}}, "unknown distortion"),
        ({"pixelate": {"levels": [1, 2, 3, 4, 5], "cell": [2, 3]}}, "2 values for 5 levels"),
    ],
)
def test_a_broken_alias_by_level_is_rejected(parts: dict[str, object], message: str) -> None:
    table = copy.deepcopy(read_table("catalog.yaml"))
    table["by_level"] = {"x:y": {"side": 224, "parts": parts}}
    with pytest.raises(ValueError, match=message):
        build_registry(table, {})


def test_an_entry_not_yet_calibrated_has_the_levels_of_its_path() -> None:
    entry = build_registry(read_table("catalog.yaml"), {}).entries["weather_spatter_mud"]
    assert entry.tables[0].side == 384
    levels = [float(entry.parameters(level, 384)["level"]) for level in range(1, 6)]
    assert levels == sorted(levels, reverse=True)


def test_an_alias_keeps_the_peers_table() -> None:
    entry = resolve("depictqa:blur_gaussian")
    assert entry.name == "blur_gaussian"
    assert [entry.parameters(level, 224)["sigma"] for level in range(1, 6)] == [1, 2, 3, 4, 5]
    assert entry.parameters(3, 448)["sigma"] == 6
    assert [resolve("depictqa:compression_jpeg").parameters(i, 999)["quality"] for i in (1, 5)] == [25, 5]
    assert resolve("depictqa:brightness_brighten_shfit_HSV").name == "brightness_brighten_shift_HSV"


@pytest.mark.parametrize("name", ["blur_gausian", "depictqa:blur_gausian", "zzz", ""])
def test_an_unknown_name_suggests_the_nearest(name: str) -> None:
    with pytest.raises(UnknownDistortion, match=r"did you mean|catalog") as caught:
        resolve(name)
    if "blur" in name:
        assert "blur_gaussian" in str(caught.value)


@pytest.mark.parametrize("level", [0, 6, -1, True, 2.5])
def test_a_level_outside_1_to_5_is_rejected(level: int) -> None:
    with pytest.raises(ValueError, match="level"):
        resolve("blur_gaussian").parameters(level, 224)


def test_duplicate_names_and_aliases_are_rejected() -> None:
    table = read_table("catalog.yaml")
    twice = copy.deepcopy(table)
    twice["entries"].append(copy.deepcopy(twice["entries"][0]))
    with pytest.raises(ValueError, match="duplicate"):
        build_registry(twice, {})
    clash = copy.deepcopy(table)
    clash["entries"][1]["peers"]["depictqa:blur_gaussian"] = clash["entries"][1]["peers"].popitem()[1]
    with pytest.raises(ValueError, match="duplicate"):
        build_registry(clash, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": "blur.none"}, "unknown operation"),
        ({"peers": {"x:y": {"side": 224, "sigma": [1, 2]}}}, "2 values for 5 levels"),
    ],
)
def test_broken_data_is_rejected(change: dict[str, object], message: str) -> None:
    table = copy.deepcopy(read_table("catalog.yaml"))
    table["entries"][0].update(change)
    with pytest.raises(ValueError, match=message):
        build_registry(table, {})
    with pytest.raises(ValueError, match="unknown distortions"):
        build_registry(read_table("catalog.yaml"), {"blurr": {224: {"sigma": [1, 2, 3, 4, 5]}}})


def test_between_two_sides_numbers_are_interpolated() -> None:
    table = read_table("catalog.yaml")
    quality = {256: {"quality": [50, 40, 30, 20, 10]}, 1024: {"quality": [30, 20, 10, 5, 2]}}
    entry = build_registry(table, {"compression_jpeg": quality}).entries["compression_jpeg"]
    assert entry.parameters(1, 100)["quality"] == 50
    assert entry.parameters(1, 512)["quality"] == pytest.approx(40)
    assert entry.parameters(1, 4000)["quality"] == 30
    sigma = {256: {"sigma": [1, 2, 3, 4, 5]}, 512: {"sigma": [3, 4, 6, 8, 10]}}
    entry = build_registry(table, {"blur_gaussian": sigma}).entries["blur_gaussian"]
    assert [entry.parameters(1, side)["sigma"] for side in (128, 256, 512, 1024)] == [0.5, 1, 3, 6]


def test_one_changed_level_changes_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["blur_gaussian", "compression_jpeg"]
    before = catalog_digest(names)
    other = catalog_digest(["pixelate"])
    assert before == catalog_digest(reversed(names))
    calibrated = read_table("levels.yaml")
    sigma = resolve("blur_gaussian").tables[0]
    values = [p["sigma"] for p in sigma.parameters]
    calibrated["blur_gaussian"] = {sigma.side: {"sigma": [*values[:4], float(values[4]) * 1.01]}}
    changed = build_registry(read_table("catalog.yaml"), calibrated)
    monkeypatch.setattr(registry, "_registry", lambda: changed)
    assert catalog_digest(names) != before
    assert catalog_digest(["pixelate"]) == other


def test_an_alias_and_its_canonical_name_have_different_digests() -> None:
    assert catalog_digest(["blur_gaussian"]) != catalog_digest(["depictqa:blur_gaussian"])
