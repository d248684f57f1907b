"""An archive of its own in the real object store, and topics with records of any kind."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from eventlog.archive.meta import have_topic
from eventlog.archive.objects import Objects
from eventlog.archive.past import Past
from eventlog.archive.sink import PartitionSink, Share
from eventlog.archive.table import Segment, Table
from eventlog.envelope import Record
from eventlog.provision import described, ensure_topics
from eventlog.reader import LogReader, to_record
from eventlog.settings import Settings
from eventlog.topics import Topic
from tests.backing import until
from tests.runtime.harness import wait_none_open


@pytest.fixture(scope="session")
def settings(settings: Settings) -> Settings:
    """The services, with a bucket that only these tests use."""
    place = settings.s3.rpartition("/")[0]
    return settings.model_copy(update={"s3": f"{place}/tests-{secrets.token_hex(4)}"})


@pytest.fixture(scope="session")
def objects(settings: Settings) -> Objects:
    made = Objects(settings)
    made.have_bucket()
    return made


@dataclass
class Archive:
    """A topic that nobody else uses, and its archive."""

    objects: Objects
    settings: Settings
    topic: str

    @property
    def table(self) -> Table:
        """As another process sees it."""
        return Table(self.objects, self.topic)

    @property
    def past(self) -> Past:
        return Past(self.settings)

    def sink(self, partition: int = 0, **options: object) -> PartitionSink:
        return PartitionSink(self.objects, self.table, partition, share=Share(), **options)  # type: ignore[arg-type]

    def write(self, records: Sequence[Record], files: int = 1, partition: int = 0) -> None:
        """Archive records in so many files."""
        sink = self.sink(partition)
        begin = sink.open(lambda: 0)
        wanted = [record for record in records if record.offset >= begin]
        size = -(-len(wanted) // files)
        for start in range(0, len(wanted), size):
            sink.add(wanted[start : start + size])
            sink.flush()
        sink.close()

    def read(self, begin: int, end: int, partition: int = 0) -> list[Record]:
        past = self.past.batches(self.topic, partition, begin, end)
        return [to_record(message) for messages, _ in past for message in messages]  # type: ignore[arg-type]

    def segments(self) -> list[Segment]:
        return self.table.segments()

    def publish(self, count: int, partition: int = 0, *, size: int = 20, transactions: bool = True) -> None:
        """Committed and aborted records by turns, so that offsets have gaps; keys, values and headers of any kind."""
        settings = {"bootstrap.servers": self.settings.kafka, "log_level": 0}
        producer = Producer(settings | ({"transactional.id": f"{self.topic}-{partition}"} if transactions else {}))
        if transactions:
            producer.init_transactions(30)
        for start in range(0, count, size):
            if transactions:
                producer.begin_transaction()
            for number in range(start, min(count, start + size)):
                key = None if number % 7 == 0 else f"k{number % 5}".encode()
                value = None if number % 11 == 0 else b"" if number % 13 == 0 else secrets.token_bytes(20)
                headers = [("a", b"1"), ("a", None), ("é", b""), ("n", str(number).encode())][: number % 5]
                producer.produce(self.topic, key=key, value=value, partition=partition, headers=headers)
            if transactions:
                if start // size % 3 == 1:
                    producer.flush(30)
                    producer.abort_transaction(30)
                else:
                    producer.commit_transaction(30)
        assert producer.flush(30) == 0
        wait_none_open(self.settings, self.topic)

    def log(self, partition: int = 0) -> list[Record]:
        """What Kafka has, with the type of each timestamp."""
        with LogReader(self.settings) as reader:
            low, high = reader.log_bounds(self.topic, partition)
            ranges = {(self.topic, partition): (low, high)}
            return [to_record(message) for _, messages, _ in reader.batches(ranges) for message in messages]


@pytest.fixture
def archive(settings: Settings, objects: Objects) -> Archive:
    return Archive(objects, settings, f"archived.{secrets.token_hex(4)}")


@pytest.fixture
def kafka_archive(archive: Archive) -> Archive:
    """The same with its topic in Kafka."""
    from eventlog.archive.meta import have_topic

    topic = Topic(archive.topic, (), 2, dead_letters=False)
    ensure_topics(archive.settings, [topic])
    with LogReader(archive.settings) as reader:
        topic_id = reader.topic_id(topic.name)
    have_topic(archive.objects, topic.name, topic_id, described(archive.settings, topic.name))
    return archive


def delete_topic(settings: Settings, *names: str) -> None:
    """The controller answers first; that it is gone the broker hears some time later, and tells clients until then."""
    admin = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})
    for future in admin.delete_topics(list(names)).values():
        future.result(30)
    until(lambda: not admin.list_topics(timeout=30).topics.keys() & set(names), "the topics are gone")


@pytest.fixture
def own(settings: Settings) -> Settings:
    """A bucket of its own: a bootstrap is of all that is in it."""
    return settings.model_copy(update={"s3": f"{settings.s3.rpartition('/')[0]}/boot-{secrets.token_hex(4)}"})


def archived(
    own: Settings, name: str, *, compacted: bool = False, partitions: int = 2, retention: timedelta | None = None
) -> Archive:
    archive = Archive(Objects(own), own, name)
    topic = Topic(name, (), partitions, compacted=compacted, retention=retention, dead_letters=False)
    ensure_topics(own, [topic])
    with LogReader(own) as reader:
        have_topic(archive.objects, name, reader.topic_id(name), described(own, name))
    return archive


@pytest.fixture
def name() -> str:
    return f"back.{secrets.token_hex(4)}"
