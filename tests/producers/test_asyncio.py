"""The same promises on an event loop."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from eventlog.errors import BadInput
from eventlog.settings import Settings
from producers import Accepted, AsyncPublisher, DeliveryFailed, NoOutcome, Refused, _producer
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
        await publisher.send(Ask(subject="s"))


@pytest.mark.asyncio
async def test_giving_up_leaves_nothing_behind(settings: Settings) -> None:
    provisioned(settings)
    async with AsyncPublisher(settings, domains=[SILENT]) as publisher:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(publisher.send(Ask(subject="s"), wait=True), 0.5)
        assert not publisher._publisher._reader._domains["silent"].waiting  # type: ignore[union-attr]
