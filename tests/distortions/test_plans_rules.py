"""The rules plans follow: allowed pairs, margins, decks, chains, paste, and the balance of many samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import skimage.data

from distortions import Op, catalog, inject, order_effect
from distortions.plans import PlannedSample, balance, pairs, plan_samples
from distortions.plans.draw import Draw
from distortions.plans.drawable_names import select_names
from distortions.plans.margins import required_lead
from distortions.plans.paste import paste, tight_box
from distortions.plans.planned import Unplannable
from schemas.config import DistortConfig, SamplesConfig
from schemas.masks import bounding_box, encode, position
from schemas.records import Region, Sample, SourceImage

CONFIG = DistortConfig()
TONE = (
    "brighten",
    "darken",
    "contrast_strengthen",
    "contrast_weaken",
    "saturate_strengthen",
    "saturate_weaken",
)


def test_the_rules_cover_exactly_the_catalogs_classes() -> None:
    assert set(pairs.classes()) == {entry.category for entry in catalog()}


@pytest.mark.parametrize(
    ("first", "then", "allowed"),
    [
        ("blur", "noise", True),
        ("noise", "blur", True),
        ("blur", "quantization", True),
        ("quantization", "blur", False),
        ("noise", "oversharpen", True),
        ("oversharpen", "noise", False),
        ("oversharpen", "brighten", True),
        ("brighten", "oversharpen", False),
        ("pixelate", "oversharpen", True),
        ("quantization", "noise", True),
        ("noise", "quantization", False),
        ("quantization", "oversharpen", True),
        ("oversharpen", "quantization", False),
        ("saturate_weaken", "oversharpen", True),
        ("oversharpen", "saturate_strengthen", False),
        ("blur", "pixelate", False),
        ("pixelate", "blur", False),
        ("blur", "oversharpen", False),
        ("compression", "pixelate", False),
        ("compression", "quantization", False),
        ("quantization", "compression", False),
        ("oversharpen", "darken", False),
        ("contrast_weaken", "oversharpen", False),
        ("blur", "blur", False),
    ],
)
def test_depictqas_pairs(first: str, then: str, allowed: bool) -> None:
    assert pairs.follows(first, then) is allowed


def test_no_two_tone_classes_go_together() -> None:
    assert not any(pairs.follows(a, b) for a, b in itertools.permutations(TONE, 2))


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(ValueError, match="haze"):
        pairs.follows("blur", "haze")


def test_chains_need_every_pair() -> None:
    assert pairs.chain_allowed(["blur", "noise", "compression"])
    assert not pairs.chain_allowed(["noise", "brighten", "quantization"])
    assert pairs.any_order_allowed(["blur", "noise"])
    assert not pairs.any_order_allowed(["blur", "quantization"])
    assert pairs.orders(["quantization", "noise"]) == [(0, 1)]
    assert pairs.orders(["noise", "quantization"]) == [(1, 0)]
    assert pairs.orders(["blur", "pixelate"]) == []


def test_partners_are_spread_evenly() -> None:
    drawable = select_names(None)
    weights = drawable.weights
    assert np.allclose(weights.sum(axis=1), 1)
    assert weights.sum(axis=0).max() < 1.3
    for i, j in zip(*np.nonzero(weights), strict=True):
        assert pairs.orders([drawable.categories[i], drawable.categories[j]])


def test_order_partners_may_go_both_ways() -> None:
    drawable = select_names(None)
    for i, j in zip(*np.nonzero(pairs.order_weights(drawable.categories)), strict=True):
        assert pairs.any_order_allowed([drawable.categories[i], drawable.categories[j]])


def test_drawn_chains_follow_the_rules() -> None:
    drawable = select_names(None)
    for number in range(200):
        draw = Draw(number, "0" * 16, "hyd", number, 1)
        first = drawable.names[number % len(drawable.names)]
        chain = drawable.chain(draw, first, 1 + number % 3)
        assert first in chain
        assert len(chain) <= 1 + number % 3
        assert pairs.chain_allowed([drawable.category(name) for name in chain])


def test_margins_grow_with_rivals_and_shrinking_regions() -> None:
    assert required_lead(0.05, 0.3, 2, CONFIG) == CONFIG.margin_two
    assert required_lead(0.2, 0.2, 3, CONFIG) == required_lead(0.2, 0.2, 4, CONFIG) == CONFIG.margin_many
    leads = [required_lead(share, 0.2, 2, CONFIG) for share in (0.05, 0.04, 0.03, 0.02, 0.01)]
    assert all(small < large for small, large in itertools.pairwise(leads))
    assert leads[3] == pytest.approx(0.24 + np.sqrt(1 + 0.6**2 / (2 * 0.42**2)))
    assert required_lead(0.02, 0.2, 2, CONFIG) == required_lead(0.2, 0.02, 2, CONFIG)


def test_a_deck_deals_every_card_before_one_returns() -> None:
    cards = list(range(10))
    dealt = [Draw(0, "a" * 16, "sid", number, 1).deck("name", cards)[0] for number in range(20)]
    assert sorted(dealt[:10]) == cards
    assert dealt[:10] == dealt[10:]
    other = [Draw(0, "b" * 16, "sid", number, 1).deck("name", cards)[0] for number in range(10)]
    assert other != dealt[:10]


def test_attempts_run_out() -> None:
    draw = Draw(0, "a" * 16, "sid", 0, 2)
    draw.spend("not-visible")
    draw.spend("not-visible")
    with pytest.raises(Unplannable, match="not-visible"):
        draw.spend("not-visible")


def test_paste_writes_only_the_mask() -> None:
    source = np.full((6, 8, 3), 10, np.uint8)
    mask = np.zeros((6, 8), bool)
    mask[1:4, 2:5] = True
    mask[2, 3] = False
    picture, injected = source.copy(), np.full_like(source, 200)
    box = tight_box(mask)
    paste(picture, source, injected[box], mask, box, 0)
    assert (picture[mask] == 200).all()
    assert (picture[~mask] == 10).all()
    assert tight_box(np.zeros((3, 3), bool)) == (slice(0, 0), slice(0, 0))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("contrast_weaken_scale", "pixelate"),
        ("blur_gaussian", "contrast_weaken_scale"),
        ("saturate_weaken_YCrCb", "noise_impulse"),
        ("brightness_darken_shift_HSV", "noise_impulse"),
    ],
)
def test_an_order_that_changes_almost_nothing_is_not_visible(one: str, other: str) -> None:
    image = skimage.data.coffee()
    mask = np.zeros(image.shape[:2], bool)
    mask[50:250, 100:400] = True
    assert order_effect(image, mask, Op(one, 3), Op(other, 3)) < 0.4


def test_an_order_that_changes_much_is_visible() -> None:
    image = skimage.data.coffee()
    mask = np.zeros(image.shape[:2], bool)
    mask[50:250, 100:400] = True
    assert order_effect(image, mask, Op("blur_gaussian", 4), Op("noise_gaussian_RGB", 4)) > 0.7
    assert (inject(image, mask, [Op("pixelate", 3)])[~mask] == image[~mask]).all()


def regions_of(image: np.ndarray) -> list[Region]:
    """Nine rectangles of different sizes that tile the picture."""
    height, width = image.shape[:2]
    rows, columns = (0, height // 4, height * 5 // 8, height), (0, width // 5, width * 3 // 5, width)
    found = []
    for (top, bottom), (left, right) in itertools.product(
        itertools.pairwise(rows), itertools.pairwise(columns)
    ):
        mask = np.zeros((height, width), bool)
        mask[top:bottom, left:right] = True
        found.append(
            Region(
                region_id=f"r{len(found)}",
                label="thing",
                label_score=None,
                bbox=bounding_box(mask),
                area=int(mask.sum()),
                mask=encode(mask),
                position=position(mask),
            )
        )
    return found


@pytest.fixture(scope="module")
def many() -> list[Sample]:
    """Samples of forty pictures: two crops of a photograph, each under twenty ids."""
    photograph = skimage.data.astronaut()
    config = DistortConfig(
        samples=SamplesConfig(hyd=1, sid=1, dao=1, single=2, whole=1, pristine=0), min_region_area=0.02
    )
    samples = []
    for number in range(40):
        image = np.ascontiguousarray(photograph[:300, :400] if number % 2 else photograph[200:456, 100:400])[
            ::2, ::2
        ]
        image = np.ascontiguousarray(image)
        digest = f"{number:064x}"[::-1]
        height, width = image.shape[:2]
        source = SourceImage(id=digest[:16], sha256=digest, uri="x", license=None, width=width, height=height)
        for item in plan_samples(image, regions_of(image), source, config, 5):
            assert isinstance(item, PlannedSample), item
            samples.append(item.sample)
    return samples


def test_many_samples_are_balanced(many: list[Sample]) -> None:
    spreads = balance(many, min_region_area=0.02)
    assert set(spreads) == {"name", "level", "position", "size", "rank"}
    for what, limit in {"name": 2.5, "position": 2.5, "size": 2.5, "rank": 3.0}.items():
        assert spreads[what].chi_square < limit * spreads[what].degrees, (what, spreads[what])
    names = spreads["name"].counts
    assert min(names.values()) >= 1, "a distortion was never used"
    assert max(names.values()) < 4 * np.mean(list(names.values()))
    levels = spreads["level"].counts
    assert set(levels) == {"1", "2", "3", "4", "5"}
    assert min(levels.values()) > 0.05 * max(levels.values())


def test_balance_counts_what_is_there(many: list[Sample]) -> None:
    spreads = balance(many, min_region_area=0.02)
    targeted = [sample for sample in many if sample.target_region_ids]
    assert sum(spreads["position"].counts.values()) == len(targeted)
    assert sum(spreads["position"].expected.values()) == pytest.approx(len(targeted))
    rivals = [s for s in targeted if sum(1 for r in s.regions if r.distortions) > 1]
    assert sum(spreads["rank"].counts.values()) == len(rivals)
    once = {s.sample_id: {d.name for r in s.regions for d in r.distortions} for s in many}
    assert sum(spreads["name"].counts.values()) == sum(len(names) for names in once.values())


def test_balance_detects_a_lopsided_plan(many: list[Sample]) -> None:
    lopsided = [
        s for s in many if any(r.distortions and r.distortions[0].category == "blur" for r in s.regions)
    ]
    some, everything = balance(lopsided)["name"], balance(many)["name"]
    assert some.degrees == everything.degrees
    assert some.chi_square > everything.chi_square


def test_balance_of_nothing() -> None:
    assert all(spread.chi_square == 0 for spread in balance([]).values())
