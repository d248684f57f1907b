"""Where faults strike: the points of `tests.faults.points`, by role and model."""

from __future__ import annotations

from tests.faults.points import KAFKA_POINTS, STORE_POINTS

PROCESSORS = ("trading.decider", "trading.enricher")
POSTGRES_MODELS = ("positions", "ledger", "risk_alerts")
REDIS_MODELS = ("portfolio", "leaderboard", "prices")
MODELS = POSTGRES_MODELS + REDIS_MODELS
PLACES = [(point, role) for role in PROCESSORS for point in KAFKA_POINTS if point != "after_fence"]
PLACES += [(point, model) for model in MODELS for point in STORE_POINTS]
STOPS = [place for place in PLACES if place[0] != "after_store_write"]
"""To a worker that sleeps, after a write and before its commit are one place."""
STOPS_STRIDE = 7
"""Between two cases that stop a worker; it has no divisor in common with the number of places."""
SESSION_S = 10
"""Of a member of a group, and of a transaction."""
NOT_TAKEN_S = 10.0
