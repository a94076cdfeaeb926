"""`evaluate spider` on a built dataset: the truth scores best, chance doesn't, and bad input is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cli import main
from flows.engine.build import Outcome
from flows.evaluation import evaluate as wiring
from flows.evaluation.models_under_test import Setup, fingerprint
from inference.evaluation.benchmark_interface import Reply
from inference.evaluation.benchmarks import BENCHMARKS, benchmark_of
from inference.evaluation.benchmarks.spider import DESCRIBING, GROUNDING
from schemas import masks
from schemas.dataset import RowWriter, read_rows, rows_with_pictures, split_files
from schemas.errors import InputError
from schemas.evaluations import read_results
from schemas.records import TASKS, Mask, Row
from tests.inference.evaluation.toys import save_talkative

Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def run(tiny: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`evaluate spider --json` on the tiny dataset; the evaluations of its last line."""

    def call(model: str, *more: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        place = ["--data", str(tiny.folder), "--out", str(tmp_path)]
        assert main(["evaluate", "spider", "--model", model, *place, "--json", *more]) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out.splitlines()[-1])["evaluations"]
        return found

    return call


def by_name(evaluation: dict[str, Any]) -> dict[tuple[str, str], float]:
    return {(m["task"], m["measure"]): m["value"] for m in evaluation["measured"]}


@pytest.fixture(scope="module")
def of_test_split(tiny: Outcome) -> list[Row]:
    return [row for path, _ in split_files(tiny.folder, "test") for row in read_rows(path)]


def test_the_truth_scores_best_on_every_task(run: Run, of_test_split: list[Row]) -> None:
    (found,) = run("oracle")
    assert found["items"] == len(of_test_split)
    values = by_name(found)
    assert {task for task, _ in values} == {*TASKS, "all"}
    lower = {key for key in values if key[1] in ("false claims", "no answer")}
    assert {key: values[key] for key in lower if values[key] != 0.0} == {}
    assert {key: v for key, v in values.items() if key not in lower and v != 1.0} == {}
    assert {(t, "gIoU") for t in GROUNDING} | {(t, "F1") for t in DESCRIBING} <= set(values)


def test_what_is_asked_of_a_row(tiny: Outcome, of_test_split: list[Row]) -> None:
    opened = benchmark_of("spider").open(tiny.folder, None)
    items = {item.id: item for item in opened.items()}
    assert opened.count == len(items) == len(of_test_split)
    assert opened.identity == tiny.manifest.digest
    for row in of_test_split:
        item = items[row.id]
        asked = tuple(m.content for m in row.messages if m.role == "user")
        assert item.group == row.source_image.id  # type: ignore[union-attr]
        if row.task in GROUNDING:
            assert item.questions == asked[:1]
            assert item.target is not None
            mask = masks.decode(item.target)
            assert mask.shape == item.picture().shape[:2]
            if row.whole_image:
                assert mask.all()
                assert item.whole_image
                assert not item.noun
            else:
                (target,) = [r for r in row.regions if r.region_id in row.target_region_ids]
                assert (item.target, item.noun) == (target.mask, target.label)
        else:
            assert item.questions == asked
            assert not item.asks_where
    keys = [item.picture_key for item in opened.items()]
    changes = sum(a != b for a, b in pairwise(keys))
    assert changes == len(set(keys)) - 1, "items of one picture stand together"


def test_limit_takes_the_first(run: Run, tiny: Outcome) -> None:
    (found,) = run("oracle", "--limit", "5")
    assert found["items"] == 5
    first = [item.id for item in benchmark_of("spider").open(tiny.folder, 5).items()]
    assert len(set(first)) == 5


def test_whole_is_right_about_the_whole(run: Run, of_test_split: list[Row]) -> None:
    (found,) = run("whole")
    rows = [row for row in of_test_split if row.task in GROUNDING]
    whole = [row for row in rows if row.whole_image]
    assert 0 < len(whole) < len(rows)
    values = by_name(found)
    assert values["all", "whole image right"] == pytest.approx(len(whole) / len(rows))
    assert whole[0].task == "grounding_sid"
    assert values["all", "point in mask"] == 0.0
    assert not any(task in DESCRIBING for task, _ in values)
    assert ("all", "region named") not in values


def test_an_answer_that_is_missing_is_wrong(tiny: Outcome) -> None:
    benchmark = benchmark_of("spider")
    items = list(benchmark.open(tiny.folder, None).items())
    for values in benchmark.score(items, [Reply(error="timeout")] * len(items)):
        assert values["no_answer"] == 1.0
        score = values["iou"] if values["iou"] is not None else values["f1"]
        assert score == 0.0


def test_a_mask_that_does_not_fit_is_named(tiny: Outcome) -> None:
    benchmark = benchmark_of("spider")
    item = next(item for item in benchmark.open(tiny.folder, None).items() if item.asks_where)
    reply = Reply(("Here.",), (masks.encode(np.ones((5, 7), np.bool_)),), (1.0,), ((0.5, 0.5),))
    with pytest.raises(InputError, match=rf"item {item.id}: a mask of \[5, 7\] can't be compared"):
        benchmark.score([item], [reply])


@pytest.mark.parametrize("mask", [Mask(size=[10**6, 10**6], counts="0"), Mask(size=[4, 4], counts="oops")])
def test_a_broken_mask_of_a_row_is_named(dataset: Path, mask: Mask) -> None:
    (path,) = [path for path, _ in split_files(dataset, "test")]
    found = list(rows_with_pictures(path))
    writer = RowWriter(path, 100, 10**9)
    for row, pictures in found:
        broken = [region.model_copy(update={"mask": mask}) for region in row.regions]
        writer.add(row.model_copy(update={"regions": broken}), pictures)
    writer.close()
    opened = benchmark_of("spider").open(dataset, None)
    with pytest.raises(InputError, match=rf"{path.name}: row \S+, region r\d+: mask "):
        list(opened.items())


def test_compare_prints_a_table_and_a_line_for_programs(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [run(model)[0]["folder"] for model in ("whole", "oracle")]
    assert main(["evaluate", "compare", *folders, "--json"]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    compared = {(c["task"], c["measure"]): c for c in json.loads(last)["compared"]}
    giou = compared["all", "gIoU"]
    assert giou["b"] == 1.0
    assert giou["difference"] == pytest.approx(1 - giou["a"])
    assert table[0].startswith("| task | measure | A: whole | B: oracle |")
    assert "0 only in A" in table[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["spider", "--model", "oracle", "--data", "nowhere"], "nowhere: not a dataset (no manifest.json)"),
        (["spidre", "--model", "oracle", "--data", "x"], "invalid choice: 'spidre'; did you mean 'spider'?"),
        (["spider", "--modle", "oracle", "--data", "x"], "unknown option --modle; did you mean '--model'?"),
        (["spider", "--data", "x"], "required: --model"),
        (["spider", "--model", "oracle", "--data", "x", "--limit", "0"], "'0' is not a whole number above 0"),
        (["compare", "nowhere", "nowhere"], "nowhere: no evaluation (no summary.json)"),
        (["spider", "--model", "oracle", "--data", "x", "--dtype", "int4"], "invalid choice: 'int4'"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["evaluate", *arguments])
    except SystemExit as stop:
        code = stop.code  # type: ignore[assignment]
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not list(tmp_path.iterdir())


def test_a_damaged_row_is_named(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = [path for path, _ in split_files(dataset, "test")]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    place = ["--data", str(dataset), "--out", str(tmp_path / "out")]
    assert main(["evaluate", "spider", "--model", "oracle", *place]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert path.name in line
    assert "can't be read" in line


def test_every_benchmark_makes_itself() -> None:
    assert BENCHMARKS.names() == ("kadid10k", "q-bench-a1", "q-ground", "spider")
    made = [benchmark_of(name) for name in BENCHMARKS.names()]
    assert [one.name for one in made if one.needs_logits] == ["kadid10k"]
    assert [one.name for one in made if one.judged] == ["spider"]


def test_a_model_of_transformers_and_its_baselines(
    run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("model")
    save_talkative(folder)
    more = ["--limit", "12", "--max-tokens", "4", "--device", "cpu"]
    model, *baselines = run(str(folder), *more, "--baselines")
    assert [found["model"] for found in baselines] == ["center", "whole", "random", "noun"]
    assert model["items"] == 12
    assert model["errors"] == {}
    results = read_results(Path(model["folder"]) / "results.parquet")
    asked = {row["id"]: row for row in results.rows}
    assert all(len(row["answers"]) == len(row["questions"]) for row in asked.values())
    assert any(row["answers"][0] for row in asked.values())
    settings = model["settings"]
    assert (settings["segmenter"], settings["strategy"], settings["max_new_tokens"]) == ("graph", "grid", 4)
    assert settings["files"] == fingerprint(folder)
    (again,) = run(str(folder), *more)
    assert again == model


def test_an_adapter_is_compared_with_its_base(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    setup = Setup(calibration=tmp_path / "found.json")
    wanted = wiring.Wanted("spider", str(adapter), tmp_path, tmp_path, setup, None, True)
    (own, base, *others) = wiring.models_of(wanted)
    assert own == (str(adapter), setup)
    assert base == ("org/base", Setup())
    assert [name for name, _ in others] == ["center", "whole", "random", "noun"]
    assert wiring.models_of(replace(wanted, baselines=False)) == [own]
    assert [name for name, _ in wiring.models_of(replace(wanted, model="noun"))] == [
        "noun", "center", "whole", "random",
    ]  # fmt: skip


def test_other_weights_are_another_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(3_000_000))
    before = fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(bytes(2_999_999) + b"\1")
    assert fingerprint(tmp_path) != before
    assert fingerprint(tmp_path / "nowhere") is None
