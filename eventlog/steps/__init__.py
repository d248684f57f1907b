"""What a role does with a batch of records, as plain synchronous code: the same live, in a replay and in tests."""

from eventlog.steps.decide import Decided, DecideStep
from eventlog.steps.effect import Effected, EffectStep
from eventlog.steps.enrich import Enriched, EnrichStep
from eventlog.steps.project import Projected, ProjectStep
from eventlog.steps.relay import Relayed, RelayStep
from eventlog.steps.saga import Reacted, SagaStep

__all__ = [
    "DecideStep",
    "Decided",
    "EffectStep",
    "Effected",
    "EnrichStep",
    "Enriched",
    "ProjectStep",
    "Projected",
    "Reacted",
    "RelayStep",
    "Relayed",
    "SagaStep",
]
