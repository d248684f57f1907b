"""Where faults strike: the points of `tests.faults.points`, by role and model."""

from __future__ import annotations

from tests.faults.points import KAFKA_POINTS, STORE_POINTS

PROCESSORS = ("trading.decider", "trading.enricher")
POSTGRES_MODELS = ("positions", "ledger", "risk_alerts")
REDIS_MODELS = ("portfolio", "leaderboard", "prices")
MODELS = POSTGRES_MODELS + REDIS_MODELS
PLACES = [(point, role) for role in PROCESSORS for point in KAFKA_POINTS if point != "after_fence"]
PLACES += [(point, model) for model in MODELS for point in STORE_POINTS]
STOPS = [(point, role) for point, role in PLACES if role in PROCESSORS]
STOPS += [(point, m) for point in ("before_store_write", "before_store_commit", "before_store_write") for m in MODELS]
"""Where a worker falls asleep with something in hand, twice where nothing but the position tells it that it is late."""
STOPS_STRIDE = 7
"""Between two cases that stop a worker; it has no divisor in common with the number of places."""
SESSION_S = 10
"""Of a member of a group, and of a transaction."""
NOT_TAKEN_S = 10.0
