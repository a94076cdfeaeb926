"""Every published variant becomes the row it should; forty kinds of malformed rows get the right reasons."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.stages import importers, outline
from flows.stages.external import MAX_ROW
from flows.stages.importers import IMPORTERS, LAST, dq_495k, importer
from flows.stages.row_fields import MAX_LETTERS, MAX_TURNS
from schemas.errors import InputError
from schemas.plugins import PlugIns
from tests.flows.stages.external.conftest import Import
from tests.flows.stages.external.published import (
    BLUR,
    BOTH,
    DQ_FILES,
    PRISTINE,
    Values,
    dialogue,
    dq_row,
    pair,
    q_instruct_rows,
    q_row,
    without_reference,
    write_rows,
)


@pytest.mark.parametrize("name", ["cleaned_labels.json", "qinstruct_qalign.json"])
def test_every_form_of_q_instruct(name: str, tmp_path: Path, read_file: Import) -> None:
    cases = q_instruct_rows()
    items, manifests = read_file(write_rows(tmp_path / name, [row for row, _ in cases]), "q-instruct")
    assert [m.quarantine for m in manifests] == [[]]
    for (row, wanted), item in zip(cases, items, strict=True):
        record = item.record
        assert record["task"] == wanted["task"], row
        assert [text for _, text in record["messages"]] == wanted["texts"]
        assert [role for role, _ in record["messages"]] == ["user", "assistant"] * (len(wanted["texts"]) // 2)
        assert [path for path, _ in record["pictures"]] == wanted["pictures"]
        assert record["given_id"] == (str(row["id"]) if "id" in row else None)
        assert (record["source"], record["distortions"]) == ("q-instruct", None)
        assert "S-Lab" in record["license"]
        assert record["file"] == name
    assert len({item.record["id"] for item in items}) == len(items)


@pytest.mark.parametrize("name", DQ_FILES)
def test_every_file_of_dq_495k(name: str, tmp_path: Path, read_file: Import) -> None:
    task, rows = DQ_FILES[name]
    items, manifests = read_file(write_rows(tmp_path / name, rows), "dq-495k")
    (manifest,) = manifests
    assert manifest.quarantine == []
    if not task:
        assert items == []
        assert manifest.counts["left out: question without an answer"] == len(rows)
        return
    for row, item in zip(rows, items, strict=True):
        record = item.record
        assert record["task"] == task
        assert record["published_test"] == ("query" in row)
        assert record["license"] == "Apache-2.0"
        assert record["messages"][1][1].endswith(".")
        parts = [part for _, part in record["pictures"]]
        if "image" in row:
            assert parts == ["image"]
            continue
        wanted = [key.removeprefix("image_") for key in ("image_ref", "image_A", "image_B") if row[key]]
        assert parts == ["reference" if part == "ref" else part for part in wanted]
        assert record["groups"][0].startswith("KADIS700K:")
        assert len(record["groups"]) == 1
        if "A_better_B" in row:
            assert parts[record["better"]] == ("A" if row["A_better_B"] else "B")
        assert ("Image A" in record["messages"][0][1]) == (len(parts) > 1)


def test_distortions_map_to_the_catalog(tmp_path: Path, read_file: Import) -> None:
    rows = [
        dq_row("china_0", "A_sd_brief", distortion_class="brighten", severity=5,
               distortion_name="brightness_brighten_shfit_HSV"),
        dq_row("china_1", "A_md_brief", **BOTH),
        dq_row("china_2", "A_sd_brief", **PRISTINE),
        pair("china_0", "AB_detail", "quality_compare_noref", distortions_A=PRISTINE, distortions_B=BLUR),
    ]  # fmt: skip
    items, _ = read_file(write_rows(tmp_path / "rows.json", rows), "dq-495k")
    told = [
        [(d["image"], d["order"], d["name"], d["category"], d["level"]) for d in item.record["distortions"]]
        for item in items
    ]
    assert told == [
        [(1, 1, "brightness_brighten_shift_HSV", "brighten", 5)],
        [
            (1, 1, "saturate_strengthen_YCrCb", "saturate_strengthen", 2),
            (1, 2, "compression_jpeg", "compression", 3),
        ],
        [],
        [(1, 1, "blur_gaussian", "blur", 4)],
    ]
    assert items[0].record["distortions"][0]["given_name"] == "brightness_brighten_shfit_HSV"


def _turns(*turns: Any) -> Values:
    return {"image": "a.jpg", "conversations": list(turns)}


def _single(**changes: Any) -> Values:
    return dq_row("china_0", "refA_sd_brief", **{**BLUR, **changes})


ASK, SAY = dialogue("Is it sharp?", "Yes.")
MALFORMED: list[tuple[str, str, Any]] = [
    ("q-instruct", "row-type", 5),
    ("q-instruct", "row-type", [1, {"a": 2}]),
    ("q-instruct", "row-type", "text, with a comma"),
    ("q-instruct", "row-too-long", q_row("a.jpg", "x" * MAX_ROW, "yes")),
    ("q-instruct", "no-conversations", {"image": "a.jpg"}),
    ("q-instruct", "conversations-type", {"image": "a.jpg", "conversations": {"from": "human"}}),
    ("q-instruct", "no-turns", {"image": "a.jpg", "conversations": []}),
    ("q-instruct", "too-many-turns", _turns(*[ASK, SAY] * MAX_TURNS)),
    ("q-instruct", "turn-type", _turns("Is it sharp?", SAY)),
    ("q-instruct", "unknown-speaker", _turns(ASK, {"from": "system", "value": "Yes."})),
    ("q-instruct", "unknown-speaker", _turns(ASK, {"value": "Yes."})),
    ("q-instruct", "unknown-speaker", _turns({"from": ["human"], "value": "Is it?"}, SAY)),
    ("q-instruct", "turn-order", _turns(SAY, ASK)),
    ("q-instruct", "turn-order", _turns(ASK, ASK, SAY)),
    ("q-instruct", "no-answer-turn", _turns(ASK, SAY, ASK)),
    ("q-instruct", "text-type", _turns(ASK, {"from": "gpt", "value": None})),
    ("q-instruct", "empty-text", _turns(ASK, {"from": "gpt", "value": " \n"})),
    ("q-instruct", "empty-text", q_row("a.jpg", "<image>\n", "yes")),
    ("q-instruct", "text-too-long", q_row("a.jpg", "x" * (MAX_LETTERS + 1), "yes")),
    ("q-instruct", "broken-text", q_row("a.jpg", "half \ud800", "yes")),
    ("q-instruct", "image-token-without-image", q_row(None, "<image>\nIs it sharp?", "yes")),
    ("q-instruct", "image-token-count", q_row("a.jpg", "<image><image>Is it sharp?", "yes")),
    ("q-instruct", "image-token-place", q_row("a.jpg", "Is it sharp?", "yes <image>")),
    ("q-instruct", "picture-type", q_row("a.jpg", "Is it sharp?", "yes", image=["a.jpg", "b.jpg"])),
    ("q-instruct", "bad-path", q_row("", "Is it sharp?", "yes")),
    ("q-instruct", "bad-path", q_row("a\0.jpg", "Is it sharp?", "yes")),
    ("q-instruct", "absolute-path", q_row("/etc/passwd", "Is it sharp?", "yes")),
    ("q-instruct", "absolute-path", q_row("C:\\pictures\\a.jpg", "Is it sharp?", "yes")),
    ("q-instruct", "path-outside", q_row("spaq/../../a.jpg", "Is it sharp?", "yes")),
    ("q-instruct", "id-type", q_row("a.jpg", "Is it sharp?", "yes", id={"a": 1})),
    ("dq-495k", "task-type", _single(task_type=None)),
    ("dq-495k", "task-type", _single(task_type="quality_single_B")),
    ("dq-495k", "missing-reference", _single(image_ref=None)),
    ("dq-495k", "missing-picture", _single(image_A=None)),
    ("dq-495k", "missing-picture", pair("a_0", "AB_detail", A_better_B=True) | {"image_B": None}),
    ("dq-495k", "unexpected-picture", _single(image_B="KADIS700K/b.png")),
    ("dq-495k", "two-dialogues", _single(query="Which?", answer="blur", conversations=dialogue("a", "b"))),
    ("dq-495k", "text-type", _single(query=["Which?"], answer="blur", conversations=None)),
    ("dq-495k", "unknown-form", _single(image_A="KADIS700K/elsewhere/a_0.png")),
    ("dq-495k", "better-type", pair("a_0", "AB_detail", A_better_B=1)),
    ("dq-495k", "no-distortions", pair("a_0", "AB_detail", distortions_A=BLUR)),
    ("dq-495k", "no-distortions", dq_row("a_0", "A_sd_brief", **without_reference())),
    ("dq-495k", "distortions-twice", _single(**BOTH)),
    ("dq-495k", "pristine-mismatch", _single(severity=0)),
    ("dq-495k", "pristine-mismatch", _single(**{**PRISTINE, "severity": [0]})),
    ("dq-495k", "pristine-mismatch", _single(**{**PRISTINE, "severity": 3})),
    ("dq-495k", "distortion-type", _single(distortion_class=None)),
    ("dq-495k", "distortion-type", dq_row("a_0", "A_md_brief", **{**BOTH, "distortion_names": "blur"})),
    ("dq-495k", "distortion-lengths", dq_row("a_0", "A_md_brief", **{**BOTH, "severities": [1]})),
    ("dq-495k", "severity-type", _single(severity="4")),
    ("dq-495k", "severity-type", _single(severity=True)),
    ("dq-495k", "severity-type", _single(severity=4.0)),
    ("dq-495k", "severity-range", _single(severity=6)),
    ("dq-495k", "unknown-distortion", _single(distortion_name="blur_gausian")),
    ("dq-495k", "unknown-class", _single(distortion_class="blurr")),
    ("dq-495k", "class-mismatch", _single(distortion_class="noise")),
]


@pytest.mark.parametrize("kind", ["q-instruct", "dq-495k"])
def test_malformed_rows_are_quarantined_with_their_reasons(
    kind: str, tmp_path: Path, read_file: Import
) -> None:
    cases = [(reason, row) for of, reason, row in MALFORMED if of == kind]
    good = q_instruct_rows()[0][0] if kind == "q-instruct" else _single()
    listed = [row for _, row in cases] + [good]
    items, manifests = read_file(write_rows(tmp_path / "rows.json", listed), kind)
    found = [(entry.source, entry.reason) for m in manifests for entry in m.quarantine]
    assert found == [(f"rows.json#{number}", reason) for number, (reason, _) in enumerate(cases)]
    assert [item.id for item in items] == [str(len(cases))]


def test_there_are_forty_and_more_malformed_variants() -> None:
    assert len(MALFORMED) >= 40


@pytest.mark.parametrize(
    "row", ['{"image": "a.jpg",}', '{"a": NaN}', '{"a" 1}', "{" * 500 + "}" * 500, "nul"]
)
def test_a_row_that_is_no_json_is_one_row_lost(row: str, tmp_path: Path, read_file: Import) -> None:
    good = json.dumps(q_row("a.jpg", "Is it sharp?", "yes"))
    (tmp_path / "rows.json").write_text(f"[{good}, {row}, {good.replace('sharp', 'dark')}]")
    items, (manifest,) = read_file(tmp_path / "rows.json", "q-instruct")
    assert [item.id for item in items] == ["0", "2"]
    assert [entry.reason for entry in manifest.quarantine] == ["bad-json"]


@pytest.mark.parametrize("text", ["", "{}", "[{}", '[{"a": "x', "[]]", "[] []", "x[]", "5"])
def test_a_file_that_is_no_list_stops_the_build_with_one_line(
    text: str, tmp_path: Path, read_file: Import
) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(InputError, match=r"rows\.json"):
        read_file(tmp_path / "rows.json", "q-instruct")


def test_rows_are_cut_into_ranges_wherever_the_reading_stops(
    tmp_path: Path, read_file: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [q_row("a.jpg", f'Row {n} with "quotes", {{braces}} and \\ "\\"?', "yes ]}") for n in range(50)]
    whole, _ = read_file(write_rows(tmp_path / "rows.json", rows), "q-instruct")
    monkeypatch.setattr(outline, "_CHUNK", 13)
    monkeypatch.setattr(outline, "RANGE_ROWS", 7)
    parts, manifests = read_file(tmp_path / "rows.json", "q-instruct")
    assert [m.counts["rows"] for m in manifests] == [7] * 7 + [1]
    assert [item.record for item in parts] == [item.record for item in whole]


def test_a_file_that_changes_under_the_build_is_noticed(tmp_path: Path, read_file: Import) -> None:
    path = write_rows(tmp_path / "rows.json", [q_row("a.jpg", "Is it sharp?", "yes")])
    job = outline.job(path, outline.file_hash(path, None))
    write_rows(path, [q_row("a.jpg", "Is it shark?", "yes")])
    from flows.stages.table import run_job
    from schemas.store import open_store

    with open_store(tmp_path / "other") as store, pytest.raises(InputError, match="changed"):
        run_job(job, store)


def test_a_file_means_the_same_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brief").mkdir()
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0123abcd").write_text("[]")
    (tmp_path / "brief" / "x.json").symlink_to(tmp_path / "blobs" / "0123abcd")
    monkeypatch.chdir(tmp_path / "brief")
    written = [tmp_path / "brief" / "x.json", Path("x.json"), Path("../brief/x.json")]
    assert {dq_495k.facts(path)["form"] for path in written} == {"brief"}


def test_the_packaged_importers_and_what_they_state() -> None:
    assert IMPORTERS.names() == ("dq-495k", "q-instruct")
    generator, people = importer("dq-495k"), importer("q-instruct")
    assert 0 < generator.rank < people.rank < LAST
    assert (generator.by_people, people.by_people) == (False, True)
    assert generator.rows > people.rows > people.pictures > 10_000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("LICENSE = 'x'\nRANK = 0\ndef read(row, facts): ...\n", "`RANK` must be an integer from 1"),
        ("LICENSE = 'x'\nROWS = '9'\ndef read(row, facts): ...\n", "`ROWS` must be an integer from 0"),
        ("LICENSE = 'x'\n", "this importer needs a function `read`; add it"),
        ("def read(row, facts): ...\n", "this importer needs a text `LICENSE`; add it"),
    ],
)
def test_a_file_that_lacks_something_names_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    folder = tmp_path / "datasets_of_tests" / "importers"
    folder.mkdir(parents=True)
    (folder / "own.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    kinds = PlugIns("importer", "datasets_of_tests.importers", IMPORTERS.functions, IMPORTERS.texts)
    monkeypatch.setattr(importers, "IMPORTERS", kinds)
    with pytest.raises(InputError) as caught:
        importer.__wrapped__("own")
    assert str(caught.value).startswith(str(folder / "own.py"))
    assert told in str(caught.value)
    for name in [name for name in sys.modules if name.startswith("datasets_of_tests")]:
        del sys.modules[name]
