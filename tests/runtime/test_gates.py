"""A fetch that was made before a seek is stale, and never reaches a task."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.transport.drivers.aiokafka import ConsumerStoppedError
from faust.types import TP

from eventlog.runtime.app import Batch, Consumer, ConsumerThread, RoleApp

HERE = TP("counting.commands", 0)


def gated() -> Consumer:
    """A consumer's gates without a broker behind them."""
    consumer = Consumer.__new__(Consumer)
    consumer._epochs, consumer._open, consumer._full = {}, set(), set()
    return consumer


def opened(consumer: Consumer) -> int:
    consumer.close_gate(HERE)
    consumer._open.add(HERE)
    return consumer._epochs[HERE]


def test_only_a_fetch_of_the_present_epoch_is_current() -> None:
    consumer = gated()
    before = Batch([], opened(consumer), 0)
    assert consumer.is_current(HERE, before)
    after = Batch([], opened(consumer), 0)
    assert not consumer.is_current(HERE, before)
    assert consumer.is_current(HERE, after)
    consumer.close_gate(HERE)
    assert not consumer.is_current(HERE, after)


def test_a_stale_fetch_is_not_offered() -> None:
    consumer, offered = gated(), []
    stale = Batch([cast(Any, "stale")], opened(consumer), 0)
    fresh = Batch([cast(Any, "fresh")], opened(consumer), 0)
    app = SimpleNamespace(
        runners={HERE: SimpleNamespace(offer=lambda records, _: offered.append(records))}, batches=consumer
    )

    async def events() -> Any:
        for batch in (stale, fresh):
            yield SimpleNamespace(message=SimpleNamespace(tp=HERE), value=batch)

    asyncio.run(RoleApp._feed(cast(Any, app), SimpleNamespace(events=events)))
    assert offered == [["fresh"]]


def test_a_fetch_that_fails_has_read_nothing() -> None:
    """Its partitions may have been opened anew, at offsets before those that the last fetch had read to."""
    thread = ConsumerThread.__new__(ConsumerThread)
    thread.positions = {HERE: 100}
    thread.consumer = cast(Any, SimpleNamespace(flow_active=True))
    closed = SimpleNamespace(_closed=True, _fetcher=None)
    with pytest.raises(ConsumerStoppedError):
        asyncio.run(thread._fetch_records(cast(Any, closed), {HERE}))
    assert not thread.positions
