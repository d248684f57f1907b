"""Each command is decided once while workers come and go in order; what is done to them by force is in tests/faults."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventlog.codec import Codec
from eventlog.settings import Settings
from eventlog.topics import Domain
from tests.backing import Backing
from tests.runtime.counting import COUNTING, Count, Counted
from tests.runtime.harness import Workers, consumed, header, publish, read_all, seeded, wait_until

RECOVERY_S = 120
PROCESSORS = ("counting.decider", "counting.enricher")


@pytest.fixture
def workers(backing: Backing, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(backing.env, tmp_path)
    yield started
    started.stop()


def commands(prefix: str, count: int, counters: int, seed_of: int | None = None) -> list[tuple[str, Count]]:
    """Commands under unique ids, one in twenty of them twice."""
    rng = seeded(seed_of)
    made: list[tuple[str, Count]] = []
    for i in range(count):
        counter = f"{prefix}-{rng.randrange(counters)}"
        made.append((f"{prefix}:{i}", Count(counter_id=counter, number=rng.randrange(1, 9))))
        if rng.random() < 0.05:
            made.append(made[-rng.randrange(1, min(50, len(made)) + 1)])
    return made


def all_decided(settings: Settings, domain: Domain = COUNTING) -> bool:
    topics = {"decider": "commands", "enricher": "events"}
    return all(consumed(settings, f"{domain.name}.{role}", domain.topic(kind)) for role, kind in topics.items())


def check_invariants(
    settings: Settings, codec: Codec, prefix: str, published: list[tuple[str, Count]], domain: Domain = COUNTING
) -> None:
    """No command lost or decided twice, versions without gaps, totals and derived facts equal to a plain fold."""
    expected: dict[str, list[tuple[str, int]]] = {}
    seen = set()
    for command_id, command in published:
        if command_id not in seen:
            seen.add(command_id)
            expected.setdefault(command.counter_id, []).append((command_id, command.number))
    decided: dict[str, list[tuple[str, int]]] = {}
    totals: Counter[str] = Counter()
    events = domain.topic("events")
    for record in read_all(settings, events):
        if not (record.key or b"").startswith(prefix.encode() + b"-"):
            continue  # other tests' records, of which some cannot be read
        event = codec.decode(record.value, events)
        assert isinstance(event, Counted)
        stream = decided.setdefault(event.counter_id, [])
        stream.append((header(record, "ce_causationid"), event.number))
        totals[event.counter_id] += event.number
        assert int(header(record, "ce_sequence")) == len(stream), "versions have gaps"
        assert event.total == totals[event.counter_id], "state was lost or doubled"
    assert decided == expected
    doubled: dict[str, list[int]] = {}
    enriched = domain.topic("enriched")
    for record in read_all(settings, enriched):
        if not (record.key or b"").startswith(prefix.encode() + b"-"):
            continue
        fact = codec.decode(record.value, enriched)
        doubled.setdefault(fact.counter_id, []).append(fact.number)  # type: ignore[attr-defined]
        assert fact.count == len(doubled[fact.counter_id])  # type: ignore[attr-defined]
    assert doubled == {counter: [2 * number for _, number in rows] for counter, rows in expected.items()}


def test_workers_come_and_go(settings: Settings, codec: Codec, workers: Workers) -> None:
    workers.start("a", *PROCESSORS)
    workers.wait_ready()
    published = commands("rebalance", 60_000, 300)
    third = len(published) // 3
    publish(settings, codec, COUNTING.topic("commands"), published[:third])
    workers.start("b", *PROCESSORS)
    publish(settings, codec, COUNTING.topic("commands"), published[third : 2 * third])
    workers.wait_ready()
    workers.signal("a", signal.SIGTERM)
    publish(settings, codec, COUNTING.topic("commands"), published[2 * third :])
    assert workers.processes["a"].wait(60) == 0
    wait_until(lambda: all_decided(settings), RECOVERY_S, "the one that stayed took over", workers.logs)
    check_invariants(settings, codec, "rebalance", published)
