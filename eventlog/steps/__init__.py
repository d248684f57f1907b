"""What a role does with a batch of records, as plain synchronous code: the same live, in a replay and in tests."""

from eventlog.steps.decide import Decided, DecideStep
from eventlog.steps.effect import Effected, EffectStep
from eventlog.steps.enrich import Enriched, EnrichStep
from eventlog.steps.project import Projected, ProjectStep

__all__ = ["DecideStep", "Decided", "EffectStep", "Effected", "EnrichStep", "Enriched", "ProjectStep", "Projected"]
