"""How many rows of which source and task stay, and which licenses may; chosen by hash, never by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase

from flows.stages.merging.candidates import Candidate
from schemas.config import LicensesConfig, MixtureRule
from schemas.hashing import content_key


def allowed(license: str, config: LicensesConfig) -> bool:
    """Whether rows under a license may be published."""

    def fits(patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(license.casefold(), pattern.casefold()) for pattern in patterns)

    return not fits(config.deny) and (config.allow is None or fits(config.allow))


def mixed(
    rows: Sequence[Candidate], rules: Sequence[MixtureRule], seed: int, counts: Counter[str]
) -> list[Candidate]:
    """The rows that the rules keep; within a rule those with the smallest hashes of their ids."""
    fitting: dict[int, list[Candidate]] = {number: [] for number in range(len(rules))}
    kept: list[Candidate] = []
    for row in rows:
        number = next((n for n, rule in enumerate(rules) if _fits(row, rule)), None)
        (kept if number is None else fitting[number]).append(row)
    sizes = {
        number: len(held) if rules[number].cap is None else min(len(held), int(rules[number].cap or 0))
        for number, held in fitting.items()
    }
    weights = {number: rule.weight for number, rule in enumerate(rules) if rule.weight is not None}
    shares = [sizes[number] / weight for number, weight in weights.items() if sizes[number]]
    for number, weight in weights.items():
        sizes[number] = min(sizes[number], int(min(shares, default=0.0) * weight + 1e-9))
    for number, held in fitting.items():
        held.sort(key=lambda row: content_key(seed, "mixture", row.row_id))
        kept += held[: sizes[number]]
        for row in held[sizes[number] :]:
            counts[f"mixture: {row.source}"] += 1
    return kept


def _fits(row: Candidate, rule: MixtureRule) -> bool:
    return rule.source in (None, row.source) and rule.task in (None, row.task)
