"""The stream: every row once over ranks and workers, resumed at any row, reshuffled, filtered, mixed."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset
from torchdata.stateful_dataloader import StatefulDataLoader

from schemas.errors import InputError
from schemas.pictures import load_png
from schemas.records import TASKS
from tests.training.published import Entry, entries, publish
from tests.waiting import LAST_RESORT
from training import Mixture, RowStream, stream
from training.row_order import iterate_windows, lay_out_epoch, reader_span

ROOT = Path(__file__).parents[2]
COUNT = 101
# Workers start from a clean process: a fork of this one would inherit the threads of other tests' builds,
# whose shutdown fails in a fork.
WORKERS = multiprocessing.get_context("forkserver")
WORKERS.set_forkserver_preload(["torch", "training"])


@pytest.fixture(scope="module")
def rows() -> list[Entry]:
    return entries(COUNT)


@pytest.fixture(scope="module")
def dataset(rows: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("stream") / "dataset", rows, files=3, rows_per_group=7)


def ids(rows: Any) -> list[str]:
    return [row["id"] for row in rows]


def text_stream(dataset: Path, **settings: Any) -> RowStream:
    return stream(dataset, pictures="none", columns=("id", "task", "source"), buffer_rows=20, **settings)


def load_ids(loader: Any) -> list[str]:
    return [name for batch in loader for name in ids(batch)]


# -- what a row is -----------------------------------------------------------------------------------------


def test_rows_and_pictures_are_those_of_the_file(dataset: Path, rows: list[Entry]) -> None:
    by_id = {row.id: (row, pictures) for row, pictures in rows}
    assert {len(pictures) for _, pictures in rows} == {0, 1, 2}
    for form in ("array", "pil", "encoded"):
        seen = 0
        for found in stream(dataset, pictures=form):
            row, pictures = by_id[found["id"]]
            given = found.pop("images")
            assert found == row.model_dump()
            if form == "encoded":
                assert given == pictures
            else:
                assert len(given) == len(pictures)
                for image, data in zip(given, pictures, strict=True):
                    assert np.array_equal(np.asarray(image), load_png(data))
            seen += 1
        assert seen == COUNT


def test_an_array_is_the_callers_own(dataset: Path, rows: list[Entry]) -> None:
    pictures = {row.id: data for row, data in rows}
    for found in stream(dataset, pictures="array"):
        for image, data in zip(found["images"], pictures[found["id"]], strict=True):
            assert np.array_equal(image, load_png(data))
            image[:] = 0


def test_text_only_and_some_columns(dataset: Path) -> None:
    first = next(iter(stream(dataset, pictures="none", columns=("id", "messages"))))
    assert set(first) == {"id", "messages"}
    assert [turn["role"] for turn in first["messages"]] == ["user", "assistant"]


def test_the_same_files_load_with_datasets(dataset: Path) -> None:
    files = {"train": str(dataset / "data" / "train-*.parquet")}
    table = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    theirs = {row["id"]: row["images"] for row in table}
    for row in stream(dataset, pictures="array"):
        assert len(row["images"]) == len(theirs[row["id"]])
        for ours, other in zip(row["images"], theirs[row["id"]], strict=True):
            assert np.array_equal(ours, np.asarray(other))


def test_it_is_torchs_iterable_dataset_and_pickles(dataset: Path) -> None:
    found = text_stream(dataset)
    assert isinstance(found, IterableDataset)
    assert ids(pickle.loads(pickle.dumps(found))) == ids(found)


def test_without_torch_it_is_the_same_rows(dataset: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name: None if name == 'torch' else found(name)\n"
        "from training import stream\n"
        f"s = stream({str(dataset)!r}, pictures='none', columns=('id',), buffer_rows=20)\n"
        "print(type(s).__name__, *[row['id'] for row in s])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=LAST_RESORT,
    )
    name, *found = done.stdout.split()
    assert name == "RowStream"
    assert found == ids(text_stream(dataset))


def test_latest_is_resolved_once(dataset: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(dataset)
    found = text_stream(link)
    link.unlink()
    link.symlink_to(tmp_path / "elsewhere")
    assert len(ids(found)) == COUNT


# -- exactly once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [0, 3])
def test_four_ranks_of_two_workers_see_every_row_exactly_once(dataset: Path, epoch: int) -> None:
    seen = []
    for rank in range(4):
        part = text_stream(dataset, rank=rank, world_size=4)
        part.set_epoch(epoch)
        loader = DataLoader(
            part, batch_size=3, num_workers=2, collate_fn=list, multiprocessing_context=WORKERS
        )
        mine = load_ids(loader)
        assert len(mine) == part.rows
        seen += mine
    assert sorted(seen) == [f"row-{number:04d}" for number in range(COUNT)]


def test_dropping_the_uneven_gives_every_rank_the_same_number(dataset: Path) -> None:
    left_out = []
    for epoch in range(8):
        seen = []
        for rank in range(8):
            part = text_stream(dataset, rank=rank, world_size=8, drop_uneven=True)
            part.set_epoch(epoch)
            assert part.rows == COUNT // 8 == len(ids(part))
            seen += ids(part)
        assert len(set(seen)) == len(seen) == COUNT // 8 * 8
        left_out.append(frozenset(f"row-{n:04d}" for n in range(COUNT)) - frozenset(seen))
    assert len(set(left_out)) > 1


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    world_size=st.integers(1, 9),
    workers=st.integers(1, 4),
    most=st.integers(1, 60),
    epoch=st.integers(0, 5),
    data=st.data(),
)
def test_any_split_of_any_files_shows_each_row_as_often_as_requested(
    sizes: list[int], world_size: int, workers: int, most: int, epoch: int, data: st.DataObject
) -> None:
    total = sum(sizes)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=total, max_size=total)), np.int64)
    layout = lay_out_epoch(sizes, times, 1, epoch)
    shown: Counter[tuple[int, int]] = Counter()
    counts = []
    for rank in range(world_size):
        for worker in range(workers):
            run = reader_span(layout.rows, rank, world_size, worker, workers)
            found = list(iterate_windows(layout, run, [10] * len(sizes), most, 10**9))
            for window in found:
                rows = [(piece.group, int(row)) for piece in window.pieces for row in piece.rows]
                assert sorted(window.order.tolist()) == list(range(len(rows)))
                assert len(rows) <= most or len(window.pieces) == 1
                shown.update(rows)
            counts.append(sum(len(window.order) for window in found))
            assert counts[-1] == run[1] - run[0]
    assert max(counts) - min(counts) <= 2
    expected = [(group, row) for group, size in enumerate(sizes) for row in range(size)]
    assert shown == +Counter(dict(zip(expected, times.tolist(), strict=True)))


# -- order -------------------------------------------------------------------------------------------------


def test_seed_and_epoch_determine_the_order(dataset: Path) -> None:
    first = ids(text_stream(dataset, seed=5))
    assert first == ids(text_stream(dataset, seed=5))
    assert first != ids(text_stream(dataset, seed=6))
    other = text_stream(dataset, seed=5)
    assert ids(other) == first
    assert ids(other) == first
    other.set_epoch(1)
    assert ids(other) != first
    assert sorted(ids(other)) == sorted(first)
    other.set_epoch(0)
    assert ids(other) == first


def test_the_form_of_pictures_does_not_change_the_order(dataset: Path) -> None:
    assert ids(stream(dataset, pictures="array", columns=("id",), buffer_rows=20)) == ids(
        text_stream(dataset)
    )


def test_rows_of_one_picture_are_spread(dataset: Path, rows: list[Entry]) -> None:
    found = ids(stream(dataset, pictures="none", columns=("id",)))
    pictures = {row.id: data[0] if data else b"" for row, data in rows}
    neighbours = sum(pictures[a] == pictures[b] for a, b in pairwise(found))
    assert neighbours < COUNT // 10
    assert found != sorted(found)


def test_set_epoch_reaches_persistent_workers(dataset: Path) -> None:
    part = text_stream(dataset)
    loader = DataLoader(
        part,
        batch_size=4,
        num_workers=2,
        persistent_workers=True,
        collate_fn=list,
        multiprocessing_context=WORKERS,
    )
    first = load_ids(loader)
    part.set_epoch(1)
    second = load_ids(loader)
    assert first != second
    assert sorted(first) == sorted(second)


# -- resume ------------------------------------------------------------------------------------------------


def test_resuming_at_any_row_reads_exactly_the_remaining_rows(dataset: Path) -> None:
    whole = text_stream(dataset, rank=1, world_size=2, seed=3)
    whole.set_epoch(2)
    expected = ids(whole)
    for taken in range(len(expected) + 1):
        first = text_stream(dataset, rank=1, world_size=2, seed=3)
        first.set_epoch(2)
        reading = iter(first)
        assert [next(reading)["id"] for _ in range(taken)] == expected[:taken]
        state = json.loads(json.dumps(first.state_dict()))
        resumed = text_stream(dataset, rank=1, world_size=2, seed=3)
        resumed.load_state_dict(state)
        assert resumed.epoch == 2
        assert resumed.state_dict() == state
        assert ids(resumed) == expected[taken:]
        assert ids(resumed) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_stateful_dataloader_resumes_at_any_batch(dataset: Path, workers: int) -> None:
    def loader() -> tuple[RowStream, StatefulDataLoader[Any]]:
        part = text_stream(dataset, rank=2, world_size=4, seed=1)
        context = WORKERS if workers else None
        made = StatefulDataLoader(
            part, batch_size=2, num_workers=workers, collate_fn=list, multiprocessing_context=context
        )
        return part, made

    part, whole = loader()
    part.set_epoch(1)
    expected = load_ids(whole)
    batches = -(-len(expected) // 2)
    for taken in (0, 1, 4, batches - 1):
        part, first = loader()
        part.set_epoch(1)
        reading = iter(first)
        seen = [name for _ in range(taken) for name in ids(next(reading))]
        state = pickle.loads(pickle.dumps(first.state_dict()))
        del reading
        _, resumed = loader()
        resumed.load_state_dict(state)
        left = load_ids(resumed)
        assert seen + left == expected


def test_a_killed_run_resumes_from_its_last_state(dataset: Path, tmp_path: Path) -> None:
    code = (
        "import json, os, signal, sys\n"
        "from training import stream\n"
        "s = stream(sys.argv[1], pictures='none', columns=('id',), buffer_rows=20)\n"
        "for n, row in enumerate(s, 1):\n"
        "    print(row['id'], flush=True)\n"
        "    open(sys.argv[2], 'w').write(json.dumps(s.state_dict()))\n"
        "    if n == 37: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    state = tmp_path / "state.json"
    done = subprocess.run(
        [sys.executable, "-c", code, str(dataset), str(state)],
        cwd=ROOT, capture_output=True, text=True, timeout=LAST_RESORT, check=False,
    )  # fmt: skip
    assert done.returncode == -9
    resumed = text_stream(dataset)
    resumed.load_state_dict(json.loads(state.read_text()))
    assert done.stdout.split() + ids(resumed) == ids(text_stream(dataset))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed 0, this stream has 1"),
        ({"world_size": 2}, "world_size 1, this stream has 2"),
        ({"tasks": ["referring_short"]}, "tasks None"),
        ({"mixture": Mixture(sources={"q-instruct": 2})}, "mixture None"),
    ],
)
def test_a_state_of_another_stream_is_refused(dataset: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        text_stream(dataset, **change).load_state_dict(text_stream(dataset).state_dict())


def test_a_state_of_another_dataset_is_refused(dataset: Path, rows: list[Entry], tmp_path: Path) -> None:
    other = publish(tmp_path / "other", rows[:50])
    with pytest.raises(InputError, match="saved with files"):
        text_stream(other).load_state_dict(text_stream(dataset).state_dict())


# -- filters and mixtures ----------------------------------------------------------------------------------


def test_filters_by_task_and_source(dataset: Path, rows: list[Entry]) -> None:
    found = ids(text_stream(dataset, tasks=["referring_short", "grounding_dao"], sources=["q-instruct"]))
    expected = [
        row.id
        for row, _ in rows
        if row.task in ("referring_short", "grounding_dao") and row.source == "q-instruct"
    ]
    assert sorted(found) == expected
    assert expected


def test_weights_show_rows_more_and_less_often(dataset: Path, rows: list[Entry]) -> None:
    mixture = Mixture(
        tasks={"referring_short": 2, "referring_long": 0, "grounding_hyd": 1.5}, sources={"q-instruct": 0.5}
    )
    part = text_stream(dataset, mixture=mixture)
    total: Counter[str] = Counter()
    for epoch in range(12):
        part.set_epoch(epoch)
        shown = Counter(ids(part))
        assert shown.total() == part.rows
        for row, _ in rows:
            weight = mixture.tasks.get(row.task, 1) * mixture.sources.get(row.source, 1)
            assert abs(shown[row.id] - weight) < 1
        total += shown
    ours = [row for row, _ in rows if row.source == "iqa-spider"]
    assert {total[row.id] for row in ours if row.task == "referring_short"} == {24}
    assert {total[row.id] for row in ours if row.task == "grounding_hyd"} <= {17, 18, 19}


def test_caps_limit_a_task_and_a_source_and_rotate(dataset: Path, rows: list[Entry]) -> None:
    part = text_stream(
        dataset, mixture=Mixture(task_caps={"referring_short": 4}, source_caps={"q-instruct": 7})
    )
    seen: set[str] = set()
    for epoch in range(12):
        part.set_epoch(epoch)
        found = list(part)
        assert sum(row["task"] == "referring_short" for row in found) <= 4
        assert sum(row["source"] == "q-instruct" for row in found) == 7
        seen |= set(ids(found))
    assert seen == {row.id for row, _ in rows}


def test_a_mixture_is_shared_and_resumed_like_any_rows(dataset: Path) -> None:
    mixture = Mixture(tasks=dict.fromkeys(TASKS[:3], 1.7))
    whole = Counter(ids(text_stream(dataset, mixture=mixture)))
    parts = [text_stream(dataset, mixture=mixture, rank=rank, world_size=3) for rank in range(3)]
    assert sum((Counter(ids(part)) for part in parts), Counter()) == whole
    expected = ids(parts[0])
    reading = iter(parts[0])
    for _ in range(11):
        next(reading)
    resumed = text_stream(dataset, mixture=mixture, rank=0, world_size=3)
    resumed.load_state_dict(parts[0].state_dict())
    assert ids(resumed) == expected[11:]


# -- wrong use and broken files ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "test"}, "no rows in the split 'test'; it has train"),
        ({"tasks": ["blur"]}, "no row has the task 'blur'"),
        ({"sources": ["nobody"]}, "no row has the source 'nobody'"),
        ({"mixture": Mixture(tasks={"blur": 2})}, "no row has the task 'blur'"),
        ({"mixture": Mixture(tasks={"referring_short": -1})}, "weight -1"),
        ({"mixture": Mixture(source_caps={"q-instruct": -1})}, "cap -1"),
        ({"mixture": Mixture(sources={"q-instruct": 0, "iqa-spider": 0})}, "no row"),
        ({"rank": 2, "world_size": 2}, "rank 2 of 2"),
        ({"buffer_bytes": 0}, "buffer_bytes"),
    ],
)
def test_wrong_use_is_one_line(dataset: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        text_stream(dataset, **wrong)
    assert "\n" not in str(caught.value)


def test_unknown_forms_and_columns_are_refused(dataset: Path) -> None:
    with pytest.raises(InputError, match="give one of pil, array"):
        stream(dataset, pictures="jpeg")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no row has the column 'pixels'"):
        stream(dataset, columns=("pixels",))


def test_a_broken_file_is_one_line(rows: list[Entry], tmp_path: Path) -> None:
    folder = publish(tmp_path / "broken", rows, files=2)
    path = folder / "data" / "train-00001-of-00002.parquet"
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"train-00001-of-00002.parquet: can't be read") as caught:
        stream(folder)
    assert "\n" not in str(caught.value)
    path.write_bytes(data)
    found = stream(folder, pictures="array")
    at = data.find(b"\x89PNG") + 60
    data[at : at + 40] = bytes(40)
    path.write_bytes(data)
    with pytest.raises(InputError, match="can't be") as caught:
        list(found)
    assert "\n" not in str(caught.value)


def test_a_file_whose_rows_differ_from_the_manifest_is_refused(rows: list[Entry], tmp_path: Path) -> None:
    folder = publish(tmp_path / "short", rows, files=2)
    other = publish(tmp_path / "other", rows[:20], files=2)
    name = "data/train-00000-of-00002.parquet"
    (folder / name).write_bytes((other / name).read_bytes())
    with pytest.raises(InputError, match="10 rows, but the manifest lists 50"):
        stream(folder)
