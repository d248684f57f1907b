"""Gives consumer groups the positions that changelogs have: lag tools read them, nothing else does."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from eventlog.errors import ServiceAway
from eventlog.reader import LogReader
from eventlog.roles import Processor, read_by
from eventlog.runtime.kafka_task import POSITION_KEY
from eventlog.sagas import Relay
from eventlog.settings import Settings


def commit_positions(settings: Settings, roles: Iterable[Processor]) -> None:
    """Commit each processor's positions as its group's offsets; no worker of the role may run."""
    for role in roles:
        with LogReader(settings) as log:
            ends = log.ends(role.changelog.name)
            positions: dict[int, int] = {}
            for (_, number), messages, _ in log.batches({place: (0, end) for place, end in ends.items()}):
                for message in messages:
                    if message.key() == POSITION_KEY:
                        positions[number] = int(message.value() or 0)
        offsets = [
            TopicPartition(source.name, partition, positions[place])
            for source in read_by(role)
            for partition in range(source.partitions)
            for place in [role.place(source.name, partition) if isinstance(role, Relay) else partition]
            if place in positions
        ]
        if offsets:
            _commit(settings, role.name, offsets)


def _commit(settings: Settings, group: str, offsets: list[TopicPartition]) -> None:
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": group, "enable.auto.commit": False, "log_level": 0}
    )
    try:
        consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        raise ServiceAway("kafka", f"{group}: {error.args[0].str()}") from None
    finally:
        consumer.close()
