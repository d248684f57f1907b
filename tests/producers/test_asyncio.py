"""The same promises on an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from uuid import uuid4

import pytest

from eventlog.errors import BadInput
from eventlog.settings import Settings
from producers import Accepted, AsyncPublisher, DeliveryFailed, NoOutcome, Refused, _producer
from tests.archive.live import until
from tests.producers.silent import SIGHTINGS, SILENT, Ask, Elsewhere, Seen, provisioned
from tests.runtime.counting import COUNTING, Count
from tests.runtime.harness import read_all


@pytest.mark.asyncio
async def test_outcomes_are_awaited_side_by_side(counting: Settings) -> None:
    names = [f"async-{uuid4().hex}" for _ in range(200)]
    async with AsyncPublisher(counting, domains=[COUNTING]) as publisher:
        outcomes = await asyncio.gather(
            *(publisher.send(Count(counter_id=name, number=n % 2 or -1), wait=True) for n, name in enumerate(names))
        )
    assert [type(each) for each in outcomes] == [Refused, Accepted] * 100
    assert [each.stream for each in outcomes if isinstance(each, Accepted)] == names[1::2]


@pytest.mark.asyncio
async def test_many_are_delivered_though_the_queue_is_small(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    provisioned(settings)
    monkeypatch.setattr(_producer, "QUEUE_RECORDS", 10)
    name = uuid4().hex
    async with AsyncPublisher(settings, domains=[SILENT]) as publisher:
        receipts = await asyncio.gather(*(publisher.send(Seen(subject=name)) for _ in range(500)))
        fact = await publisher.send(Seen(subject=name), wait=True)
    found = [record.offset for record in read_all(settings, SIGHTINGS) if record.key == name.encode()]
    assert sorted(receipt.offset for receipt in receipts) == found[:-1]
    assert isinstance(fact, Accepted)


@pytest.mark.asyncio
@pytest.mark.usefixtures("unhurried")
async def test_silence_a_lost_record_and_a_bad_message_are_raised(settings: Settings) -> None:
    provisioned(settings)
    async with AsyncPublisher(settings, domains=[SILENT]) as publisher:
        with pytest.raises(NoOutcome, match=r"silent\.decider is away"):
            await publisher.send(Ask(subject="s"), wait=True, timeout_s=0.3)
        with pytest.raises(BadInput, match="what can be: Ask, Seen"):
            await publisher.send(Elsewhere(subject="s"))
        sending = asyncio.create_task(publisher.send(Ask(subject="s"), id="lost"))
        await asyncio.sleep(0)
        publisher._sender._producer.purge()
        with pytest.raises(DeliveryFailed, match="lost"):
            await sending
        for _ in range(100):
            try:
                await publisher.send(Ask(subject="s"))
                break
            except DeliveryFailed:  # the client may still be purging
                await asyncio.sleep(0.1)
        else:
            pytest.fail("nothing is delivered any more")


@pytest.mark.asyncio
async def test_giving_up_leaves_nothing_behind(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it waits for the outcome, and while a thread is only just about to listen for it."""
    provisioned(settings)
    async with AsyncPublisher(settings, domains=[SILENT]) as publisher:
        with pytest.raises(NoOutcome):
            await publisher.send(Ask(subject="s"), wait=True, timeout_s=0.3)  # it listens from now on
        waiting = publisher._publisher._reader._domains["silent"].waiting  # type: ignore[union-attr]
        sending = asyncio.create_task(publisher.send(Ask(subject="s"), wait=True))
        await until(lambda: bool(waiting))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await until(lambda: not waiting)  # the thread that listens for it may not have said yet that it does
        begun, go, expect = threading.Event(), threading.Event(), publisher._publisher.expect

        def slow(*arguments: Any) -> bool:
            begun.set()
            go.wait(30)
            return expect(*arguments)

        monkeypatch.setattr(publisher._publisher, "expect", slow)
        forget, forgotten = publisher._publisher.forget, threading.Event()

        def noted(*arguments: Any) -> None:
            assert waiting
            forget(*arguments)
            forgotten.set()

        monkeypatch.setattr(publisher._publisher, "forget", noted)
        sending = asyncio.create_task(publisher.send(Ask(subject="s"), wait=True))
        await until(begun.is_set)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        go.set()
        await until(forgotten.is_set)
        assert not waiting
