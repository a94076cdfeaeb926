"""Writes a sample's rows: a back end drafts each dialogue, the checks judge it, failures are tried again,
then quarantined.
"""

from __future__ import annotations

from dataclasses import dataclass

from annotation.qa.backend import Backend, Identity, PictureLoader, Request
from annotation.qa.checks import Failure, check_dialogue
from annotation.qa.tasks import Draft, drafts
from schemas.errors import SampleError
from schemas.records import Message, Quarantined, Sample


@dataclass(frozen=True)
class Written:
    """A row's text that passed every check, who wrote it, and at which attempt (from 1)."""

    draft: Draft
    messages: tuple[Message, ...]
    attempt: int
    identity: Identity


def annotate_sample(
    sample: Sample,
    backend: Backend,
    attempts: int,
    seed: int,
    used: set[str],
    picture: PictureLoader | None = None,
) -> tuple[list[Written], list[Quarantined]]:
    """Write and check every row of a sample.

    `used` holds the answers that no row may repeat; those accepted here are added to it. What it holds
    decides what is written, so give it a scope that doesn't depend on workers or their order, such as one
    shard. A row that fails after `attempts` tries is quarantined under the name of its last failed check.
    """
    written: list[Written] = []
    lost: list[Quarantined] = []
    for draft in drafts(sample):
        outcome = _write_row(draft, sample, backend, attempts, seed, used, picture)
        if isinstance(outcome, Written):
            written.append(outcome)
            used.update(_answers(outcome.messages))
        else:
            lost.append(outcome)
    return written, lost


def _write_row(
    draft: Draft,
    sample: Sample,
    backend: Backend,
    attempts: int,
    seed: int,
    used: set[str],
    picture: PictureLoader | None,
) -> Written | Quarantined:
    reasons: list[str] = []
    last = "no-attempt"
    for attempt in range(1, attempts + 1):
        request = Request(draft, sample, attempt, tuple(reasons), seed, picture)
        try:
            messages = backend.write(request).messages
        except SampleError as error:
            last = error.reason
            reasons.append(str(error))
            continue
        failures = check_dialogue(
            draft.task,
            messages,
            sample.regions,
            draft.target_region_ids,
            draft.whole_image,
            sample.order_effect,
        )
        if not failures and not used.isdisjoint(_answers(messages)):
            failures = [Failure("answer_used", "another row already gives this answer word for word")]
        if not failures:
            return Written(draft, messages, attempt, backend.identity)
        last = failures[0].name
        reasons.append("; ".join(f"{failure.name}: {failure.reason}" for failure in failures))
    history = " | ".join(f"attempt {i}: {reason}" for i, reason in enumerate(reasons, start=1))
    return Quarantined(
        stage="annotate",
        source=sample.source_image.uri,
        sample_id=sample.sample_id,
        reason=last,
        error=f"{draft.row_id}: {history}",
    )


def _answers(messages: tuple[Message, ...]) -> set[str]:
    return {" ".join(m.content.casefold().split()) for m in messages if m.role == "assistant"}
