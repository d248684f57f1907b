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
CALLS = Counter(
    "onefact_calls_total",
    "Attempts of calls out of the process: answered, unanswered, rejected (by an open circuit, so not made)",
    ("outside", "outcome"),
    registry=REGISTRY,
)
CALL_RETRIES = Counter(
    "onefact_call_retries_total", "Attempts that were not a call's first", ("outside",), registry=REGISTRY
)
CALL_SECONDS = Histogram(
    "onefact_call_seconds",
    "From an attempt's request to its answer, or to the end of waiting for one",
    ("outside",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
CALLS_IN_FLIGHT = Gauge(
    "onefact_calls_in_flight", "Attempts that wait for their answer now", ("outside",), registry=REGISTRY
)
CALLS_WAITING = Gauge(
    "onefact_calls_waiting",
    "Calls asked for and not in flight: they wait for room, for the rate, for another attempt or for the circuit",
    ("outside",),
    registry=REGISTRY,
)
CIRCUIT = Gauge(
    "onefact_circuit_state", "Circuit breaker: 0 closed, 1 half open, 2 open", ("outside",), registry=REGISTRY
)
READY = Gauge("onefact_ready", "1 when every assigned partition is open and recovered", registry=REGISTRY)
