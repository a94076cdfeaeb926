"""A model as judge: several rounds for each answer, unusable replies counted and requested again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from inference.evaluation.benchmark_interface import Item, Measure, Reply, Values
from inference.evaluation.measures import mean, ratio
from inference.evaluation.rubric import Rubric, read_score
from schemas.errors import SampleError
from schemas.hashing import derived_seed

ROUNDS = 5
"""IQA-Spider (arXiv 2605.24553), table 1: the score of an answer is that of five rounds."""
TRIES = 3
"""How often a round is asked at most, its first time included."""
NO_ANSWER = "no-answer"
"""The reason of a SampleError for a call that got no answer, however often it was sent."""
_SEEDS = 2**31


@dataclass(frozen=True)
class JudgeCall:
    """One thing asked of a judge. `seed` differs between rounds and tries, so that no two calls are equal."""

    version: str
    system: str
    question: str
    seed: int


class JudgeModel(Protocol):
    """Reaches a judge and keeps what it said. `kept` and `ask` are called from many threads."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What else its replies depend on, as JSON values."""
        ...

    def kept(self, call: JudgeCall) -> str | SampleError | None:
        """The reply that is kept, or why there was none; None for a call never made. Asks nothing."""
        ...

    def ask(self, call: JudgeCall) -> str:
        """The reply, a kept one without asking. Raises SampleError where there is none, BuildError where no
        call can succeed.
        """
        ...


@dataclass(frozen=True)
class Round:
    """A round's score, None if it was lost, and what went wrong in its tries, in order."""

    score: int | None
    failures: tuple[str, ...]


@dataclass
class Judge:
    """Scores replies by the rubrics that are for their task, and counts what went wrong.

    A missing answer has the lowest score, unasked; a baseline that only points says nothing to judge. An
    answer that no round could score has no score: that is the judge's fault and not the model's; it counts
    in "judge ... lost". `failures` counts useless replies and calls without a reply by kind ("no-score",
    "out-of-range", "empty", "no-answer", ...).
    """

    model: JudgeModel
    rubrics: tuple[Rubric, ...]
    rounds: int = ROUNDS
    tries: int = TRIES
    at_once: int = 8
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def columns(self) -> tuple[str, ...]:
        """For each rubric: mean and spread of an item's rounds, rounds asked, lost, and failed tries."""
        return tuple(name for rubric in self.rubrics for name in _columns(rubric.name))

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Mean, spread, the share of rounds lost, failed tries for each round."""
        return tuple(m for rubric in self.rubrics for m in judge_measures(rubric.name, rubric.tasks))

    @property
    def settings(self) -> dict[str, Any]:
        """What the scores depend on, as JSON values: scores are compared only where all of it is equal."""
        return {
            "model": self.model.name,
            **self.model.settings,
            "rounds": self.rounds,
            "tries": self.tries,
            "rubrics": {
                rubric.name: {"version": rubric.version, "tasks": list(rubric.tasks)}
                for rubric in self.rubrics
            },
        }

    def score(self, items: Sequence[Item], replies: Sequence[Reply]) -> list[Values]:
        """The values of each item. Raises BuildError where the judge can't be reached at all."""
        found: list[dict[str, float | None]] = [dict.fromkeys(self.columns) for _ in items]
        for rubric in self.rubrics:
            numbers = [n for n in range(len(items)) if _is_judged(rubric, items[n], replies[n])]
            answered = {n for n in numbers if replies[n].error is None and replies[n].text.strip()}
            rounds = self._rounds(rubric, [(items[n], replies[n]) for n in sorted(answered)])
            for n in numbers:
                found[n] |= _values(rubric, next(rounds) if n in answered else None)
        return list(found)

    def _rounds(self, rubric: Rubric, asked: Sequence[tuple[Item, Reply]]) -> Iterator[list[Round]]:
        """The rounds of each answer, in order, several of them under way at once."""
        prompts = [rubric.ask("\n".join(item.questions), item.reference, reply.text) for item, reply in asked]
        pool = ThreadPoolExecutor(self.at_once)
        try:
            waiting = [
                [pool.submit(self._round, rubric, prompt, number) for number in range(self.rounds)]
                for prompt in prompts
            ]
            for rounds in waiting:
                done = [future.result() for future in rounds]
                self.failures.update(kind for each in done for kind in each.failures)
                yield done
        finally:
            pool.shutdown(cancel_futures=True)

    def _round(self, rubric: Rubric, prompt: str, number: int) -> Round:
        """Ask until a reply has a score, or the tries are used up.

        What was kept is taken as it was, the useless replies and refusals always, and a call that got no
        answer where a later try had a score. So a finished round asks nothing again, and one lost to the
        network does.
        """
        calls = [
            JudgeCall(
                rubric.version, rubric.system, prompt, derived_seed(number, "judge", str(again)) % _SEEDS
            )
            for again in range(self.tries)
        ]
        kept = [self.model.kept(call) for call in calls]
        finished = any(isinstance(reply, str) and type(read_score(reply, rubric)) is int for reply in kept)
        failures: list[str] = []
        for call, outcome in zip(calls, kept, strict=True):
            if outcome is None or (_is_lost(outcome) and not finished):
                outcome = self._try(call)
            read = outcome.reason if isinstance(outcome, SampleError) else read_score(outcome, rubric)
            if isinstance(read, int):
                return Round(read, tuple(failures))
            failures.append(read)
        return Round(None, tuple(failures))

    def _try(self, call: JudgeCall) -> str | SampleError:
        try:
            return self.model.ask(call)
        except SampleError as error:
            return error


def _is_lost(outcome: str | SampleError) -> bool:
    """Whether the network lost the call, so that the judge may yet answer it."""
    return isinstance(outcome, SampleError) and outcome.reason == NO_ANSWER


def _is_judged(rubric: Rubric, item: Item, reply: Reply) -> bool:
    """Whether the rubric is for the item, and the reply not a mask without words."""
    points_only = not reply.texts and (bool(reply.masks) or reply.whole_image)
    return item.task in rubric.tasks and bool(item.reference) and not points_only


def _columns(rubric: str) -> tuple[str, str, str, str, str]:
    start = f"judge {rubric}"
    return start, f"{start} spread", f"{start} rounds", f"{start} lost", f"{start} failures"


def judge_measures(rubric: str, tasks: Sequence[str]) -> tuple[Measure, ...]:
    """The measures of a rubric, by its name and tasks."""
    score, spread, rounds, lost, failures = _columns(rubric)
    own = tuple(tasks)
    return (
        mean(score, score, own),
        mean(spread, spread, own, "lower"),
        ratio(lost, lost, rounds, own, "lower"),
        ratio(failures, failures, rounds, own, "lower"),
    )


def _values(rubric: Rubric, rounds: Sequence[Round] | None) -> dict[str, float | None]:
    """An item's values: mean and standard deviation of its rounds' scores."""
    columns = _columns(rubric.name)
    if rounds is None:
        return dict(zip(columns, (float(rubric.lowest), 0.0, 0.0, 0.0, 0.0), strict=True))
    scores = [found.score for found in rounds if found.score is not None]
    lost, failures = len(rounds) - len(scores), sum(len(found.failures) for found in rounds)
    mean_and_spread = (float(np.mean(scores)), float(np.std(scores))) if scores else (None, None)
    return dict(
        zip(columns, (*mean_and_spread, float(len(rounds)), float(lost), float(failures)), strict=True)
    )
