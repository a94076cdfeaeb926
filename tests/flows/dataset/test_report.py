"""The report counts what is there, shows what it should, and runs nothing that came with the data."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.dataset.report import (
    BuildSummary,
    Duplicate,
    ReportData,
    ShardCount,
    choose_gallery,
    collect,
    render,
    row_meta,
)
from flows.dataset.report.gallery import DETAIL_SIDE, THUMB_WIDTH, gallery_item
from flows.dataset.report.plain_text import percent, seconds, size
from flows.dataset.report.statistics import Histogram, balance
from schemas import masks
from schemas.drawing.outlines import outline, spot
from schemas.records import TASKS, Message, Quarantined, Row
from tests.flows.synthetic_rows import (
    KINDS,
    damaged,
    ellipse,
    photographs,
    png,
    region,
    synthetic,
    synthetic_rows,
)

PAIRS = list(synthetic(56, seed=1))
ROWS = [row for row, _ in PAIRS]
BUILD = BuildSummary(
    name="demo",
    digest="ab" * 32,
    seed=1,
    config_hash="cd" * 32,
    code_version="0.1.0",
    made="2026-03-14",
    runner="process",
    workers=2,
    inputs=9,
    seconds={"ingest": 1.5, "distort": 75.0},
    shards={"ingest": ShardCount(1, 3), "distort": ShardCount(2, 0)},
    skips={"no-margin": 4},
    refusals={"distortion_invented": 7, "not-json": 2},
    duplicates=[Duplicate("b.jpg", "a.jpg", "near")],
    catalog=[*(name for name, _ in KINDS), "oversharpen"],
)


def counted(rows: list[Row], build: BuildSummary = BUILD) -> ReportData:
    return collect(((row, None) for row in rows), [], build, {"too-small": 12})


class Page(HTMLParser):
    """What a browser would make of the page: tags with attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "meta", "input", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def page() -> str:
    chosen = choose_gallery(map(row_meta, ROWS))
    quarantine = [
        Quarantined(stage="ingest", source=f"bad{k}.jpg", reason="truncated", error="ends early")
        for k in range(5)
    ]
    rows = ((row, png(picture) if row.id in chosen else None) for row, picture in PAIRS)
    return render(collect(rows, quarantine, BUILD, {"too-small": 12}))


def test_counts_agree_with_the_rows() -> None:
    data = counted(ROWS)
    assert data.rows == len(ROWS)
    assert {task: sum(n.values()) for task, n in data.tasks.items()} == dict.fromkeys(TASKS, 8)
    assert data.photographs == len({row.source_image.id for row in ROWS if row.source_image})
    assert data.shared_photographs == 0
    injected = [d for row in ROWS for r in row.regions for d in r.distortions]
    assert sum(data.levels) == len(injected)
    assert data.levels == tuple(sum(d.level == k for d in injected) for k in range(1, 6))
    assert data.categories == {
        c: sum(d.category == c for d in injected) for _, c in KINDS if any(d.category == c for d in injected)
    }
    distorted = [r for row in ROWS for r in row.regions if r.distortions]
    assert data.distorted_regions == len(distorted)
    assert sum(data.positions.values()) == len(distorted)
    assert data.positions["center"] == sum(r.position == "center" for r in distorted)
    assert data.distinct_answers <= data.answers == len(ROWS)


def test_rows_about_one_picture_count_its_regions_once() -> None:
    row = ROWS[0]
    other = row.model_copy(update={"id": "other", "task": "referring_long"})
    once, twice = counted([row]), counted([row, other])
    assert twice.rows == 2
    assert twice.pictures == once.pictures == 1
    assert twice.distorted_regions == once.distorted_regions > 0
    assert twice.levels == once.levels
    moved = row.model_copy(update={"id": "third", "regions": row.regions[:1]})
    assert counted([row, moved]).pictures == 2


def test_the_order_of_rows_does_not_matter() -> None:
    mixed = ROWS.copy()
    random.Random(3).shuffle(mixed)
    assert render(counted(ROWS)) == render(counted(mixed))
    assert choose_gallery(map(row_meta, ROWS)) == choose_gallery(map(row_meta, mixed))


def test_a_photograph_in_two_splits_is_said_loudly() -> None:
    row = ROWS[0]
    other = row.model_copy(update={"id": "x", "split": "test" if row.split == "train" else "train"})
    data = counted([row, other])
    assert data.shared_photographs == 1
    assert "1 photograph is in two splits" in Page(render(data)).text
    assert "No photograph is in two splits" in Page(render(counted([row]))).text


def test_repeated_answers_are_found() -> None:
    turn = [Message(role="user", content="Where?"), Message(role="assistant", content="Over there.")]
    rows = [row.model_copy(update={"messages": turn}) for row in ROWS[:5]]
    data = counted(rows)
    assert (data.answers, data.distinct_answers, data.distinct_questions) == (5, 1, 1)
    assert data.repeated_answers == (("Over there.", 5),)


def test_the_gallery_has_every_task_and_shows_many_classes_and_photographs() -> None:
    rows = list(synthetic_rows(350, seed=2))
    chosen = choose_gallery(map(row_meta, rows), per_task=6)
    shown = [row for row in rows if row.id in chosen]
    assert {task: sum(row.task == task for row in shown) for task in TASKS} == dict.fromkeys(TASKS, 6)
    assert len({row.source_image.id for row in shown if row.source_image}) == len(photographs())
    for task in TASKS:
        classes = {c for row in shown if row.task == task for c in row_meta(row).categories}
        assert len(classes) >= 6
    assert choose_gallery([]) == set()


def test_the_page_asks_nothing_of_the_network_and_is_well_formed(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    for tag, attributes in parsed.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                assert value is not None
                assert value.startswith(("data:image/webp;base64,", "#"))
    assert "url(" not in page
    assert "@import" not in page
    policy = next(a["content"] for t, a in parsed.tags if t == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert len(page.encode()) < 6_000_000


def test_the_page_is_accessible_in_its_structure(page: str) -> None:
    tags = Page(page).tags
    names = [tag for tag, _ in tags]
    assert names.count("main") == names.count("nav") == names.count("h1") == 1
    assert all(a.get("alt") for t, a in tags if t == "img")
    assert all(a.get("aria-label") or a.get("aria-hidden") for t, a in tags if t == "svg")
    identities = [a["id"] for _, a in tags if a.get("id")]
    assert len(identities) == len(set(identities))
    targets = {a["href"] for t, a in tags if t in ("a", "use")}
    assert targets <= {f"#{name}" for name in identities}
    assert next(a for t, a in tags if t == "html")["lang"] == "en"


def test_the_page_says_what_happened(page: str) -> None:
    text = Page(page).text
    for wanted in (
        "56 rows", "ab" * 32, "too small", "no-margin", "truncated", "bad0.jpg", "1 new, 3 reused",
        "distortion invented",
        "1 min 15 s",
        "oversharpen", "b.jpg", "chi-square", "5 samples set aside", "strength", "9 files given",
    ):  # fmt: skip
        assert wanted in text, wanted
    for row in ROWS:
        if row.id in choose_gallery(map(row_meta, ROWS)):
            assert row.messages[1].content in text


def test_an_empty_dataset_has_a_page() -> None:
    bare = BuildSummary(name="empty", digest="", seed=0, config_hash="", code_version="")
    text = Page(render(collect([], [], bare, {}))).text
    assert "0 rows" in text
    assert "Nothing was quarantined" in text


def test_rows_of_other_datasets_have_a_page() -> None:
    row = Row(
        id="q", source="q-instruct", task="someone_elses_task", split="train",
        messages=[Message(role="user", content="?"), Message(role="assistant", content="Sharp.")],
        regions=[], target_region_ids=[], whole_image=None, order_effect=None, source_image=None,
        provenance=None,
    )  # fmt: skip
    data = collect([(row, png(photographs()[0]))], [], BUILD, {})
    text = Page(render(data)).text
    assert "someone elses task" in text
    assert "No region is distorted" in text
    assert "not stated" in text


ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) '",
    "</title></style></script><script>alert(1)</script>",
    "javascript:alert(1)",
    "<!-- --> ]]> <![CDATA[",
    "\u202egpj.exe\x00\x1b[31m\n\r\t\ud800",
)


def hostile(text: str) -> str:
    """A page whose every foreign string is `text`."""
    row, picture = PAIRS[0]
    assert row.source_image is not None
    assert row.provenance is not None
    regions = [
        r.model_copy(
            update={
                "label": text,
                "region_id": f"{text}{k}",
                "position": text,
                "distortions": [d.model_copy(update={"name": text, "category": text}) for d in r.distortions],
            }
        )
        for k, r in enumerate(row.regions)
    ]
    changed = row.model_copy(
        update={
            "id": text,
            "source": text,
            "task": text,
            "messages": [Message(role="user", content=text), Message(role="assistant", content=text)],
            "regions": regions,
            "target_region_ids": [regions[0].region_id],
            "source_image": row.source_image.model_copy(update={"uri": text, "license": text}),
            "provenance": row.provenance.model_copy(update={"generator": text, "model": text}),
        }
    )
    build = replace(
        BUILD, name=text, digest=text, config_hash=text, code_version=text, made=text, runner=text,
        seconds={text: 1.0}, shards={text: ShardCount(1, 1)}, skips={text: 1}, refusals={text: 1},
        catalog=[f"{text} unused"],
        duplicates=[Duplicate(text, text, text)],
    )  # fmt: skip
    again = changed.model_copy(update={"id": f"{text}2"})
    rows = [(changed, png(picture)), (again, None)]
    return render(
        collect(rows, [Quarantined(stage=text, source=text, reason=text, error=text)], build, {text: 3})
    )


@pytest.mark.parametrize("text", ATTACKS)
def test_foreign_text_is_never_markup(text: str) -> None:
    harmless, attacked = Page(hostile("harmless")), Page(hostile(text))
    assert [tag for tag, _ in attacked.tags] == [tag for tag, _ in harmless.tags]
    assert [set(a) for _, a in attacked.tags] == [set(a) for _, a in harmless.tags]
    hostile(text).encode("utf-8")
    assert "\u202e" not in attacked.text


def test_a_picture_is_made_small_with_its_outlines_in_place() -> None:
    tall = photographs()[-1]
    regions = [region("t", ellipse(tall.shape[:2], 0.5, 0.5, 0.2, 0.2), "suit")]
    row = ROWS[0].model_copy(update={"regions": regions, "target_region_ids": ["t"], "whole_image": False})
    item = gallery_item(row, png(damaged(tall, regions)))
    assert item.width <= THUMB_WIDTH
    decoded = cv2.imdecode(np.frombuffer(item.picture, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape[:2] == (item.height, item.width)
    assert item.detail is not None
    assert (
        cv2.imdecode(np.frombuffer(item.detail, np.uint8), cv2.IMREAD_COLOR).shape[:2] == (DETAIL_SIDE,) * 2
    )
    points = np.array(re.findall(r"([\d.]+) ([\d.]+)", item.regions[0].path), float)
    scale = item.width / tall.shape[1]
    x, y, width, height = (scale * v for v in regions[0].bbox)
    assert points.min(0) == pytest.approx([x, y], abs=1.0)
    assert points.max(0) == pytest.approx([x + width, y + height], abs=1.0)


def test_a_ragged_mask_and_a_noisy_picture_stay_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8)
    ragged = masks.encode(np.random.default_rng(1).random((600, 900)) > 0.5)
    row = ROWS[0].model_copy(
        update={"regions": [region("t", ragged)], "target_region_ids": ["t"], "whole_image": False}
    )
    item = gallery_item(row, png(noise))
    assert len(item.regions[0].path) <= 8000
    assert len(item.picture) < 90_000


def test_a_picture_that_does_not_fit_its_masks_is_refused() -> None:
    with pytest.raises(ValueError, match="mask of"):
        gallery_item(ROWS[0], png(photographs()[-1]))
    with pytest.raises(ValueError, match="can't be decoded"):
        gallery_item(ROWS[0], b"no picture")


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_an_outline_encloses_its_mask(scale: float) -> None:
    mask = masks.decode(ellipse((240, 320), 0.4, 0.6, 0.25, 0.3, 30))
    mask[80:110, 180:220] = False
    rings = outline(mask, scale)
    assert len(rings) == 2
    filled = np.zeros((4 * 240, 4 * 320), np.uint8)
    cv2.fillPoly(filled, [np.round(ring / scale * 4 - 0.5).astype(np.int32) for ring in rings], 1)
    truth = np.kron(mask, np.ones((4, 4), bool))
    overlap = (filled.astype(bool) & truth).sum() / (filled.astype(bool) | truth).sum()
    assert overlap > (0.95 if scale < 1 else 0.98)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0.01, 1))
def test_any_mask_has_an_outline_and_an_inside(height: int, width: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    if not mask.any():
        assert outline(mask) == []
        with pytest.raises(ValueError, match="no inside"):
            spot(mask)
        return
    assert outline(mask)
    x, y = spot(mask)
    assert mask[int(y), int(x)]


def test_balance_of_known_counts() -> None:
    even = balance("x", {"a": 10, "b": 10})
    assert (even.chi_square, even.imbalance, even.evenness) == (0.0, 0.0, 1.0)
    one = balance("x", {"a": 10, "b": 0, "c": 0})
    assert one.chi_square == pytest.approx(20.0)
    assert one.imbalance == pytest.approx(1.0)
    assert one.evenness == 0.0
    assert (one.largest, one.smallest) == (("a", 10), ("c", 0))
    assert balance("x", {"a": 12, "b": 8}).chi_square == pytest.approx(0.8)
    assert balance("x", {}).evenness == 1.0


@given(st.lists(st.floats(-1, 4), min_size=1), st.floats(0, 1))
def test_histograms_keep_every_value_and_order_their_quantiles(values: list[float], share: float) -> None:
    histogram = Histogram([0.0, 0.5, 1.0, 2.0, 3.0])
    for value in values:
        histogram.add(value)
    assert histogram.total == histogram.halved().total == len(values)
    middle = histogram.quantile(share)
    low, high = histogram.quantile(0), histogram.quantile(1)
    assert low is not None
    assert middle is not None
    assert high is not None
    assert 0 <= low <= middle <= high <= 3
    assert Histogram([0, 1]).quantile(0.5) is None
    with pytest.raises(ValueError, match="nan"):
        histogram.add(float("nan"))


def test_numbers_read_well() -> None:
    assert [percent(v) for v in (0.0, 0.00001, 0.123, 1.0)] == ["0%", "<0.1%", "12.3%", "100%"]
    assert [seconds(v) for v in (0.5, 12.34, 245, 7620)] == ["0.50 s", "12.3 s", "4 min 05 s", "2 h 07 min"]
    assert [size(v) for v in (999, 12_345, 412_345_678)] == ["999 B", "12.3 kB", "412 MB"]
