"""Exports: each loads in the tool it is for and has the dataset's texts, pictures and masks."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import webdataset
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from flows.cli import main
from flows.dataset.export.exporting import export
from flows.dataset.export.formats import FORMATS
from flows.engine.build import Outcome
from schemas import masks
from schemas.dataset import data_files, rows_with_pictures
from schemas.errors import InputError
from schemas.pictures import load_png
from schemas.records import Message, Row
from tests.training.published import entries, publish

Known = dict[str, tuple[Row, list[bytes]]]


@pytest.fixture(scope="module")
def known(tiny: Outcome) -> Known:
    return {row.id: (row, data) for path in data_files(tiny.folder) for row, data in rows_with_pictures(path)}


def exported(tiny: Outcome, form: str, tmp_path: Path) -> Path:
    out = tmp_path / "export"
    written = export(tiny.folder, form, out, None)
    assert written.rows == tiny.manifest.rows
    return out


def same_picture(path: Path, data: bytes) -> bool:
    return path.read_bytes() == data


def distinct(known: Known) -> int:
    return len({data for _, pictures in known.values() for data in pictures})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("form", ["messages", "llava", "sharegpt", "coco"])
def test_every_picture_is_written_once(tiny: Outcome, form: str, known: Known, tmp_path: Path) -> None:
    out = exported(tiny, form, tmp_path)
    assert len(list(out.glob("images/*/*.png"))) == distinct(known)


def test_messages_load_in_trl(tiny: Outcome, known: Known, tmp_path: Path) -> None:
    from trl import data_utils

    out = exported(tiny, "messages", tmp_path)
    seen = 0
    for split in ("train", "test"):
        files = str(out / f"{split}.jsonl")
        table = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path / "c"))
        table = table.map(lambda row: {"images": [str(out / image) for image in row["images"]]})
        for example in table.cast_column("images", datasets.List(datasets.Image())):
            row, pictures = known[example["row_id"]]
            assert data_utils.is_conversational(example)
            prepared = data_utils.prepare_multimodal_messages(example["messages"], example["images"])
            first, *rest = prepared
            assert [part["type"] for part in first["content"]] == ["image"] * len(pictures) + ["text"]
            shown = [part["image"] for part in first["content"][:-1]]
            for image, data in zip(shown, pictures, strict=True):
                assert np.array_equal(np.asarray(image), load_png(data))
            texts = [first["content"][-1]["text"], *(turn["content"][0]["text"] for turn in rest)]
            assert texts == [turn.content for turn in row.messages]
            assert row.split == split
            seen += 1
    assert seen == len(known)


def check_conversations(turns: list[dict[str, str]], row: Row, pictures: int) -> None:
    """LLaVA's and ShareGPT's rules: human and gpt by turns, a token for each picture, at the start."""
    assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
    assert sum(turn["value"].count("<image>") for turn in turns) == pictures
    assert turns[0]["value"].startswith("<image>\n" * pictures)
    texts = [turns[0]["value"].removeprefix("<image>\n" * pictures), *(turn["value"] for turn in turns[1:])]
    assert texts == [turn.content for turn in row.messages]


def test_llava(tiny: Outcome, known: Known, tmp_path: Path) -> None:
    out = exported(tiny, "llava", tmp_path)
    seen = []
    for split in ("train", "test"):
        for record in json.loads((out / f"{split}.json").read_text(encoding="utf-8")):
            row, (picture,) = known[record["id"]]
            assert row.split == split
            assert isinstance(record["image"], str)
            assert same_picture(out / record["image"], picture)
            check_conversations(record["conversations"], row, 1)
            seen.append(record["id"])
    assert sorted(seen) == sorted(known)


LLAMA_FACTORY_KEYS = {"file_name", "formatting", "columns", "tags"}
"""Of those its data/README.md documents for a ShareGPT dataset in a file."""


def test_sharegpt_as_llama_factory_and_ms_swift_document_it(
    tiny: Outcome, known: Known, tmp_path: Path
) -> None:
    out = exported(tiny, "sharegpt", tmp_path)
    described = json.loads((out / "dataset_info.json").read_text(encoding="utf-8"))
    assert set(described) == {"iqa_spider_train", "iqa_spider_test"}
    seen = []
    for entry in described.values():
        assert set(entry) == LLAMA_FACTORY_KEYS
        assert entry["formatting"] == "sharegpt"
        columns, tags = entry["columns"], entry["tags"]
        role = {tags["user_tag"]: "user", tags["assistant_tag"]: "assistant"}
        for record in lines(out / entry["file_name"]):
            row, pictures = known[record["row_id"]]
            turns, images = record[columns["messages"]], record[columns["images"]]
            assert [role[turn[tags["role_tag"]]] for turn in turns] == [turn.role for turn in row.messages]
            assert all(set(turn) == {tags["role_tag"], tags["content_tag"]} for turn in turns)
            check_conversations(turns, row, len(images))
            for image, data in zip(images, pictures, strict=True):
                assert same_picture(out / image, data)
            seen.append(record["row_id"])
    assert sorted(seen) == sorted(known)


def test_coco_masks_and_attributes(tiny: Outcome, known: Known, tmp_path: Path) -> None:
    out = exported(tiny, "coco", tmp_path)
    seen = 0
    for split in ("train", "test"):
        coco = COCO(str(out / f"instances_{split}.json"))
        for question in json.loads((out / f"questions_{split}.json").read_text(encoding="utf-8")):
            row, (picture,) = known[question["row_id"]]
            assert question["messages"] == [turn.model_dump() for turn in row.messages]
            (image,) = coco.loadImgs(question["image_ids"])
            assert same_picture(out / image["file_name"], picture)
            assert (image["height"], image["width"]) == load_png(picture).shape[:2]
            found = {
                one["attributes"]["region_id"]: one
                for one in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
            }
            assert set(found) == {region.region_id for region in row.regions}
            for region in row.regions:
                annotation = found[region.region_id]
                told = [one.model_dump() for one in region.distortions]
                assert annotation["attributes"]["distortions"] == told
                (category,) = coco.loadCats([annotation["category_id"]])
                assert category["name"] == (told[0]["category"] if told else "pristine")
                decoded = coco.annToMask(annotation).astype(bool)
                assert np.array_equal(decoded, masks.decode(region.mask))
                assert coco_mask.area(coco.annToRLE(annotation)) == annotation["area"]
            targets = coco.loadAnns(question["target_annotation_ids"])
            assert [one["attributes"]["region_id"] for one in targets] == row.target_region_ids
            seen += 1
    assert seen == len(known)


def test_webdataset(tiny: Outcome, known: Known, tmp_path: Path) -> None:
    out = exported(tiny, "webdataset", tmp_path)
    seen: Counter[str] = Counter()
    samples = 0
    for path in sorted(out.glob("*.tar")):
        for sample in webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False).decode("rgb8"):
            samples += 1
            image: NDArray[np.uint8] = sample["0.png"]
            for values in sample["json"]["rows"]:
                row, (picture,) = known[values["id"]]
                assert Row.model_validate(values) == row
                assert path.name.startswith(f"{row.split}-")
                assert np.array_equal(image, load_png(picture))
                seen[row.id] += 1
    assert samples == distinct(known)
    assert seen == Counter(dict.fromkeys(known, 1))


@pytest.mark.parametrize("form", FORMATS.names())
def test_rows_with_two_pictures_and_without_any(form: str, tmp_path: Path) -> None:
    rows = entries(20)
    trick = Message(role="user", content="What does <image> mean?")
    rows[3] = (rows[3][0].model_copy(update={"messages": [trick, *rows[3][0].messages[1:]]}), rows[3][1])
    folder = publish(tmp_path / "dataset", rows)
    out = tmp_path / "export"
    written = export(folder, form, out, "train")
    pictures = {data for _, given in rows for data in given}
    assert written.rows == 20
    if form == "webdataset":
        found = [
            sample
            for path in out.glob("*.tar")
            for sample in webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False).decode()
        ]
        shown = Counter(sum(key.endswith(".png") for key in sample) for sample in found)
        assert shown[0] == shown[2] == 1
        assert sum(len(sample["json"]["rows"]) for sample in found) == 20
        return
    assert {path.read_bytes() for path in out.glob("images/*/*")} == pictures
    if form == "llava":
        by_id = {record["id"]: record for record in json.loads((out / "train.json").read_text())}
        assert len(by_id["row-0007"]["image"]) == 2
        assert "image" not in by_id["row-0008"]
        assert by_id["row-0007"]["conversations"][0]["value"].startswith("<image>\n<image>\nWhat")
        assert by_id["row-0003"]["conversations"][0]["value"] == "<image>\nWhat does < image > mean?"
    if form == "sharegpt":
        for record in lines(out / "train.jsonl"):
            tokens = sum(turn["value"].count("<image>") for turn in record["conversations"])
            assert tokens == len(record["images"])


def test_one_split(tiny: Outcome, tmp_path: Path) -> None:
    written = export(tiny.folder, "messages", tmp_path / "out", "test")
    assert written.rows == tiny.manifest.splits["test"]
    assert not (tmp_path / "out" / "train.jsonl").exists()


def test_the_command(tiny: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", str(tiny.folder), "--format", "llava", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{tiny.manifest.rows} rows, ")
    assert last == str(tmp_path / "out")
    assert main(arguments) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "other"), "--split", "validation"]) == 2
    assert "no rows in the split 'validation'; it has test, train" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    folder = publish(tmp_path / "dataset", entries(20))
    path = folder / "data" / "train-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="can't be read"):
        export(folder, "messages", tmp_path / "out", None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["dataset"]
