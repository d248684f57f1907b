"""What the client does where a partition has no position, and where the log does not have the one it has."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from confluent_kafka import Producer

from eventlog.provision import ensure_topics
from eventlog.runtime import fetch
from eventlog.settings import Settings
from eventlog.topics import Topic

RECORDS = 5


@pytest.fixture
def place(settings: Settings) -> TopicPartition:
    topic = Topic(f"fetched.{secrets.token_hex(4)}", (), 1, dead_letters=False)
    ensure_topics(settings, [topic])
    producer = Producer({"bootstrap.servers": settings.kafka, "log_level": 0})
    for number in range(RECORDS):
        producer.produce(topic.name, b"%d" % number)
    assert producer.flush(30) == 0
    return TopicPartition(topic.name, 0)


@asynccontextmanager
async def consumer_of(settings: Settings, place: TopicPartition) -> AsyncIterator[AIOKafkaConsumer]:
    fetch.install()
    made = AIOKafkaConsumer(
        place.topic, bootstrap_servers=settings.kafka, group_id=secrets.token_hex(4), auto_offset_reset="none",
        enable_auto_commit=False,
    )  # fmt: skip
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def test_a_group_without_positions_may_be_asked(settings: Settings, place: TopicPartition) -> None:
    """As right after a rebalance: its task seeks in a moment, and nobody takes what comes before that."""

    async def ask() -> list[int]:
        async with consumer_of(settings, place) as consumer:
            assert await consumer.position(place) == 0
            consumer.seek(place, 3)
            found = await consumer.getmany(place, timeout_ms=60_000)
            return [record.offset for record in found[place]]

    assert asyncio.run(ask()) == [3, 4]


def test_what_the_log_does_not_have_is_an_error(settings: Settings, place: TopicPartition) -> None:
    async def ask() -> None:
        async with consumer_of(settings, place) as consumer:
            await consumer.position(place)
            consumer.seek(place, RECORDS + 1)
            while True:
                assert not await consumer.getmany(place, timeout_ms=1_000)

    with pytest.raises(OffsetOutOfRangeError) as raised:
        asyncio.run(ask())
    assert raised.value.args[0] == {place: RECORDS + 1}
