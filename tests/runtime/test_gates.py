"""A fetch that was made before a seek is stale, and never reaches a task."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from faust.types import TP

from eventlog.runtime.app import Batch, Consumer, RoleApp

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
    before = Batch([], opened(consumer))
    assert consumer.is_current(HERE, before)
    after = Batch([], opened(consumer))
    assert not consumer.is_current(HERE, before)
    assert consumer.is_current(HERE, after)
    consumer.close_gate(HERE)
    assert not consumer.is_current(HERE, after)


def test_a_stale_fetch_is_not_offered() -> None:
    consumer, offered = gated(), []
    stale = Batch([cast(Any, "stale")], opened(consumer))
    fresh = Batch([cast(Any, "fresh")], opened(consumer))
    app = SimpleNamespace(runners={HERE: SimpleNamespace(offer=offered.append)}, batches=consumer)

    async def events() -> Any:
        for batch in (stale, fresh):
            yield SimpleNamespace(message=SimpleNamespace(tp=HERE), value=batch)

    asyncio.run(RoleApp._feed(cast(Any, app), SimpleNamespace(events=events)))
    assert offered == [["fresh"]]
