"""Timelines: a sorted set per key, the same rows as in memory, whatever was put and taken out."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventlog.memory import MemoryRows
from eventlog.models import Timeline
from eventlog.operations import Add, Operation, Put, Remove, coalesce
from tests.runtime.harness import seeded
from tests.stores.conftest import Subject, fresh_name

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


def timeline() -> Timeline:
    return Timeline(fresh_name(), ("customer",), {"customer": "text", "orders": "time"}, maps={"orders": "time"})


def put(customer: str, **times: datetime | None) -> Put:
    return Put((customer,), {f"orders.{name}": time for name, time in times.items()})


def test_a_row_is_a_sorted_set_newest_first(redis_store: Subject) -> None:
    model, second = timeline(), timedelta(seconds=1)
    sink, _ = redis_store.opened(model)
    sink.apply(coalesce([put("c:1", a=NOON, b=NOON + second), put("c2", x=NOON)]), 1)
    sink.apply(coalesce([put("c:1", c=NOON - second, aa=NOON)]), 2)
    row = redis_store.store.get(model, ("c:1",))
    assert row is not None
    assert list(row["orders"].items()) == [("b", NOON + second), ("a", NOON), ("aa", NOON), ("c", NOON - second)]
    client = redis_store.redis()
    name = f"onefact:{model.name}:v1:row:c:1"
    assert client.zrevrange(name, 0, 0) == [b"b"]
    assert client.zscore(name, "a") == NOON.timestamp() * 1e6
    sink.apply(coalesce([put("c2", x=None), Remove(("c:1",))]), 3)
    assert redis_store.store.get(model, ("c2",)) is None
    assert redis_store.rows(model) == []


@pytest.mark.parametrize("time", [datetime.min, datetime.max, datetime(1970, 1, 1), datetime(2255, 1, 1, 1, 1, 1, 7)])
def test_any_time_is_one(redis_store: Subject, time: datetime) -> None:
    model, at = timeline(), time.replace(tzinfo=UTC)
    sink, _ = redis_store.opened(model)
    sink.apply(coalesce([put("c", a=at)]), 1)
    (row,) = redis_store.rows(model)
    assert abs(row["orders"]["a"] - at) < timedelta(microseconds=32)


def test_rows_are_those_of_memory(redis_store: Subject) -> None:
    rng, model = seeded(), timeline()
    sink, _ = redis_store.opened(model)
    memory = MemoryRows(model)
    for offset in range(1, 40):
        changes = coalesce([drawn(rng) for _ in range(rng.randint(1, 12))])
        memory.apply(changes)
        sink.apply(changes, offset)
        found = {row["customer"]: list(row["orders"].items()) for row in redis_store.rows(model)}
        assert found == {row["customer"]: list(row["orders"].items()) for row in memory.scan()}
        for customer in "abc":
            assert redis_store.store.get(model, (customer,)) == memory.get((customer,))


def drawn(rng: random.Random) -> Operation:
    customer, name = rng.choice("abc"), rng.choice(["o1", "o2", "o.3", "ö\n4", ""])
    time = NOON + timedelta(microseconds=rng.randrange(5)) if rng.random() < 0.7 else None
    return Remove((customer,)) if rng.random() < 0.1 else Put((customer,), {f"orders.{name or 'x'}": time})


def test_what_is_no_time_of_a_name_is_refused(redis_store: Subject) -> None:
    model = timeline()
    wrong: list[Any] = [
        Put(("c",), {"orders.a": 5}),
        Put(("c",), {"orders": NOON}),
        Add(("c",), {"orders.a": 1}),
        Put(("c",), {"elsewhere.a": NOON}),
    ]
    for operation in wrong:
        sink, _ = redis_store.opened(model)
        with pytest.raises((TypeError, KeyError)):
            sink.apply(coalesce([operation]), 1)
    with pytest.raises(TypeError, match="one map of times"):
        Timeline("x", ("id",), {"id": "text", "n": "integer"}, maps={"n": "integer"})
