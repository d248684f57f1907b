"""The raw client, which does none of the decider's work: how fast records come in at all, and come in decoded."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import fastavro
from confluent_kafka import Consumer, TopicPartition

from bench.harness.model import Ready, Run
from bench.harness.stand import BenchError, Stand
from eventlog.registry import Registry
from eventlog.topics import Topic

BATCH = 10_000
TIMEOUT_S = 10.0
"""Of one batch; a topic that gives nothing for so long has less than it should."""


@dataclass(frozen=True)
class RawConsume(Ready):
    """`Consumer.consume(10000)` over the whole topic in this very process; `decode` with fastavro too."""

    name: str
    topic: Topic
    decode: bool = False

    @property
    def what(self) -> str:
        decoded = f"decoded with fastavro {version('fastavro')}" if self.decode else "not decoded"
        return f"confluent-kafka {version('confluent-kafka')}, `consume({BATCH})` of {self.topic.name}, {decoded}"

    def run(self, stand: Stand, number: int) -> Run:
        """The clock starts with the first batch, whose records do not count."""
        consumer = Consumer(
            {
                "bootstrap.servers": stand.settings.kafka,
                "group.id": f"bench-{self.name}",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 50,
                "queued.min.messages": 100_000,
                "queued.max.messages.kbytes": 65_536,
                "fetch.message.max.bytes": 4 << 20,
                "check.crcs": True,
            }
        )
        read = self._reader(stand) if self.decode else None
        consumer.assign([TopicPartition(self.topic.name, p, 0) for p in range(self.topic.partitions)])
        try:
            seen, first, began = 0, 0, 0.0
            total = stand.end(self.topic.name)
            while seen < total:
                # Never more than there are left: it waits for as many as it is asked for.
                messages = consumer.consume(min(BATCH, total - seen), timeout=TIMEOUT_S)
                if not messages:
                    raise BenchError(f"{self.topic.name} ended after {seen} of {total} records")
                for message in messages:
                    if (error := message.error()) is not None:
                        raise BenchError(error.str())
                    value = message.value()
                    if read is not None:
                        read(value)
                seen += len(messages)
                if not first:
                    first, began = seen, time.monotonic()
        finally:
            consumer.close()
        seconds = time.monotonic() - began
        # A topic of a single batch has no time between batches; its figures mean nothing but are some.
        records = seen - first or seen
        return Run({"rate": records / seconds, "records": records, "seconds": seconds})

    @staticmethod
    def _reader(stand: Stand) -> Callable[[Any], object]:
        schemas: dict[int, Any] = {}

        def read(value: bytes) -> object:
            number = int.from_bytes(value[1:5], "big")
            schema = schemas.get(number)
            if schema is None:
                with Registry(stand.settings.registry) as registry:
                    schema = schemas[number] = fastavro.parse_schema(json.loads(registry.lookup(number) or ""))
            return fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)

        return read
