"""What a worker tells Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_LABELS = ("role", "partition")
RECORDS = Counter("onefact_records_total", "Records taken into committed batches", _LABELS, registry=REGISTRY)
BATCHES = Counter("onefact_batches_total", "Committed batches", _LABELS, registry=REGISTRY)
OUTCOMES = Counter(
    "onefact_outcomes_total",
    "What became of records: accepted, refused, repeated, enriched, projected, dead",
    ("role", "outcome"),
    registry=REGISTRY,
)
DEAD_LETTERS = Counter("onefact_dead_letters_total", "Records that could not be read", _LABELS, registry=REGISTRY)
REOPENED = Counter("onefact_task_failures_total", "Failures after which a task opens again", _LABELS, registry=REGISTRY)
COMMIT_SECONDS = Histogram(
    "onefact_commit_seconds",
    "From a batch in hand to its rows and position committed",
    ("role",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
LAG_RECORDS = Gauge(
    "onefact_lag_records",
    "Offsets behind the end of the input partition; the end of a transaction counts as one",
    _LABELS,
    registry=REGISTRY,
)
LAG_SECONDS = Gauge(
    "onefact_lag_seconds", "Age of the last record taken while more are waiting, else 0", _LABELS, registry=REGISTRY
)
READY = Gauge("onefact_ready", "1 when every assigned partition is open and recovered", registry=REGISTRY)
