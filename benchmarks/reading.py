"""Reading speed: rows per second of `training.stream` against WebDataset and MosaicML's StreamingDataset.

Run: python -m benchmarks.reading DATASET [--copies N]. The same rows in the same order are written in each
format, with the whole row as JSON and its pictures as the dataset stores them; peers store one sample per
row. Then the readers alternate, in one process without workers, each with its own shuffling. "Undecoded" is
the parsed row and the pictures' bytes; "decoded" is (H, W, 3) uint8 arrays, by Pillow, which WebDataset and
StreamingDataset use, and, to compare only the reading, by our decoder.

MosaicML's library needs an older NumPy and transformers, so everything runs in a separate environment:
python -m venv DIR && DIR/bin/pip install -r benchmarks/reading.txt
DIR/bin/python -m benchmarks.reading DATASET
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import streaming
import webdataset
from PIL import Image

from schemas.dataset import (
    MANIFEST,
    FileEntry,
    RowWriter,
    data_files,
    load_manifest,
    rows_with_pictures,
)
from schemas.pictures import encode, load_png
from schemas.shards import file_digest
from training import stream

ROUNDS = 5
Reader = Callable[[], Iterator[Any]]


def train_rows(dataset: Path) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
    """Rows of the train split in the stream's order, with their encoded pictures."""
    for row in stream(dataset, pictures="encoded"):
        pictures = row.pop("images")
        yield row, pictures


def copy_rows(dataset: Path, folder: Path, copies: int, shared: bool) -> Path:
    """A dataset of several copies of the train rows, with pictures shifted sideways in each copy: rows still
    share pictures or (not `shared`) no two rows have the same picture.
    """
    manifest = load_manifest(dataset)
    name = "data/train-00000-of-00001.parquet"
    (folder / "data").mkdir(parents=True)
    writer = RowWriter(folder / name, 64, 128_000_000)
    encoded: dict[bytes, bytes] = {}
    for copy in range(copies):
        for path in data_files(dataset):
            for number, (row, pictures) in enumerate(rows_with_pictures(path)):
                if row.split != "train":
                    break
                key = hashlib.sha256(pictures[0]).digest() if shared else bytes([0])
                if not shared or key not in encoded:
                    shift = copy if shared else copy * 500 + number
                    encoded[key] = encode(np.roll(load_png(pictures[0]), shift, axis=1))
                writer.add(row.model_copy(update={"id": f"{row.id}-{copy}"}), [encoded[key]])
        encoded.clear()
    writer.close()
    sha256, size = file_digest(folder / name)
    entry = FileEntry(sha256=sha256, bytes=size, rows=writer.rows, split="train")
    copied = manifest.model_copy(update={"files": {name: entry}, "rows": writer.rows})
    (folder / MANIFEST).write_text(copied.model_dump_json(), encoding="utf-8")
    return folder


def write_tars(dataset: Path, folder: Path) -> int:
    """WebDataset: tars of about 100 MB; returns how many rows they hold."""
    folder.mkdir()
    count = 0
    samples = train_rows(dataset)
    while True:
        size = 0
        with tarfile.open(folder / f"{count:09d}.tar", "w") as tar:
            for row, pictures in samples:
                parts = {"json": json.dumps(row).encode()}
                parts |= {f"{number}.png": data for number, data in enumerate(pictures)}
                for extension, data in parts.items():
                    entry = tarfile.TarInfo(f"{count:09d}.{extension}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
                    size += len(data)
                count += 1
                if size > 100_000_000:
                    break
            else:
                return count


def write_mds(dataset: Path, folder: Path) -> None:
    """MosaicML's shards of its default size, uncompressed; rows here have one picture."""
    columns = {"row": "json", "picture": "bytes"}
    with streaming.MDSWriter(out=str(folder), columns=columns) as writer:
        for row, pictures in train_rows(dataset):
            writer.write({"row": row, "picture": pictures[0]})


def with_pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def tar_rows(folder: Path, decode: Callable[[bytes], np.ndarray] | None) -> Iterator[Any]:
    urls = [str(path) for path in sorted(folder.iterdir())]
    samples = webdataset.WebDataset(urls, shardshuffle=len(urls), empty_check=False).shuffle(2048)
    for sample in samples:
        picture = sample["0.png"]
        yield json.loads(sample["json"]), picture if decode is None else decode(picture)


def mds_rows(dataset: Any, decode: Callable[[bytes], np.ndarray] | None) -> Iterator[Any]:
    for sample in dataset:
        picture = sample["picture"]
        yield sample["row"], picture if decode is None else decode(picture)


def rates(readers: dict[str, Reader], rounds: int) -> dict[str, float]:
    """Rows per second of each reader, the best of several alternating rounds."""
    found: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            started = time.perf_counter()
            count = sum(1 for _ in read())
            found[name].append(count / (time.perf_counter() - started))
    return {name: max(values) for name, values in found.items()}


def show(title: str, found: dict[str, float]) -> None:
    print(f"\n{title}\n\n| reader | rows/s | ours / it |\n|---|---|---|")
    ours = found["training.stream"]
    for name, rate in found.items():
        print(f"| {name} | {rate:.0f} | {ours / rate:.2f} |")


def measure(dataset: Path, folder: Path, title: str) -> None:
    """Write a dataset in the peers' formats, read all, print two tables."""
    count = write_tars(dataset, folder / "tars")
    write_mds(dataset, folder / "mds")
    streaming.base.util.clean_stale_shared_memory()
    mds = streaming.StreamingDataset(local=str(folder / "mds"), shuffle=True, batch_size=1)
    sizes = {
        "Parquet": sum(path.stat().st_size for path in (dataset / "data").glob("train-*")),
        "WebDataset": sum(path.stat().st_size for path in (folder / "tars").iterdir()),
        "MDS": sum(path.stat().st_size for path in (folder / "mds").iterdir()),
    }
    print(f"{count} rows; MB:", ", ".join(f"{form} {size / 1e6:.0f}" for form, size in sizes.items()))

    def ours(pictures: Any) -> Reader:
        rows = stream(dataset, pictures=pictures)
        return lambda: iter(rows)

    undecoded = {
        "training.stream": ours("encoded"),
        "WebDataset": lambda: tar_rows(folder / "tars", None),
        "StreamingDataset": lambda: mds_rows(mds, None),
    }
    show(f"Undecoded, {title}", rates(undecoded, ROUNDS))
    decoded = {
        "training.stream": ours("array"),
        "WebDataset, Pillow": lambda: tar_rows(folder / "tars", with_pillow),
        "StreamingDataset, Pillow": lambda: mds_rows(mds, with_pillow),
        "WebDataset, our decoder": lambda: tar_rows(folder / "tars", load_png),
        "StreamingDataset, our decoder": lambda: mds_rows(mds, load_png),
    }
    show(f"Decoded, {title}", rates(decoded, ROUNDS))


def main() -> None:
    """Write the formats, read them, print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--copies", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    for shared in (True, False):
        with tempfile.TemporaryDirectory() as name:
            dataset = copy_rows(options.dataset, Path(name) / "dataset", options.copies, shared)
            measure(dataset, Path(name), "rows share pictures" if shared else "one picture per row")


if __name__ == "__main__":
    main()
