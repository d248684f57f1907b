"""Where a case is, and what is published there."""

from __future__ import annotations

import json
import os
import pickle
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from eventlog.archive.meta import have_topic
from eventlog.archive.objects import Objects
from eventlog.archive.table import Table
from eventlog.envelope import Record
from eventlog.provision import described, ensure_topics
from eventlog.reader import LogReader, to_record
from eventlog.registry import Registry
from eventlog.settings import Settings
from eventlog.topics import Topic
from eventlog.upkeep.tiers import Move
from tests.runtime.harness import wait_none_open

RECORDS = 100
SCHEMAS = 3


@dataclass
class Place:
    """Where a case is: a topic and a bucket of its own, and a folder for what it must not forget."""

    settings: Settings
    topic: str
    folder: Path

    @property
    def declared(self) -> Topic:
        return Topic(self.topic, (), 1, compacted="keyed" in self.topic, dead_letters=False)

    @cached_property
    def objects(self) -> Objects:
        return Objects(self.settings)

    @property
    def table(self) -> Table:
        return Table(self.objects, self.topic)

    def expected(self) -> list[Record]:
        """What was published and committed, in order."""
        found: list[Record] = pickle.loads((self.folder / "expected").read_bytes())
        return found

    def log(self) -> list[Record]:
        """What Kafka has of it."""
        with LogReader(self.settings) as log:
            place = (self.topic, 0)
            ranges = {place: log.log_bounds(*place)}
            return [to_record(message) for _, messages, _ in log.batches(ranges) for message in messages]

    def tell(self, move: Move) -> None:
        """Keep a move, as the topic of moves would."""
        with (self.folder / "told").open("a") as told:
            told.write(json.dumps([move.source, move.target, move.begin, move.end]) + "\n")
            told.flush()
            os.fsync(told.fileno())

    def told(self) -> list[list[Any]]:
        path = self.folder / "told"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def schemas(settings: Settings) -> tuple[int, ...]:
    """Ids of a few that values may name."""
    with Registry(settings.registry) as registry:
        return tuple(registry.place(f"onefact.faults.Thing{number}", schema_text(number)) for number in range(SCHEMAS))


def fill(place: Place, seed: int, ids: Sequence[int]) -> None:
    """A topic with records of any kind."""
    ensure_topics(place.settings, [place.declared])
    with LogReader(place.settings) as log:
        have_topic(place.objects, place.topic, log.topic_id(place.topic), described(place.settings, place.topic))
    (place.folder / "ids").write_bytes(pickle.dumps(ids))
    _publish(place, random.Random(seed))


def clear(place: Place) -> None:
    """Remove the bucket: a small store of objects has room for some dozens of them."""
    client, bucket = place.objects._client, place.objects.address.bucket
    for key, _ in place.objects.keys(""):
        client.delete_object(Bucket=bucket, Key=key)
    client.delete_bucket(Bucket=bucket)


def more(place: Place) -> None:
    """As many again."""
    _publish(place, random.Random(len(place.expected())))


def _publish(place: Place, draw: random.Random) -> None:
    """Transactions that are committed, and some that are not."""
    ids: Sequence[int] = pickle.loads((place.folder / "ids").read_bytes())
    producer = Producer(
        {"bootstrap.servers": place.settings.kafka, "transactional.id": place.topic, "log_level": 0, "linger.ms": 1}
    )
    producer.init_transactions(30)
    left = RECORDS
    while left > 0:
        producer.begin_transaction()
        for _ in range(draw.randrange(1, 30)):
            left -= 1
            key = None if not place.declared.compacted and draw.random() < 0.1 else b"k%d" % draw.randrange(12)
            head = b"\0" + draw.choice(ids).to_bytes(4, "big")
            value = draw.choice((None, b"", head + draw.randbytes(20), head + draw.randbytes(200)))
            names = ("ce_id", "ce_id", "é", "n")
            headers = [(draw.choice(names), draw.choice((None, b"", b"1"))) for _ in range(draw.randrange(3))]
            producer.produce(place.topic, value, key, 0, headers=headers)
        if draw.random() < 0.25:
            producer.flush(30)
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    wait_none_open(place.settings, place.topic)
    (place.folder / "expected").write_bytes(pickle.dumps(place.log()))


def schema_text(number: int) -> str:
    """Of a schema that values name."""
    return json.dumps({"type": "record", "name": f"Thing{number}", "namespace": "onefact.faults", "fields": []})
