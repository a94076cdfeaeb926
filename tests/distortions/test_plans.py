"""Plans on real photographs: every promise of a sample is recomputed from its pixels and masks."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

from distortions import Op, catalog, inject, order_effect_of, resolve, strength
from distortions.plans import PlannedSample, PlanSkip, pairs, plan_samples, rebuild
from distortions.plans.margins import required_lead
from schemas.config import DistortConfig, SamplesConfig
from schemas.errors import InputError, SampleError
from schemas.masks import bounding_box, decode, encode, position
from schemas.records import SAMPLE_KINDS, Quarantined, Region, SourceImage

Picture = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]
ONE_EACH = SamplesConfig(hyd=1, sid=1, dao=1, single=1, whole=1, pristine=1)


@cache
def photograph(name: str) -> Picture:
    """A real photograph with a short side of 192 pixels."""
    image = load_sample_image(f"{name}.jpg") if name in ("china", "flower") else getattr(skimage.data, name)()
    scale = 192 / min(image.shape[:2])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return cv2.resize(image[..., :3], size, interpolation=cv2.INTER_AREA)


def source_of(name: str, image: Picture) -> SourceImage:
    digest = hashlib.sha256(name.encode()).hexdigest()
    height, width = image.shape[:2]
    return SourceImage(id=digest[:16], sha256=digest, uri=name, license=None, width=width, height=height)


def region(number: int, mask: BoolMask) -> Region:
    return Region(
        region_id=f"r{number}",
        label="thing",
        label_score=None,
        bbox=bounding_box(mask),
        area=int(mask.sum()),
        mask=encode(mask),
        position=position(mask),
    )


def shapes(image: Picture, ellipses: Sequence[tuple[float, float, float, float]]) -> list[Region]:
    """Elliptic regions from (center x, center y, radius x, radius y) as shares; empty ones left out."""
    height, width = image.shape[:2]
    yy, xx = np.mgrid[:height, :width]
    found = []
    for cx, cy, rx, ry in ellipses:
        mask = ((xx + 0.5) / width - cx) ** 2 / rx**2 + ((yy + 0.5) / height - cy) ** 2 / ry**2 < 1
        if mask.any():
            found.append(region(len(found), mask))
    return found


SIX = [(cx, cy, 0.16, 0.23) for cy in (0.25, 0.75) for cx in (1 / 6, 1 / 2, 5 / 6)]


def six(image: Picture) -> list[Region]:
    """Six disjoint ellipses that nearly touch, 11% of the picture each."""
    return shapes(image, SIX)


def planned(
    name: str, config: DistortConfig, seed: int = 0, regions: list[Region] | None = None
) -> list[object]:
    image = photograph(name)
    chosen = six(image) if regions is None else regions
    return list(plan_samples(image, chosen, source_of(name, image), config, seed))


def check(image: Picture, regions: list[Region], item: PlannedSample, config: DistortConfig) -> None:
    """Every promise of a planned sample, from its picture and masks alone."""
    sample, picture = item.sample, item.picture
    assert picture.shape == image.shape
    assert picture.dtype == np.uint8
    given_ids = {r.region_id: r for r in regions}
    carrying = [r for r in sample.regions if r.distortions]
    union = np.zeros(image.shape[:2], bool)
    for r in sample.regions:
        clean = r.model_copy(update={"distortions": [], "strength": None})
        assert clean == given_ids[r.region_id]
        mask = decode(r.mask)
        if r.distortions:
            assert r.strength == round(strength(image, picture, mask), 3)
            if sample.whole_image:
                continue
            assert not (union & mask).any(), "distorted regions share pixels"
            union |= mask
            assert r.strength >= config.min_strength
            assert mask.mean() >= config.min_region_area
        else:
            assert r.strength == 0.0
            assert (picture[mask] == image[mask]).all(), "an untouched region changed"
    if not sample.whole_image:
        assert (picture[~union] == image[~union]).all(), "pixels outside the distorted masks changed"
    left_out = [r for r in regions if r.region_id not in {kept.region_id for kept in sample.regions}]
    for r in left_out:
        assert (picture[decode(r.mask)] != image[decode(r.mask)]).any(), "an unchanged region was left out"
    for r in carrying:
        assert [d.order for d in r.distortions] == list(range(1, len(r.distortions) + 1))
        categories = [d.category for d in r.distortions]
        assert pairs.chain_allowed(categories)
        assert len(r.distortions) <= 3
        for d in r.distortions:
            assert resolve(d.name).name == d.name
            assert resolve(d.name).category == d.category
            assert pairs.least_level(d.category) <= d.level <= 5
    KIND_CHECKS[sample.kind](image, item, carrying, config)
    recipe = json.loads(json.dumps(item.recipe))
    assert recipe == item.recipe
    assert (rebuild(image, recipe) == picture).all()


def check_lead(item: PlannedSample, carrying: list[Region], config: DistortConfig) -> None:
    sample = item.sample
    assert 2 <= len(carrying) <= 4
    (target,) = [r for r in carrying if r.region_id in sample.target_region_ids]
    pixels = sample.source_image.width * sample.source_image.height
    for r in carrying:
        if r is target:
            continue
        assert target.strength is not None
        assert r.strength is not None
        lead = target.strength - r.strength
        if sample.ask in ("best", "weakest"):
            lead = -lead
        base = config.margin_two if len(carrying) == 2 else config.margin_many
        assert lead >= base
        assert lead >= required_lead(target.area / pixels, r.area / pixels, len(carrying), config)


def check_hyd(image: Picture, item: PlannedSample, carrying: list[Region], config: DistortConfig) -> None:
    assert item.sample.ask in ("worst", "best")
    assert max(len(r.distortions) for r in carrying) >= 2
    check_lead(item, carrying, config)


def check_sid(image: Picture, item: PlannedSample, carrying: list[Region], config: DistortConfig) -> None:
    assert item.sample.ask in ("strongest", "weakest")
    assert {len(r.distortions) for r in carrying} == {1}
    assert len({r.distortions[0].name for r in carrying}) == 1
    by_level = sorted(carrying, key=lambda r: r.distortions[0].level)
    for low, high in itertools.pairwise(by_level):
        assert low.distortions[0].level < high.distortions[0].level
        assert (low.strength or 0) < (high.strength or 0)
    check_lead(item, carrying, config)


def check_dao(image: Picture, item: PlannedSample, carrying: list[Region], config: DistortConfig) -> None:
    sample = item.sample
    assert sample.ask == "order"
    assert len(carrying) >= 2
    (target,) = [r for r in carrying if r.region_id in sample.target_region_ids]
    assert [d.name for d in target.distortions] == sample.ask_order
    seeds = {layer["region_id"]: layer["seed"] for layer in item.recipe["layers"]}

    def effect(place: Region, one: Region, other: Region) -> float:
        mask, seed = decode(place.mask), seeds[place.region_id]
        made = [
            inject(image, mask, [Op(d.name, d.level) for d in r.distortions], seed=seed) for r in (one, other)
        ]
        return order_effect_of(image, made[0], made[1], mask)

    effects = []
    for r in carrying:
        assert sorted((d.name, d.level) for d in r.distortions) == sorted(
            (d.name, d.level) for d in target.distortions
        )
        if r is not target:
            assert [d.name for d in r.distortions] != sample.ask_order
            assert effect(r, target, r) >= config.min_order_effect
            effects.append(effect(target, target, r))
    assert min(effects) >= config.min_order_effect
    assert sample.order_effect == round(min(effects), 3)


def check_single(image: Picture, item: PlannedSample, carrying: list[Region], config: DistortConfig) -> None:
    assert item.sample.ask == "where"
    assert [r.region_id for r in carrying] == item.sample.target_region_ids
    assert len(carrying) == 1
    assert len(carrying[0].distortions) in (1, 2)


def check_whole(image: Picture, item: PlannedSample, carrying: list[Region], config: DistortConfig) -> None:
    assert item.sample.ask == "where"
    assert item.sample.whole_image
    assert item.sample.target_region_ids == []
    assert len(carrying) == len(item.sample.regions)
    assert len({tuple((d.name, d.level) for d in r.distortions) for r in carrying}) == 1
    assert strength(image, item.picture) >= config.min_strength


def check_pristine(
    image: Picture, item: PlannedSample, carrying: list[Region], config: DistortConfig
) -> None:
    assert item.sample.ask is None
    assert carrying == []
    assert item.sample.target_region_ids == []
    assert item.picture is not image
    assert (item.picture == image).all()


KIND_CHECKS = {
    "hyd": check_hyd,
    "sid": check_sid,
    "dao": check_dao,
    "single": check_single,
    "whole": check_whole,
    "pristine": check_pristine,
}


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket", "china", "flower"])
def test_every_kind_on_a_photograph(name: str) -> None:
    config = DistortConfig(samples=SamplesConfig(hyd=2, sid=2, dao=2, single=2, whole=1, pristine=1))
    image = photograph(name)
    before = image.copy()
    items = planned(name, config)
    assert (image == before).all(), "planning changed the source picture"
    made = [item for item in items if isinstance(item, PlannedSample)]
    for item in made:
        check(image, six(image), item, config)
    assert len(items) == 10
    assert {item.sample.kind for item in made} == set(SAMPLE_KINDS)
    assert len(made) >= 9


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(["astronaut", "coffee", "china"]),
    ellipses=st.lists(
        st.tuples(*[st.floats(0.05, 0.95)] * 2, *[st.floats(0.02, 0.4)] * 2), min_size=1, max_size=8
    ),
    seed=st.integers(0, 2**63 - 1),
    config=st.builds(
        DistortConfig,
        samples=st.just(ONE_EACH),
        names=st.none() | st.lists(st.sampled_from([e.name for e in catalog()]), min_size=1, unique=True),
        margin_two=st.floats(0, 2),
        margin_many=st.floats(0, 2),
        min_order_effect=st.floats(0, 2),
        min_strength=st.floats(0.1, 1),
        min_region_area=st.sampled_from([0.005, 0.02, 0.08]),
        attempts=st.integers(1, 12),
    ),
)
def test_promises_hold_for_any_regions_and_settings(
    name: str, ellipses: list[tuple[float, float, float, float]], seed: int, config: DistortConfig
) -> None:
    image = photograph(name)
    regions = shapes(image, ellipses)
    for item in plan_samples(image, regions, source_of(name, image), config, seed):
        assert not isinstance(item, Quarantined), item
        if isinstance(item, PlannedSample):
            check(image, regions, item, config)


def fingerprint(item: object) -> object:
    return (item.sample, item.picture.tobytes(), item.recipe) if isinstance(item, PlannedSample) else item


def test_same_seed_same_samples_and_another_seed_others() -> None:
    config = DistortConfig(samples=ONE_EACH)
    first, again, other = (planned("coffee", config, seed) for seed in (7, 7, 8))
    assert [fingerprint(item) for item in first] == [fingerprint(item) for item in again]
    pictures = [
        [item.picture.tobytes() for item in items if isinstance(item, PlannedSample) and item.sample.ask]
        for items in (first, other)
    ]
    assert not set(pictures[0]) & set(pictures[1])


def test_samples_do_not_depend_on_each_other() -> None:
    both = DistortConfig(samples=SamplesConfig(hyd=3, sid=2, dao=2, single=2, whole=2, pristine=1))
    together = {
        item.sample.sample_id: item for item in planned("astronaut", both) if isinstance(item, PlannedSample)
    }
    for kind in SAMPLE_KINDS:
        counts = {k: (both.samples.counts()[k] if k == kind else 0) for k in SAMPLE_KINDS}
        alone = planned("astronaut", both.model_copy(update={"samples": SamplesConfig(**counts)}))
        for item in alone:
            assert isinstance(item, PlannedSample)
            assert fingerprint(item) == fingerprint(together[item.sample.sample_id])


def test_sample_ids_are_unique_and_name_picture_and_kind() -> None:
    config = DistortConfig(samples=SamplesConfig(hyd=2, sid=2, dao=2, single=2, whole=2, pristine=2))
    ids = [item.sample.sample_id for item in planned("flower", config) if isinstance(item, PlannedSample)]
    assert len(ids) == len(set(ids))
    prefix = source_of("flower", photograph("flower")).id[:12]
    assert f"{prefix}-hyd-1" in ids


@pytest.mark.parametrize(
    ("ellipses", "reasons"),
    [
        ([], dict.fromkeys(SAMPLE_KINDS, "no-regions")),
        (SIX[:1], dict.fromkeys(("hyd", "sid", "dao"), "too-few-disjoint-regions")),
        (
            [(0.5, 0.5, 0.3, 0.3), (0.5, 0.5, 0.2, 0.2)],
            dict.fromkeys(("hyd", "sid", "dao"), "too-few-disjoint-regions"),
        ),
        ([(0.5, 0.5, 0.02, 0.02)], dict.fromkeys(("hyd", "sid", "dao", "single"), "no-large-region")),
    ],
)
def test_a_picture_without_enough_regions_is_a_stated_skip(
    ellipses: list[tuple[float, float, float, float]], reasons: dict[str, str]
) -> None:
    image = photograph("coffee")
    items = planned("coffee", DistortConfig(samples=ONE_EACH), regions=shapes(image, ellipses))
    skips = {item.kind: item.reason for item in items if isinstance(item, PlanSkip)}
    assert skips == reasons
    assert len(items) == len(SAMPLE_KINDS)


def test_a_region_that_overlaps_a_distorted_one_is_left_out() -> None:
    image = photograph("coffee")
    regions = shapes(image, [(0.5, 0.5, 0.3, 0.3), (0.5, 0.5, 0.28, 0.29), (0.05, 0.05, 0.04, 0.04)])
    config = DistortConfig(samples=SamplesConfig(hyd=0, sid=0, dao=0, single=1, whole=0, pristine=0))
    (item,) = planned("coffee", config, regions=regions)
    assert isinstance(item, PlannedSample)
    check(image, regions, item, config)
    assert len(item.sample.regions) == 2


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_flat_picture_gives_samples_that_hold_or_stated_skips(value: int) -> None:
    image = np.full((96, 128, 3), value, np.uint8)
    regions = shapes(image, SIX)
    config = DistortConfig(samples=ONE_EACH, attempts=4)
    items = list(plan_samples(image, regions, source_of("flat", image), config, 0))
    assert len(items) == len(SAMPLE_KINDS)
    for item in items:
        assert isinstance(item, (PlannedSample, PlanSkip)), item
        if isinstance(item, PlannedSample):
            check(image, regions, item, config)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 3), (16, 17)])
def test_a_tiny_picture_gives_samples_that_hold_or_stated_skips(size: tuple[int, int]) -> None:
    image = np.ascontiguousarray(photograph("china")[: size[0], : size[1]])
    left, right = np.zeros(size, bool), np.zeros(size, bool)
    left[:, : max(1, size[1] // 2)] = True
    right[:, max(1, size[1] // 2) :] = True
    regions = [region(i, mask) for i, mask in enumerate((left, right)) if mask.any()]
    config = DistortConfig(samples=ONE_EACH, attempts=4)
    items = list(plan_samples(image, regions, source_of("tiny", image), config, 0))
    assert len(items) == len(SAMPLE_KINDS)
    for item in items:
        assert isinstance(item, (PlannedSample, PlanSkip)), item
        if isinstance(item, PlannedSample):
            check(image, regions, item, config)


def test_a_mask_of_another_size_is_refused() -> None:
    image = photograph("coffee")
    wrong = region(0, np.ones((8, 9), bool))
    with pytest.raises(SampleError, match="mask-size-mismatch"):
        planned("coffee", DistortConfig(samples=ONE_EACH), regions=[*six(image), wrong])


def test_names_limit_what_is_injected() -> None:
    names = ["blur_gaussian", "noise_gaussian_RGB", "compression_jpeg"]
    config = DistortConfig(samples=ONE_EACH, names=names)
    used = {
        d.name
        for item in planned("china", config)
        if isinstance(item, PlannedSample)
        for r in item.sample.regions
        for d in r.distortions
    }
    assert used
    assert used <= set(names)


def test_an_alias_keeps_the_peers_levels_and_records_the_canonical_name() -> None:
    samples = SamplesConfig(hyd=0, sid=0, dao=0, single=0, whole=1, pristine=0)
    config = DistortConfig(samples=samples, names=["depictqa:blur_gaussian"])
    (item,) = planned("china", config)
    assert isinstance(item, PlannedSample)
    (op,) = item.recipe["layers"][0]["ops"]
    assert op["name"] == "depictqa:blur_gaussian"
    assert {d.name for r in item.sample.regions for d in r.distortions} == {"blur_gaussian"}
    assert (rebuild(photograph("china"), item.recipe) == item.picture).all()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "empty list"),
        (["blur_gausian"], "blur_gaussian"),
        (["blur_gaussian", "depictqa:blur_gaussian"], "same distortion"),
    ],
)
def test_wrong_names_are_refused_in_one_line(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        planned("china", DistortConfig(samples=ONE_EACH, names=names))
    assert "\n" not in str(caught.value)


def test_a_single_class_gives_no_mixes() -> None:
    config = DistortConfig(samples=ONE_EACH, names=["blur_gaussian", "blur_lens"])
    skips = {item.kind: item.reason for item in planned("china", config) if isinstance(item, PlanSkip)}
    assert skips["hyd"] == skips["dao"] == "no-allowed-pair"


def test_an_operation_that_fails_is_quarantined_and_the_rest_continues(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(image: Picture, mask: BoolMask, ops: list[Op], seed: int = 0, feather: int = 0) -> Picture:
        if mask.all():
            raise ValueError("no such thing")
        return inject(image, mask, ops, seed=seed, feather=feather)

    monkeypatch.setattr("distortions.plans.canvas.inject", broken)
    items = planned("china", DistortConfig(samples=ONE_EACH))
    (failed,) = [item for item in items if isinstance(item, Quarantined)]
    assert failed.stage == "distort"
    assert failed.source == source_of("china", photograph("china")).id
    assert failed.sample_id == f"{failed.source[:12]}-whole-0"
    assert failed.reason == "distortion-failed"
    assert "no such thing" in failed.error
    assert len(items) == len(SAMPLE_KINDS)
    assert sum(isinstance(item, PlannedSample) for item in items) == len(SAMPLE_KINDS) - 1


def test_an_impossible_margin_is_a_stated_skip() -> None:
    config = DistortConfig(samples=ONE_EACH, margin_two=3.4, margin_many=3.4, min_order_effect=3.4)
    skips = {item.kind: item.reason for item in planned("china", config) if isinstance(item, PlanSkip)}
    assert skips == {"hyd": "margin-not-reached", "sid": "margin-not-reached", "dao": "order-not-visible"}


def test_a_feathered_plan_rebuilds_and_keeps_far_pixels() -> None:
    image = photograph("coffee")
    config = DistortConfig(samples=ONE_EACH, feather=3)
    regions = shapes(image, [(cx, cy, 0.13, 0.2) for cy in (0.25, 0.75) for cx in (1 / 6, 1 / 2, 5 / 6)])
    items = [
        item
        for item in plan_samples(image, regions, source_of("coffee", image), config, 0)
        if isinstance(item, PlannedSample)
    ]
    assert len(items) >= 5
    for item in items:
        assert (rebuild(image, json.loads(json.dumps(item.recipe))) == item.picture).all()
        masks = [decode(r.mask) for r in item.sample.regions if r.distortions]
        if not masks or item.sample.whole_image:
            continue
        reach = cv2.dilate(np.any(masks, axis=0).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        assert (item.picture[~reach] == image[~reach]).all()
        for r in item.sample.regions:
            if not r.distortions:
                assert (item.picture[decode(r.mask)] == image[decode(r.mask)]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"version": 0}, "version"), ({"catalog": "0" * 64}, "catalog"), ({"size": [1, 1]}, "pixels")],
)
def test_a_recipe_for_something_else_is_refused(change: dict[str, object], message: str) -> None:
    samples = SamplesConfig(hyd=0, sid=0, dao=0, single=1, whole=0, pristine=0)
    (item,) = planned("coffee", DistortConfig(samples=samples))
    assert isinstance(item, PlannedSample)
    with pytest.raises(InputError, match=message):
        rebuild(photograph("coffee"), {**item.recipe, **change})
