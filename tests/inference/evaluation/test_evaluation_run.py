"""A run from items to its folder: what is kept, what a stop costs, what failed replies count for."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from inference.evaluation import baselines, compare
from inference.evaluation import summary as summary_files
from inference.evaluation.benchmark_interface import Item, Model, Reply
from inference.evaluation.evaluation_run import Done, Task, evaluate
from inference.evaluation.replies import KeptReplies
from inference.evaluation.summary import Measured, read_summary
from inference.grounded_answer import Encoded, Segmented
from schemas.errors import InputError, StoreError
from schemas.evaluations import read_results
from tests.inference.evaluation.toys import HalfSegmenter, Halves, Scripted


def run(model: Model, out: Path, limit: int | None = None, benchmark: Halves | None = None) -> Done:
    chosen = benchmark or Halves()
    return evaluate(Task(chosen, chosen.open(out, limit), model, limit), out)


def found(done: Done, task: str, measure: str) -> Measured:
    return next(m for m in done.summary.measured if (m.task, m.measure) == (task, measure))


def test_numbers_by_hand(tmp_path: Path) -> None:
    done = run(Scripted(), tmp_path)
    assert found(done, "where", "gIoU").value == pytest.approx(8 / 12)
    assert found(done, "where", "cIoU").value == pytest.approx(8 * 300 / (8 * 300 + 4 * 600))
    assert found(done, "where", "class mIoU").value == pytest.approx(0.5)
    assert found(done, "where", "point in mask").value == pytest.approx(8 / 12)
    accuracy = found(done, "which", "accuracy")
    assert accuracy.value == pytest.approx(8 / 12)
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert 0.3 < accuracy.low < 8 / 12 < accuracy.high < 0.95
    assert (accuracy.items, accuracy.groups) == (12, 12)
    assert (found(done, "all", "no answer").items, found(done, "all", "no answer").groups) == (24, 12)
    assert (done.summary.items, done.summary.groups, done.summary.seconds) == (24, 12, 18.0)


def test_the_folder_holds_what_was_said_and_scored(tmp_path: Path) -> None:
    done = run(Scripted(), tmp_path)
    assert read_summary(done.folder) == done.summary
    results = read_results(done.folder / summary_files.RESULTS)
    assert results.labels == ("side",)
    rows = {row["id"]: row for row in results.rows}
    where = rows["3-where"]
    assert (where["group"], where["side"], where["answers"]) == ("p3", "left", ["At the right."])
    assert (where["iou"], where["union"], where["right"]) == (0.0, 600.0, None)
    assert where["masks"][0]["size"] == [20, 30]
    assert where["points"] == [[0.75, 0.5]]
    assert rows["4-which"]["right"] == 1.0
    table = (done.folder / summary_files.TABLE).read_text()
    assert "| where | class mIoU | 0.500" in table
    assert {path.name for path in done.folder.iterdir()} == {
        summary_files.RESULTS, summary_files.SUMMARY, summary_files.TABLE, summary_files.REPLIES,
    }  # fmt: skip


def test_a_stopped_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    whole = run(Scripted(), tmp_path / "whole")
    stopped = Scripted(break_after=10)
    with pytest.raises(KeyboardInterrupt):
        run(stopped, tmp_path / "stopped")
    assert len(stopped.asked) == 10
    folder = next((tmp_path / "stopped").iterdir())
    assert [path.name for path in folder.iterdir()] == [summary_files.REPLIES]
    again = Scripted()
    done = run(again, tmp_path / "stopped")
    assert len(again.asked) == 14
    assert not set(again.asked) & set(stopped.asked)
    assert done.summary == whole.summary
    assert (done.folder / summary_files.RESULTS).read_bytes() == (
        whole.folder / summary_files.RESULTS
    ).read_bytes()
    third = Scripted()
    assert run(third, tmp_path / "stopped").summary == whole.summary
    assert third.asked == []


def test_a_torn_last_line_is_asked_again(tmp_path: Path) -> None:
    done = run(Scripted(), tmp_path)
    path = done.folder / summary_files.REPLIES
    path.write_bytes(path.read_bytes()[:-30])
    again = Scripted()
    assert run(again, tmp_path).summary == done.summary
    assert again.asked == ["11-which"]
    assert len(path.read_bytes().splitlines()) == 25


def test_a_failed_reply_is_wrong_counted_and_asked_again(tmp_path: Path) -> None:
    fails = frozenset({"1-which", "2-which", "4-where"})
    done = run(Scripted(fails=fails), tmp_path)
    assert done.summary.errors == {"timeout": 3}
    assert found(done, "which", "accuracy").value == pytest.approx(6 / 12)
    assert found(done, "which", "accuracy").items == 12
    assert found(done, "where", "gIoU").value == pytest.approx(7 / 12)
    assert found(done, "all", "no answer").value == pytest.approx(3 / 24)
    again = Scripted()
    assert run(again, tmp_path).summary.errors == {}
    assert set(again.asked) == fails


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    with KeptReplies(path, "a") as kept:
        kept.add(["x"], [Reply(("yes",))])
        with pytest.raises(InputError, match="another run is writing it"):
            KeptReplies(path, "a")
    with KeptReplies(path, "a") as kept:
        assert kept.found["x"].texts == ("yes",)


def test_replies_of_another_run_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    with KeptReplies(path, "a") as kept:
        kept.add(["x"], [Reply(("yes",))])
    with pytest.raises(InputError, match=r"replies\.jsonl: replies of another run"):
        KeptReplies(path, "b")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"id": "x", "texts": [1]}', r"line 2 is not a reply: texts\.0: "),
        (b'{"id": "x"}', "line 2 is not a reply: "),
        (b"[" * 100_000, "line 2 is not a reply: "),
        (b"\xff\xfe", "line 2 is not a reply: "),
    ],
)
def test_damaged_replies_are_named(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_bytes(b'{"key": "a"}\n' + line + b"\n")
    with pytest.raises(InputError, match=said) as raised:
        KeptReplies(path, "a")
    assert "\n" not in str(raised.value)
    path.write_bytes(line + b"\n")
    with pytest.raises(InputError, match=r"replies\.jsonl: "):
        KeptReplies(path, "a")


def test_half_a_character_is_kept_and_read_again(tmp_path: Path) -> None:
    class Broken(Scripted):
        def ask(self, items: Sequence[Item]) -> list[Reply]:
            return [Reply(("blur \ud800 \U0001f600",), seconds=0.5) for _ in items]

    folder = run(Broken(), tmp_path).folder
    run(Scripted(break_after=0), tmp_path)
    answers = {row["answers"][0] for row in read_results(folder / summary_files.RESULTS).rows}
    assert answers == {"blur ? \U0001f600"}


def _fill(path: Path) -> None:
    with KeptReplies(path, "a") as kept:
        for number in range(20):
            kept.add([str(number)], [Reply(("right",))])


def test_a_full_disk_is_reported_in_one_line_and_costs_no_finished_line(tmp_path: Path) -> None:
    path, limits = tmp_path / "replies.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StoreError, match="too large; free space"):
            _fill(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    with KeptReplies(path, "a") as kept:
        assert 0 < len(kept.found) < 20


def test_other_data_and_settings_have_another_folder(tmp_path: Path) -> None:
    folders = {
        run(Scripted(), tmp_path).folder,
        run(Scripted(), tmp_path, benchmark=Halves(identity="halves-2")).folder,
        run(Scripted(), tmp_path, limit=4).folder,
        run(baselines.Oracle(), tmp_path).folder,
    }
    assert len(folders) == 4


def test_a_name_of_a_model_leads_nowhere_else(tmp_path: Path) -> None:
    folder = run(Scripted(name="../../etc/passwd|x"), tmp_path).folder
    assert folder.parent == tmp_path
    assert "| task | measure | ../../etc/passwd/x |" in (folder / summary_files.TABLE).read_text()


def test_two_items_of_one_name_are_refused(tmp_path: Path) -> None:
    benchmark = Halves()
    opened = benchmark.open(tmp_path, None)
    doubled = replace(opened, items=lambda: iter([*opened.items(), *opened.items()]))
    with pytest.raises(InputError, match="halves: two items are called '0-where'"):
        evaluate(Task(benchmark, doubled, Scripted()), tmp_path)


def measured(done: Done) -> dict[tuple[str, str], float | None]:
    return {(m.task, m.measure): m.value for m in done.summary.measured}


def test_the_oracle_is_right_everywhere(tmp_path: Path) -> None:
    values = measured(run(baselines.Oracle(), tmp_path))
    assert values.pop(("all", "no answer")) == values.pop(("which", "no answer")) == 0.0
    assert values.pop(("where", "no answer")) == 0.0
    assert set(values.values()) == {1.0}


def test_center_and_whole_answer_only_what_asks_where(tmp_path: Path) -> None:
    segmenter = HalfSegmenter()
    center = run(baselines.Center(segmenter), tmp_path)
    assert center.summary.items == 12
    assert segmenter.looked == 12
    assert found(center, "where", "gIoU").value == pytest.approx(8 / 12)
    whole = run(baselines.WholePicture(), tmp_path)
    assert found(whole, "where", "gIoU").value == pytest.approx(0.5)
    assert found(whole, "where", "point in mask").value == 0.0
    assert not any(m.task == "which" for m in whole.summary.measured)


def test_chance_is_between_and_repeats(tmp_path: Path) -> None:
    benchmark = Halves(pictures=60)
    items = benchmark.open(tmp_path, None).items
    done = run(baselines.Chance(HalfSegmenter(), items(), 1), tmp_path / "a", benchmark=benchmark)
    assert 0.3 < (found(done, "where", "gIoU").value or 0) < 0.7
    assert 0.3 < (found(done, "which", "accuracy").value or 0) < 0.75
    again = run(baselines.Chance(HalfSegmenter(), items(), 1), tmp_path / "b", benchmark=benchmark)
    other = run(baselines.Chance(HalfSegmenter(), items(), 2), tmp_path / "c", benchmark=benchmark)
    assert measured(again) == measured(done)
    assert measured(other) != measured(done)


def test_a_noun_is_found_or_missing(tmp_path: Path) -> None:
    def by_noun(encoded: Encoded, noun: str) -> Segmented | None:
        return Segmented(encoded.regions()[0].mask, 0.5, 0) if noun == "left" else None

    done = run(baselines.Noun(HalfSegmenter(), by_noun), tmp_path)
    assert found(done, "where", "gIoU").value == pytest.approx(4 / 12)
    assert found(done, "where", "no answer").value == pytest.approx(8 / 12)
    pointing = found(done, "where", "point in mask")
    assert (pointing.value, pointing.items) == (pytest.approx(4 / 12), 12)


def test_two_runs_compared(tmp_path: Path) -> None:
    benchmark = Halves(pictures=30)
    a = run(Scripted(), tmp_path, benchmark=benchmark)
    b = run(baselines.Oracle(), tmp_path, benchmark=benchmark)
    comparison = compare.compare(a.folder, b.folder, benchmark.measures)
    by_name = {(c.task, c.measure): c for c in comparison.compared}
    accuracy = by_name["which", "accuracy"]
    assert (accuracy.a, accuracy.b) == (pytest.approx(20 / 30), 1.0)
    assert accuracy.difference == pytest.approx(10 / 30)
    assert (accuracy.test, accuracy.second, accuracy.ahead) == ("permutation", "McNemar", "b")
    assert accuracy.second_p == pytest.approx(2 / 2**10)
    assert by_name["all", "no answer"].ahead is None
    assert (comparison.items, comparison.only_a, comparison.only_b) == (60, 0, 0)
    table = compare.table(comparison)
    assert "| which | accuracy | 0.667 | 1.000 | +0.333 [" in table
    backwards = compare.compare(b.folder, a.folder, benchmark.measures)
    assert {(c.task, c.measure): c.ahead for c in backwards.compared}["which", "accuracy"] == "a"


def test_only_common_items_are_compared(tmp_path: Path) -> None:
    a, b = run(Scripted(), tmp_path), run(baselines.WholePicture(), tmp_path)
    comparison = compare.compare(a.folder, b.folder, Halves().measures)
    assert (comparison.items, comparison.only_a, comparison.only_b) == (12, 12, 0)
    assert {c.task for c in comparison.compared} == {"where"}


def test_what_cannot_be_compared_is_said_in_a_line(tmp_path: Path) -> None:
    a = run(Scripted(), tmp_path)
    other = run(Scripted(), tmp_path, benchmark=Halves(identity="halves-2"))
    with pytest.raises(InputError, match="of different data"):
        compare.compare(a.folder, other.folder, Halves().measures)
    with pytest.raises(InputError, match=r"no evaluation \(no summary\.json\)"):
        compare.compare(a.folder, tmp_path, Halves().measures)
    (other.folder / summary_files.SUMMARY).write_text(json.dumps({"format": 1}))
    with pytest.raises(InputError, match=r"summary\.json: not a summary: benchmark: "):
        compare.compare(a.folder, other.folder, Halves().measures)
    (a.folder / summary_files.RESULTS).write_bytes(b"PAR1 nonsense")
    with pytest.raises(InputError, match=r"results\.parquet: can't be read"):
        compare.compare(a.folder, a.folder, Halves().measures)
