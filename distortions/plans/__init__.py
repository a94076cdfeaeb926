"""Plans: which regions get which distortions, so that each question about them has one measured answer."""

from distortions.plans.balance import Spread, balance
from distortions.plans.pairs import rules_digest
from distortions.plans.plan import plan_samples
from distortions.plans.planned import PlannedSample, PlanSkip
from distortions.plans.recipe import rebuild

__all__ = ["PlanSkip", "PlannedSample", "Spread", "balance", "plan_samples", "rebuild", "rules_digest"]
