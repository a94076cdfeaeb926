"""Writes a sample's rows: a back end drafts each dialogue, the checks judge it, failures are tried again,
then quarantined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from annotation.qa.backend import Backend, HopelessError, Identity, PictureLoader, ReplyError, Request
from annotation.qa.check_rows import check_dialogue
from annotation.qa.scene import Failure
from annotation.qa.tasks import Draft, drafts
from schemas.errors import SampleError
from schemas.records import Message, Quarantined, Sample

MAX_REPLY_TOLD = 1000
"""Characters of a refused reply that quarantine holds."""


@dataclass(frozen=True)
class Written:
    """A row's text that passed every check, who wrote it, and at which attempt (from 1)."""

    draft: Draft
    messages: tuple[Message, ...]
    attempt: int
    identity: Identity


@dataclass(frozen=True)
class _Refused:
    """An attempt that can't ship: names of the failed checks, why in words, and the model's reply if any."""

    names: tuple[str, ...]
    reason: str
    reply: str | None


class RowWriter:
    """Writes one row, attempt by attempt. `picture` loads the distorted picture."""

    def __init__(
        self,
        draft: Draft,
        sample: Sample,
        backend: Backend,
        attempts: int,
        seed: int,
        picture: PictureLoader | None = None,
    ) -> None:
        self.draft, self.sample = draft, sample
        self._backend, self._attempts, self._seed, self._picture = backend, attempts, seed, picture
        self._refused: list[_Refused] = []
        self._accepted: tuple[tuple[Message, ...], str | None] | None = None
        self._hopeless = False

    def write(self, used: Iterable[str] = ()) -> Written | Quarantined:
        """Go on until a dialogue passes every check and repeats no answer in `used`, or attempts are spent.

        A dialogue accepted by an earlier call stands unless `used` holds one of its answers; it then counts
        as refused.
        """
        taken = set(used)
        if self._accepted is not None and not taken.isdisjoint(answers(self._accepted[0])):
            self._refuse_used(self._accepted[1])
            self._accepted = None
        while self._accepted is None and len(self._refused) < self._attempts and not self._hopeless:
            self._attempt(taken)
        if self._accepted is None:
            return self._quarantined()
        return Written(self.draft, self._accepted[0], len(self._refused) + 1, self._backend.identity)

    def refusals(self) -> Counter[str]:
        """How many attempts each check refused, by its name."""
        return Counter(name for refused in self._refused for name in refused.names)

    def _attempt(self, taken: set[str]) -> None:
        reasons = tuple(refused.reason for refused in self._refused)
        replies = tuple(refused.reply for refused in self._refused)
        number = len(self._refused) + 1
        request = Request(self.draft, self.sample, number, reasons, self._seed, self._picture, replies)
        try:
            dialogue = self._backend.write(request)
        except SampleError as error:
            self._hopeless = isinstance(error, HopelessError)
            reply = error.reply if isinstance(error, ReplyError) else None
            self._refused.append(_Refused((error.reason,), str(error), reply))
            return
        failures = check_dialogue(
            self.draft.task,
            dialogue.messages,
            self.sample.regions,
            self.draft.target_region_ids,
            self.draft.whole_image,
            self.sample.order_effect,
        )
        if failures:
            self._refuse(failures, dialogue.reply)
        elif not taken.isdisjoint(answers(dialogue.messages)):
            self._refuse_used(dialogue.reply)
        else:
            self._accepted = dialogue.messages, dialogue.reply

    def _refuse_used(self, reply: str | None) -> None:
        told = "another row already gives this answer word for word"
        self._refuse([Failure("answer_used", told)], reply)

    def _refuse(self, failures: list[Failure], reply: str | None) -> None:
        reason = "; ".join(f"{failure.name}: {failure.reason}" for failure in failures)
        names = dict.fromkeys(failure.name for failure in failures)
        self._refused.append(_Refused(tuple(names), reason, reply))

    def _quarantined(self) -> Quarantined:
        told = [
            f"attempt {number}: {refused.reason}"
            + (f" [reply: {refused.reply[:MAX_REPLY_TOLD]}]" if refused.reply is not None else "")
            for number, refused in enumerate(self._refused, start=1)
        ]
        return Quarantined(
            stage="annotate",
            source=self.sample.source_image.uri,
            sample_id=self.sample.sample_id,
            reason=self._refused[-1].names[0] if self._refused else "no-attempt",
            error=_printable(f"{self.draft.row_id}: {' | '.join(told)}"),
        )


def annotate_sample(
    sample: Sample,
    backend: Backend,
    attempts: int,
    seed: int,
    used: set[str],
    picture: PictureLoader | None = None,
    refused: Counter[str] | None = None,
) -> tuple[list[Written], list[Quarantined]]:
    """Write and check every row of a sample, one after the other.

    `used` holds the answers that no row may repeat; those accepted here are added to it. What it holds
    decides what is written, so give it a scope that doesn't depend on workers or their order, such as one
    shard. A row that fails after `attempts` tries is quarantined under the name of its last failed check.
    `refused` counts refused attempts by check.
    """
    written: list[Written] = []
    lost: list[Quarantined] = []
    for draft in drafts(sample):
        writer = RowWriter(draft, sample, backend, attempts, seed, picture)
        outcome = writer.write(used)
        if refused is not None:
            refused.update(writer.refusals())
        if isinstance(outcome, Written):
            written.append(outcome)
            used.update(answers(outcome.messages))
        else:
            lost.append(outcome)
    return written, lost


def answers(messages: tuple[Message, ...]) -> set[str]:
    """A dialogue's answers, case and spaces aside: what no other row about the photograph may say."""
    return {" ".join(m.content.casefold().split()) for m in messages if m.role == "assistant"}


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
