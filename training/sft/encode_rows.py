"""Encodes rows as a model's input: chat template, pictures, and labels only on the answers and their ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""The label of a token that the loss ignores."""
PER_TOKEN = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids", "labels")
"""Tensors with a value per token, which batches pad; others have a row per picture or patch: joined."""


class UnfitRow(Exception):
    """Raised for a row that can't be trained on as it is, which is left out and counted under `reason`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@dataclass(frozen=True)
class ChatMarks:
    """The tokens around an assistant's answer in a ChatML dialogue, and the text of all special tokens."""

    header: tuple[int, ...]
    end: int
    special: tuple[str, ...]


def find_marks(processor: Any) -> ChatMarks:
    """The marks of a processor's tokenizer. Raises InputError when its dialogues aren't ChatML."""
    tokenizer = processor.tokenizer
    header = tuple(tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False))
    end = tokenizer.encode("<|im_end|>", add_special_tokens=False)
    start = tokenizer.encode("<|im_start|>", add_special_tokens=False)
    if len(start) != 1 or len(end) != 1 or header[0] != start[0]:
        raise InputError(
            "the model's dialogues aren't ChatML (<|im_start|>role ... <|im_end|>); choose another model"
        )
    special = [str(token) for token in tokenizer.added_tokens_encoder]
    return ChatMarks(header, end[0], tuple(special))


def to_conversation(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row's dialogue in the form that chat templates and TRL take, pictures before the first question."""
    messages: list[dict[str, Any]] = []
    pictures = [{"type": "image", "image": picture} for picture in row["images"]]
    for message in row["messages"]:
        parts: list[dict[str, Any]] = [{"type": "text", "text": message["content"]}]
        if message["role"] == "user":
            parts, pictures = [*pictures, *parts], []
        messages.append({"role": message["role"], "content": parts})
    return messages


def encode_row(
    row: Mapping[str, Any], processor: Any, marks: ChatMarks, max_tokens: int
) -> dict[str, Tensor]:
    """A row as the model's input, a batch of one, with `labels` (1, tokens).

    Raises UnfitRow: "special-token" for text that contains one of the template's special tokens, "no-answer"
    without an answer, "too-long" for more than `max_tokens` tokens, picture tokens included, "processor" for
    what the model's processor rejects (a picture 200 times as long as wide), and "labels" when the labels
    don't decode to the answers (one starts with a line break, which the tokenizer joins with the header's).
    """
    for message in row["messages"]:
        for word in marks.special:
            if word in message["content"]:
                raise UnfitRow("special-token", f"{row.get('id')} holds {word}")
    answers = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
    if not any(answer.strip() for answer in answers):
        raise UnfitRow("no-answer", str(row.get("id")))
    try:
        found = processor.apply_chat_template(
            to_conversation(row),
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"add_special_tokens": False},
        )
    except ValueError as error:
        raise UnfitRow("processor", f"{row.get('id')}: {error}") from error
    ids = found["input_ids"][0].tolist()
    if len(ids) > max_tokens:
        raise UnfitRow("too-long", f"{row.get('id')} has {len(ids)} tokens")
    labels = label_answers(ids, marks)
    _check_labels(row, processor, labels, answers, marks)
    result = dict(found)
    result["labels"] = found["input_ids"].new_tensor([labels])
    return result


def label_answers(ids: Sequence[int], marks: ChatMarks) -> list[int]:
    """Labels of a dialogue's tokens: those after an assistant's header, up to and including the end mark."""
    labels = [IGNORED] * len(ids)
    length = len(marks.header)
    position = 0
    while position < len(ids):
        if tuple(ids[position : position + length]) != marks.header:
            position += 1
            continue
        position += length
        while position < len(ids):
            labels[position] = ids[position]
            position += 1
            if ids[position - 1] == marks.end:
                break
    return labels


def split_turns(labels: Sequence[int], end: int) -> list[list[int]]:
    """The labeled tokens, one list per turn, each with the end mark that closes it."""
    turns: list[list[int]] = []
    open_turn = False
    for label in labels:
        if label == IGNORED:
            continue
        if not open_turn:
            turns.append([])
        turns[-1].append(label)
        open_turn = label != end
    return turns


def _check_labels(
    row: Mapping[str, Any], processor: Any, labels: list[int], answers: list[str], marks: ChatMarks
) -> None:
    read = []
    for turn in split_turns(labels, marks.end):
        if turn[-1] != marks.end:
            raise UnfitRow("labels", f"{row.get('id')}: an answer has no end")
        read.append(processor.tokenizer.decode(turn[:-1], clean_up_tokenization_spaces=False).strip())
    if read != [answer.strip() for answer in answers]:
        raise UnfitRow("labels", f"{row.get('id')}: the labels read {read!r:.200}")


def collate(examples: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Any]:
    """A batch of encoded rows: values per token padded on the right, pictures joined; nothing is cut."""
    import torch

    batch: dict[str, Any] = {}
    keys = dict.fromkeys(key for example in examples for key in example)
    longest = max(example["input_ids"].shape[1] for example in examples)
    for key in keys:
        parts = [example[key] for example in examples if key in example]
        if key in PER_TOKEN:
            fill = {"input_ids": pad, "labels": IGNORED}.get(key, 0)
            joined = parts[0].new_full((len(examples), longest), fill)
            for number, example in enumerate(examples):
                if key in example:
                    joined[number, : example[key].shape[1]] = example[key][0]
            batch[key] = joined
        elif isinstance(parts[0], torch.Tensor):
            batch[key] = torch.cat(parts)
    return batch
