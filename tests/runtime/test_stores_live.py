"""Read models equal a plain fold of the log, whatever happens to the stores and to the workers that fill them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from eventlog.codec import Codec
from eventlog.provision import provision
from eventlog.settings import Settings
from projections.stores import open_store
from tests.backing import Backing
from tests.runtime.counting import CATALOG, COUNTING, JOURNAL, SUMS, Count
from tests.runtime.harness import Workers, codec_of, consumed, header, publish, read_all, seeded, wait_until

RECOVERY_S = 60


@pytest.fixture(scope="module")
def codec(settings: Settings) -> Iterator[Codec]:
    provision(settings, CATALOG)
    with codec_of(settings, CATALOG) as made:
        yield made


@pytest.fixture
def workers(backing: Backing, codec: Codec, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(backing.env, tmp_path)
    started.start("processors", "processors")
    started.start("projections", "projections")
    started.wait_ready()
    yield started
    started.stop()


def folded(settings: Settings, codec: Codec) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Journal and sums by a fold that shares nothing with the product's."""
    journal: dict[Any, Any] = {}
    sums: dict[str, dict[str, int]] = {}
    for record in read_all(settings, COUNTING.topic("events")):
        if record.value is None or not record.value.startswith(b"\x00\x00"):
            continue
        event: Any = codec.decode(record.value, COUNTING.topic("events"))
        version = int(header(record, "ce_sequence"))
        journal[event.counter_id, version] = (event.number, header(record, "ce_causationid"))
        row = sums.setdefault(event.counter_id, {"total": 0, "version": 0, "doubled": 0})
        row["total"] += event.number
        row["version"] = version
    for record in read_all(settings, COUNTING.topic("enriched")):
        fact: Any = codec.decode(record.value, COUNTING.topic("enriched"))
        sums.setdefault(fact.counter_id, {"total": 0, "version": 0, "doubled": 0})["doubled"] += fact.number
    return journal, sums


def models_equal(settings: Settings, codec: Codec) -> bool:
    journal, sums = folded(settings, codec)
    postgres, redis_store = open_store("postgres", settings), open_store("redis", settings)
    try:
        in_postgres = {
            (row["counter_id"], row["version"]): (row["number"], row["command"]) for row in postgres.scan(JOURNAL.model)
        }
        in_redis = {row.pop("counter_id"): row for row in redis_store.scan(SUMS.model)}
    finally:
        postgres.close()
        redis_store.close()
    return in_postgres == journal and in_redis == sums


def some_commands(prefix: str, rng: random.Random, count: int) -> list[tuple[str, Count]]:
    return [
        (f"{prefix}:{i}", Count(counter_id=f"{prefix}-{rng.randrange(200)}", number=rng.randrange(1, 9)))
        for i in range(count)
    ]


def projected(settings: Settings, codec: Codec, workers: Workers, count: int) -> None:
    """Wait until as many commands have become events, and both models show them all."""
    decided = {"counting.decider": COUNTING.topic("commands"), "counting.enricher": COUNTING.topic("events")}
    wait_until(lambda: all(consumed(settings, *each) for each in decided.items()), RECOVERY_S, "decided", workers.logs)
    assert len(folded(settings, codec)[0]) == count
    wait_until(
        lambda: models_equal(settings, codec),
        RECOVERY_S, "both models equal to a fold of the log", workers.logs,
    )  # fmt: skip


@pytest.mark.parametrize("service", ["postgres", "redis"])
def test_store_killed_and_back(
    settings: Settings, codec: Codec, workers: Workers, backing: Backing, service: str
) -> None:
    rng = seeded()
    before = len(folded(settings, codec)[0])
    published = some_commands(f"{service}{time.time_ns()}", rng, 20_000)
    publish(settings, codec, COUNTING.topic("commands"), published[:10_000])
    time.sleep(rng.uniform(0, 0.5))
    backing.restart(service, kill=True)
    publish(settings, codec, COUNTING.topic("commands"), published[10_000:])
    projected(settings, codec, workers, before + len(published))


def test_redis_emptied(settings: Settings, codec: Codec, workers: Workers) -> None:
    rng = seeded()
    before = len(folded(settings, codec)[0])
    published = some_commands(f"emptied{time.time_ns()}", rng, 10_000)
    publish(settings, codec, COUNTING.topic("commands"), published[:5000])
    with redis.Redis.from_url(settings.redis) as client:
        client.flushall()
    publish(settings, codec, COUNTING.topic("commands"), published[5000:])
    projected(settings, codec, workers, before + len(published))


def test_projection_workers_killed(settings: Settings, codec: Codec, workers: Workers) -> None:
    rng = seeded()
    before = len(folded(settings, codec)[0])
    published = some_commands(f"killed{time.time_ns()}", rng, 30_000)
    for i in range(0, len(published), 6000):
        publish(settings, codec, COUNTING.topic("commands"), published[i : i + 6000])
        time.sleep(rng.uniform(0.2, 1.5))
        workers.kill("projections")
        workers.start("projections")
    projected(settings, codec, workers, before + len(published))
