"""Four runs that differ only in their sources, compared on the same rows by resampling photographs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from flows.cli import main
from schemas.errors import InputError
from tests.training.published import Entry
from tests.training.sft.small import DIALOGUES, dataset, entry, settings, written
from training.sft import ablation_table, fine_tune, held_out, saving
from training.sft.encode_rows import encode_row
from training.sft.held_out import RowScore, summarize_tasks
from training.sft.train_config import load_options

Base = Callable[[str], str]
OF = (
    ("iqa-spider", "grounding_hyd"),
    ("q-instruct", "external_question"),
    ("dq-495k", "external_comparison"),
    ("iqa-spider", "referring_short"),
)


def merged(count: int, first: int = 0) -> list[Entry]:
    """Rows of three sources; two rows of our own share a photograph, the others' have none."""
    rows = []
    for number in range(first, first + count):
        source, task = OF[number % 4]
        row, pictures = entry(number, DIALOGUES[number % 3], 2 if source == "dq-495k" else number % 4 < 3)
        photograph = row.source_image.model_copy(update={"sha256": f"{number // 4:064d}"})
        ours = source == "iqa-spider"
        update = {"source": source, "task": task, "source_image": photograph if ours else None}
        rows.append((row.model_copy(update=update), pictures))
    return rows


class Done:
    """An ablation run from the command line: its output and files."""

    def __init__(self, base: str, folder: Path) -> None:
        data = dataset(folder / "data", merged(16), merged(12, 100))
        values = settings(folder / "out", data, base, steps=2, save_every=1)
        values["data"] |= {"eval_split": "test", "eval_rows": 8}
        self.out, self.path = folder / "out", written(folder, values)
        self.options = load_options(self.path)

    def run(self, capsys: Any) -> tuple[str, dict[str, Any]]:
        capsys.readouterr()
        assert main(["ablation", str(self.path), "--answers", "0"]) == 0
        found: dict[str, Any] = json.loads((self.out / "ablation.json").read_text())
        return capsys.readouterr().out, found


@pytest.fixture(scope="module")
def done(base: Base, tmp_path_factory: pytest.TempPathFactory) -> Done:
    made = Done(base("internvl"), tmp_path_factory.mktemp("ablation"))
    ablation_table.run_ablation(made.options)
    return made


def test_the_runs_differ_only_in_their_sources(done: Done) -> None:
    found = json.loads((done.out / "ablation.json").read_text())["runs"]
    assert {name: one["train_rows"] for name, one in found.items()} == {
        "ours": 8, "q-instruct": 12, "dq-495k": 12, "all": 16,
    }  # fmt: skip
    options = []
    for name, one in found.items():
        run_record = saving.load_record(done.out / name / "adapter")
        assert run_record["steps"] == 2
        assert run_record["options"]["data"].pop("sources") == one["sources"]
        assert run_record["options"].pop("out") == str(done.out / name)
        options.append(run_record["options"])
    assert all(other == options[0] for other in options)
    weights = [(done.out / name / "adapter/adapter_model.safetensors").read_bytes() for name in found]
    assert len(set(weights)) == 4


def test_all_are_compared_on_the_same_rows_of_all_sources(done: Done) -> None:
    scores = [
        json.loads((done.out / name / "adapter" / "held-out.json").read_text())["scores"]
        for name in ablation_table.list_sources(done.options.data.dataset, "train")
    ]
    rows = [[(score["row_id"], score["tokens"]) for score in one] for one in scores]
    assert all(other == rows[0] for other in rows)
    tasks = [score["task"] for score in scores[0]]
    assert {task: tasks.count(task) for task in tasks} == {task: 2 for _, task in OF}


def test_the_loss_is_that_of_the_answers_tokens(done: Done) -> None:
    adapter = done.out / "all" / "adapter"
    model, prepared = saving.load_trained(adapter), fine_tune.prepare(done.options)
    scores = {score.row_id: score for score in held_out.score_held_out(adapter, done.options, "test").scores}
    for row in held_out.held_out_rows(done.options.data, "test"):
        example = encode_row(row, prepared.processor, prepared.marks, 4096)
        labels = example.pop("labels")[0]
        with torch.no_grad():
            logits = model(**example).logits[0, :-1]
        loss = float(cross_entropy(logits, labels[1:], reduction="sum"))
        score = scores.pop(row["id"])
        assert score.loss == pytest.approx(loss, rel=1e-4)
        assert score.tokens == int((labels != -100).sum())
        assert score.right == int((logits.argmax(-1) == labels[1:]).sum())
    assert not scores


def test_a_second_call_reuses_finished_runs_and_redoes_a_lost_one(
    done: Done, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.loads((done.out / "ablation.json").read_text())
    shutil.rmtree(done.out / "dq-495k" / "adapter")
    shutil.rmtree(done.out / "dq-495k" / "checkpoints" / "checkpoint-2")
    loaded: list[str] = []
    load_base = fine_tune.load_base

    def noted(base: Any, name: str, dtype: str) -> Any:
        loaded.append(name)
        return load_base(base, name, dtype)

    monkeypatch.setattr(fine_tune, "load_base", noted)
    printed, after = done.run(capsys)
    assert len(loaded) == 1
    assert after.keys() == before.keys()
    for name, one in before["runs"].items():
        assert after["runs"][name]["tasks"]["all"]["loss"] == pytest.approx(one["tasks"]["all"]["loss"])
    assert printed.splitlines()[-1] == str(done.out / "ablation.json")
    table = [line for line in printed.splitlines() if line.startswith("|")]
    assert "| ours | + dq-495k | + q-instruct | all |" in table[0]
    value, low, high = before["runs"]["all"]["tasks"]["all"]["loss"]
    assert any(line.endswith(f"| {value:.3f} [{low:.3f}, {high:.3f}] |") for line in table)
    assert {line.count("|") for line in table} == {5, 6}


def test_other_evaluations_get_each_runs_folder(done: Done) -> None:
    folders = []

    def evaluation(folder: Path) -> dict[str, float]:
        assert (folder / "adapter" / "training.json").is_file()
        folders.append(folder.name)
        return {"gIoU": len(folders) / 8}

    found = ablation_table.run_ablation(done.options, [evaluation])
    assert folders == ["ours", "dq-495k", "q-instruct", "all"]
    assert "| gIoU | 0.1250 | 0.2500 | 0.3750 | 0.5000 |" in ablation_table.format_markdown(found)
    assert found.as_json(done.options)["runs"]["all"]["evaluations"] == {"gIoU": 0.5}


def test_epochs_become_one_number_of_steps(done: Done) -> None:
    length = done.options.run.model_copy(update={"steps": None, "epochs": 3})
    runs, _ = ablation_table.plan_runs(done.options.model_copy(update={"run": length}))
    assert {one.run.steps for one in runs.values()} == {24}
    assert {one.run.epochs for one in runs.values()} == {None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sources": ["iqa-spider"]}, "data.sources: the ablation chooses the sources"),
        ({"eval_split": None}, "data.eval_split: the ablation compares on held-out rows"),
        ({"eval_split": "train"}, "data.eval_split: the ablation compares on held-out rows"),
        ({"eval_split": "val"}, "no rows in the split 'val'; it has test, train"),
        ({"tasks": ["nonsense"]}, "no row has the task 'nonsense'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_training(
    done: Done, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    data = done.options.data.model_copy(update=changes)
    with pytest.raises(InputError, match=words):
        ablation_table.run_ablation(done.options.model_copy(update={"data": data, "out": tmp_path / "out"}))
    assert not (tmp_path / "out").exists()


def test_the_runs_follow_from_the_sources_in_the_dataset(
    done: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [found for found in merged(8) if found[0].source != "dq-495k"]
    two = dataset(tmp_path / "two", rows, rows)
    assert ablation_table.list_sources(two, "train") == {
        "ours": ("iqa-spider",),
        "q-instruct": ("iqa-spider", "q-instruct"),
    }
    rows = [found for found in rows if found[0].source == "iqa-spider"]
    values = settings(tmp_path / "out", dataset(tmp_path / "one", rows, rows), str(done.options.model.name))
    values["data"]["eval_split"] = "test"
    assert main(["ablation", str(written(tmp_path, values))]) == 2
    output = capsys.readouterr().err.splitlines()[-1]
    assert "the split 'train' has only rows of iqa-spider; merge another dataset into it" in output
    assert not (tmp_path / "out").exists()


def score(number: int, photograph: str, loss: float, right: int = 1) -> RowScore:
    return RowScore(f"r{number}", "a" if number % 2 else "b", "iqa-spider", photograph, loss, 2, right)


def test_intervals_are_over_photographs() -> None:
    """Ten rows of each photograph tell no more than one does."""
    one = [score(2 * number, f"p{number}", float(number)) for number in range(10)]
    ten = [score(row, f"p{number}", float(number)) for number in range(10) for row in range(0, 20, 2)]
    alone, often = summarize_tasks(one, one, 0)["all"], summarize_tasks(ten, ten, 0)["all"]
    assert often.loss == pytest.approx(alone.loss)
    assert alone.loss[0] == pytest.approx(2.25)
    assert alone.loss[1] < 1.8 < 2.7 < alone.loss[2]
    assert (often.rows, often.photographs) == (100, 10)
    apart = [score(2 * row, f"p{row}", found.loss) for row, found in enumerate(ten)]
    low, high = summarize_tasks(apart, apart, 0)["all"].loss[1:]
    assert high - low < (alone.loss[2] - alone.loss[1]) / 2


@given(st.lists(st.floats(0, 20), min_size=1, max_size=12), st.floats(-1, 1))
def test_a_model_differs_from_itself_by_nothing_and_from_a_shifted_one_by_the_shift(
    losses: list[float], shift: float
) -> None:
    rows = [score(number, f"p{number}", loss) for number, loss in enumerate(losses)]
    worse = [score(number, f"p{number}", loss + 2 * shift) for number, loss in enumerate(losses)]
    for found in summarize_tasks(rows, rows, 1).values():
        assert found.loss_difference == (0, 0, 0)
    for found in summarize_tasks(worse, rows, 1).values():
        assert found.loss_difference == pytest.approx((shift,) * 3, abs=1e-9)
