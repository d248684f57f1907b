"""Folds of the log that share no code with the product: the yardstick of the campaigns.

Reads with a bare consumer, decodes with fastavro by the schemas that the registry holds, adds up by hand.
"""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import fastavro
import httpx
from confluent_kafka import Consumer, KafkaError, TopicPartition

from eventlog.settings import Settings


@dataclass
class Fact:
    partition: int
    offset: int
    key: str
    headers: dict[str, str]
    type: str
    data: dict[str, Any]


def facts(settings: Settings, topic: str) -> list[Fact]:
    """Every committed record of a topic, decoded; each partition in order."""
    schemas: dict[int, Any] = {}
    found = []
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": "yardstick", "isolation.level": "read_committed",
         "enable.auto.commit": False, "enable.partition.eof": True, "auto.offset.reset": "earliest", "log_level": 0}
    )  # fmt: skip
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    left = set(partitions)
    while left:
        for message in consumer.consume(5000, 1.0):
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                left.discard(message.partition())
                continue
            decoded = decode(settings, message.value(), schemas)
            if decoded is None:
                continue
            name, data = decoded
            headers = {k: v.decode() for k, v in message.headers() or []}
            found.append(
                Fact(message.partition(), message.offset(), message.key().decode(), headers,
                     name, data)
            )  # fmt: skip
    consumer.close()
    return found


def decode(settings: Settings, value: bytes | None, schemas: dict[int, Any]) -> tuple[str, dict[str, Any]] | None:
    """Type and fields; None for a record that nobody can read, of which other tests leave some in the log."""
    if not value or value[0] != 0:
        return None
    schema_id = int.from_bytes(value[1:5], "big")
    if schema_id not in schemas:
        answer = httpx.get(f"{settings.registry}/schemas/ids/{schema_id}", timeout=10).json()
        schemas[schema_id] = fastavro.parse_schema(json.loads(answer["schema"])) if "schema" in answer else None
    schema = schemas[schema_id]
    if schema is None:
        return None
    try:
        return schema["name"].rsplit(".", 1)[-1], fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)  # type: ignore[return-value]
    except (EOFError, ValueError, IndexError):
        return None


@dataclass
class Books:
    """Trading's read models, added up from its events."""

    cash: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    holdings: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    version: dict[str, int] = field(default_factory=dict)
    commands: Counter[str] = field(default_factory=Counter)
    ledger: set[tuple[str, int, str]] = field(default_factory=set)


def books(events: list[Fact]) -> Books:
    """Add up; fails where a stream's versions have a gap or go back."""
    made = Books()
    for event in events:
        stream, data = event.key, event.data
        version = int(event.headers["ce_sequence"])
        assert version == made.version.get(stream, 0) + 1, f"{stream} goes from {made.version.get(stream)} to {version}"
        made.version[stream] = version
        made.commands[event.headers["ce_causationid"]] += 1
        made.ledger.add((stream, version, event.type))
        sign = {"CashDeposited": 1, "CashWithdrawn": -1, "StockBought": -1, "StockSold": 1}.get(event.type, 0)
        made.cash[stream] += sign * data.get("amount", 0)
        if event.type in ("StockBought", "StockSold"):
            assert data["amount"] == data["quantity"] * data["price"]
            made.holdings[stream][data["symbol"]] -= sign * data["quantity"]
    return made


def held(counter: Counter[str]) -> dict[str, Decimal]:
    """Without what is zero."""
    return {symbol: Decimal(n) for symbol, n in sorted(counter.items()) if n}
