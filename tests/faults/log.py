"""Follows the log from a position of its own, with a bare consumer, and hands on what is committed."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import fastavro
import httpx
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

BATCH = 5000


class Fact(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: str
    headers: dict[str, str]
    type: str
    data: dict[str, Any]


class Decoder:
    """Avro by the schemas that the registry holds."""

    def __init__(self, registry: str) -> None:
        self._registry = registry
        self._schemas: dict[int, Any] = {}

    def decode(self, value: bytes | None) -> tuple[str, dict[str, Any]] | None:
        """Type and fields; None for what nobody can read."""
        if not value or value[0] != 0 or len(value) < 5:
            return None
        number = int.from_bytes(value[1:5], "big")
        if number not in self._schemas:
            answer = httpx.get(f"{self._registry}/schemas/ids/{number}", timeout=10).json()
            self._schemas[number] = fastavro.parse_schema(json.loads(answer["schema"])) if "schema" in answer else None
        schema = self._schemas[number]
        if schema is None:
            return None
        try:
            return schema["name"].rsplit(".", 1)[-1], fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)  # type: ignore[return-value]
        except (EOFError, ValueError, IndexError):
            return None


class Log:
    """Reads each committed record of some topics once, whatever becomes of the broker meanwhile."""

    def __init__(self, servers: str, registry: str, topics: Iterable[str]) -> None:
        self._topics = tuple(topics)
        self._servers = servers
        self._decoder = Decoder(registry)
        self.records = 0
        self.next: dict[tuple[str, int], int] = {}
        """Offset after the last record that was read."""
        self._stuck = False
        """The last look did not come to the end: the broker was away, and another connection is worth trying."""
        self._at_end: dict[tuple[str, int], int] = {}
        self._consumer = self._connect()

    def _connect(self) -> Consumer:
        consumer = Consumer(
            {"bootstrap.servers": self._servers, "group.id": "yardstick", "isolation.level": "read_committed",
             "enable.auto.commit": False, "enable.partition.eof": True, "auto.offset.reset": "earliest",
             "fetch.wait.max.ms": 50, "log_level": 0}
        )  # fmt: skip
        metadata = consumer.list_topics(timeout=20).topics
        places = [(topic, p) for topic in self._topics for p in metadata[topic].partitions]
        self._at_end = {}
        consumer.assign([TopicPartition(*place, self.next.get(place, 0)) for place in places])
        self._places = places
        return consumer

    def read(self, take: Callable[[Fact], None], wait_s: float = 20) -> None:
        """Hand on everything up to what are the ends now."""
        deadline = time.monotonic() + wait_s
        if self._stuck:
            self._consumer.close()
            try:
                self._consumer = self._connect()
            except KafkaException:
                return
        self._stuck = True
        try:
            ends = {
                place: self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=5)
                for place in reversed(self._places)
            }
        except KafkaException:
            return  # the broker is away: another time
        behind = {place for place, (_, end) in ends.items() if end > self._at_end.get(place, self.next.get(place, 0))}
        while behind and time.monotonic() < deadline:
            for message in self._consumer.consume(BATCH, 0.05):
                place = (message.topic() or "", message.partition() or 0)
                error = message.error()
                if error is None:
                    self._hand_on(message, place, take)
                elif error.code() == KafkaError._PARTITION_EOF:
                    self._at_end[place] = message.offset() or 0
                    if self._at_end[place] >= ends[place][1]:
                        behind.discard(place)
        self._stuck = bool(behind)

    def _hand_on(self, message: Message, place: tuple[str, int], take: Callable[[Fact], None]) -> None:
        offset = message.offset() or 0
        if offset < self.next.get(place, 0):
            return
        self.next[place] = offset + 1
        self.records += 1
        headers = {name: (value or b"").decode(errors="replace") for name, value in message.headers() or []}  # type: ignore[union-attr]
        kind, data = self._decoder.decode(message.value()) or ("", {})
        key = (message.key() or b"").decode(errors="replace")  # type: ignore[union-attr]
        take(Fact(*place, offset, key, headers, kind, data))

    def close(self) -> None:
        self._consumer.close()


def committed(servers: str, group: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
    """Positions that a group says it has reached."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group, "enable.auto.commit": False, "log_level": 0})
    try:
        found = consumer.committed([TopicPartition(topic, p) for p in partitions], timeout=10)
        return {each.partition: max(0, each.offset) for each in found}
    except KafkaException:
        return {}
    finally:
        consumer.close()
