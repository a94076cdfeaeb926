"""Q-Bench A1 (LLVisionQA): questions with up to four choices about how pictures look, and their accuracy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.evaluation.benchmark_files import (
    Record,
    annotation_file,
    find_pictures,
    identity,
    loader,
    read_list,
)
from inference.evaluation.benchmark_interface import Item, Measure, Opened, Reply, Values
from inference.evaluation.measures import mean

TYPES = ("yes-or-no", "what", "how")
"""Q-Bench (arXiv 2309.14181), 3.1: the forms of a question, in the order of the published numbers."""
CONCERNS = ("distortion", "other", "in-context distortion", "in-context other")
LETTERS = "ABCDEFGH"
INSTRUCTION = "Answer with the option's letter from the given choices directly."
"""As the publishers ask (Q-Future/Q-Bench, Q-Instruct)."""
_FILES = ("llvisionqa_dev.json",)
_FOLDERS = ("images", "llvisionqa_qbench_dev", "images_llvisionqa", ".")
_LEAD = re.compile(
    r"(?:the )?(?:correct |right |best )?(?:answer|option|choice)(?: is)?\s*[:=]?\s*|it(?:'s| is) ", re.I
)
_ANOTHER = re.compile(r"\b([A-H])(?:[).:]|\s*$)")
_LETTER = re.compile(r"\(?([A-Ha-h])(?:[).:,]|\s*$)\s*(.*)", re.S)


@dataclass(frozen=True)
class Choice:
    """The true answer of a question: its letter's number among the candidates."""

    candidates: tuple[str, ...]
    correct: int


def parse(answer: str, candidates: Sequence[str]) -> int | None:
    """Which candidate an answer chooses, None where it chooses none or more than one.

    A letter, alone or before its option ("B", "(b)", "B. Blurry", "The answer is B."), whose option must
    then be that letter's, or the option itself, letter case and a full stop aside.
    """
    said = _LEAD.sub("", answer.strip().strip("*_`\"' \n"), count=1).strip("*_`\"' \n")
    plain = [_plain(candidate) for candidate in candidates]
    if plain.count(_plain(said)) == 1:
        return plain.index(_plain(said))
    found = _LETTER.fullmatch(said)
    if found is None:
        return None
    chosen, rest = LETTERS.index(found[1].upper()), _plain(found[2])
    if chosen >= len(candidates):
        return None
    if found[1].islower() and rest and rest != plain[chosen]:
        return None
    others = {LETTERS.index(letter) for letter in _ANOTHER.findall(found[2])} - {chosen}
    others |= {number for number, words in enumerate(plain) if rest == words and words != plain[chosen]}
    return chosen if not others else None


def _plain(words: str) -> str:
    return " ".join(words.strip().strip("*_`\"'").rstrip(".").split()).casefold()


class QBenchA1:
    """The benchmark; `open` reads the published JSON and the folder of pictures beside it."""

    name = "q-bench-a1"
    needs_logits = False
    judged = False
    columns: tuple[str, ...] = (
        "correct",
        "letter_contained",
        "unparsed",
        *(f"correct: {kind}" for kind in TYPES),
        *(f"correct: {concern}" for concern in CONCERNS),
    )
    measures: tuple[Measure, ...] = (
        mean("accuracy", "correct"),
        *(mean(f"accuracy, {kind}", f"correct: {kind}") for kind in (*TYPES, *CONCERNS)),
        mean("accuracy, published rule", "letter_contained"),
        mean("unparsed", "unparsed", better="lower"),
    )

    def open(self, data: Path, limit: int | None) -> Opened:
        """Raises InputError for records that aren't as published and for pictures that are missing."""
        path = annotation_file(data, _FILES, "llvisionqa*.json")
        records = read_list(path)
        questions = [_question(record) for record in records][:limit]
        names = [record.place("img_path") for record in records]
        roots = [path.parent / folder for folder in _FOLDERS]
        advice = "unpack the published images*.tar beside the JSON"
        pictures = find_pictures(roots, names[:limit], advice)

        def items() -> Iterator[Item]:
            for number, (question, labels, choice) in enumerate(questions):
                yield Item(
                    id=f"{path.stem}-{number:05}",
                    group=names[number],
                    task="perception",
                    questions=(question,),
                    picture=loader(pictures[names[number]]),
                    picture_key=names[number],
                    reference=LETTERS[choice.correct],
                    labels=labels,
                    truth=choice,
                )

        return Opened(items, len(questions), identity(path, roots, names), ("type", "concern"))

    def score(self, items: Sequence[Item], replies: Sequence[Reply]) -> list[Values]:
        """1 or 0 of each item; a missing answer and one that chooses nothing are wrong."""
        return [self._values(item, reply) for item, reply in zip(items, replies, strict=True)]

    def _values(self, item: Item, reply: Reply) -> Values:
        choice: Choice = item.truth
        answer = reply.texts[0] if reply.texts and reply.error is None else ""
        chosen = parse(answer, choice.candidates)
        true = choice.candidates[choice.correct]
        right = float(chosen is not None and choice.candidates[chosen] == true)
        values: dict[str, float | None] = dict.fromkeys(self.columns)
        values["correct"] = right
        values["letter_contained"] = float(LETTERS[choice.correct] in answer)
        values["unparsed"] = float(chosen is None)
        values[f"correct: {item.labels['type']}"] = right
        values[f"correct: {item.labels['concern']}"] = right
        return values


def make() -> QBenchA1:
    """The benchmark."""
    return QBenchA1()


def _question(record: Record) -> tuple[str, dict[str, str], Choice]:
    """What is asked, the labels, and the true choice. Raises InputError."""
    question, candidates = record.text("question"), record.values.get("candidates")
    if not isinstance(candidates, list) or not 2 <= len(candidates) <= len(LETTERS):
        raise record.wrong(f"'candidates' is not a list of 2 to {len(LETTERS)} texts")
    numbered = Record(f"{record.where}: candidates", {str(n): words for n, words in enumerate(candidates)})
    options = tuple(numbered.text(key) for key in numbered.values)
    if "correct_ans" not in record.values:
        raise record.wrong("no 'correct_ans': answers of the test split aren't published; use the dev split")
    answer = record.text("correct_ans")
    if answer not in options:
        raise record.wrong(f"'correct_ans' {answer[:60]!a} isn't one of the candidates")
    listed = "\n".join(f"{LETTERS[number]}. {words}" for number, words in enumerate(options))
    labels = {"type": _named(record, "type", TYPES), "concern": _named(record, "concern", CONCERNS)}
    return f"{question}\n{listed}\n{INSTRUCTION}", labels, Choice(options, options.index(answer))


def _named(record: Record, key: str, names: Sequence[str]) -> str:
    """The name of a published number. Raises InputError."""
    value = record.values.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(names):
        raise record.wrong(f"{key!r} is {str(value)[:40]!a}, not a number from 0 to {len(names) - 1}")
    return names[value]
