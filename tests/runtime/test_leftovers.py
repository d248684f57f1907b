"""Records of a transaction that was aborted without a word of it in their partition never come to light."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient, ResourceType

from eventlog.codec import Codec
from eventlog.envelope import command_headers
from eventlog.partition import partition_of
from eventlog.settings import Settings
from tests.backing import Backing
from tests.configs import configure
from tests.runtime.counting import COUNTING, DECIDER, Count, Counted
from tests.runtime.harness import Workers, consumed, header, publish, read_all, wait_until

VERIFICATION = "transaction.partition.verification.enable"


@pytest.fixture
def unverified(settings: Settings) -> Iterator[None]:
    """A broker that takes records of transactions which their coordinator does not know to be there."""
    brokers = AdminClient({"bootstrap.servers": settings.kafka}).list_topics(timeout=10).brokers

    def verify(value: str) -> None:
        for broker in brokers:
            configure(settings, ResourceType.BROKER, str(broker), {VERIFICATION: value}, timeout_s=60)

    verify("false")
    yield
    verify("true")


async def leave_behind(settings: Settings, key: str, value: bytes, partition: int) -> None:
    """Write an event as the decider in a transaction, and abort it so that the event's partition never hears of it."""
    events, source = COUNTING.topic("events").name, DECIDER.source.name
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka, transactional_id=f"{DECIDER.name}-{source}-{partition}"
    )
    await producer.start()
    await producer.begin_transaction()
    # The producer believes to have told the coordinator of the partition.
    producer._txn_manager._txn_partitions.add(TopicPartition(events, partition))
    headers = [*command_headers("left", "test", "Counted", key, datetime.now(UTC)), ("ce_sequence", b"1")]
    await producer.send_and_wait(events, value, key=key.encode(), partition=partition, headers=headers)
    await producer.send_offsets_to_transaction({TopicPartition(source, partition): 0}, DECIDER.name)
    await producer.abort_transaction()
    await producer.stop()


@pytest.mark.usefixtures("unverified")
def test_leftovers_of_an_aborted_transaction_stay_hidden(
    settings: Settings, codec: Codec, backing: Backing, tmp_path: Path
) -> None:
    counter = f"left-{uuid.uuid4().hex}"
    partition = partition_of(counter.encode(), COUNTING.partitions)
    left = codec.encode(Counted(counter_id=counter, number=5, total=5))
    asyncio.run(leave_behind(settings, counter, left, partition))
    workers = Workers(backing.env, tmp_path)
    try:
        workers.start("a", DECIDER.name)
        publish(settings, codec, DECIDER.source, [(f"{counter}:1", Count(counter_id=counter, number=7))])
        wait_until(lambda: consumed(settings, DECIDER.name, DECIDER.source), 120, "decided", workers.logs)
        found = [record for record in read_all(settings, COUNTING.topic("events")) if record.key == counter.encode()]
        assert [header(record, "ce_id") for record in found] == [f"{counter}:1"]
    finally:
        workers.stop()
