"""The topics as a bare consumer and fastavro read them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import fastavro
import httpx
from confluent_kafka import Consumer, Message, TopicPartition

TYPES = {
    "trading.commands": ("OpenPortfolio", "DepositCash", "WithdrawCash", "BuyStock", "SellStock"),
    "trading.events": ("PortfolioOpened", "CashDeposited", "CashWithdrawn", "StockBought", "StockSold"),
    "market.prices": ("PriceQuoted",),
}


@dataclass
class Log:
    """A topic as a bare consumer reads it."""

    records: dict[tuple[int, int], Message] = field(default_factory=dict)

    @classmethod
    def of(cls, servers: str, topic: str) -> Log:
        made = cls()
        consumer = Consumer({"bootstrap.servers": servers, "group.id": "judge", "isolation.level": "read_committed",
                             "enable.auto.commit": False, "enable.partition.eof": True, "auto.offset.reset": "earliest"})  # fmt: skip # noqa: E501
        left = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, p, 0) for p in left])
        while left:
            for message in consumer.consume(5000, 1.0):
                if message.error():
                    left.discard(message.partition() or 0)
                else:
                    made.records[message.partition() or 0, message.offset() or 0] = message
        consumer.close()
        return made


PLACES = 12
DECIMAL_BYTES_MAX = 40


def exact(schema: dict[str, Any]) -> tuple[Any, list[str]]:
    """The schema with its decimals as bytes, and which fields they are: fastavro rounds to the declared precision."""
    fields, decimals = [], []
    for given in schema["fields"]:
        kind = given["type"]
        if isinstance(kind, dict) and kind.get("logicalType") == "decimal":
            assert kind["scale"] == PLACES
            decimals.append(given["name"])
            kind = "bytes"
        fields.append(given | {"type": kind})
    return fastavro.parse_schema(schema | {"fields": fields}), decimals


class Avro:
    """Schemas as the registry has them."""

    def __init__(self, registry: str) -> None:
        self.registry = registry
        self.ids: dict[str, int] = {}
        self._schemas: dict[int, Any] = {}
        self._exact: dict[int, tuple[Any, list[str]]] = {}
        for subject in httpx.get(f"{registry}/subjects", timeout=10).json():
            found = httpx.get(f"{registry}/subjects/{subject}/versions/latest", timeout=10).json()
            self.ids[subject.rsplit(".", 1)[-1]] = found["id"]
            schema = json.loads(found["schema"])
            self._schemas[found["id"]] = fastavro.parse_schema(schema)
            self._exact[found["id"]] = exact(schema)

    def encode(self, name: str, data: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._schemas[self.ids[name]], data)
        return b"\0" + self.ids[name].to_bytes(4, "big") + out.getvalue()

    def judge(self, value: bytes | None, topic: str) -> str | tuple[str, dict[str, Any]]:
        """Type and fields, or why it is poison."""
        if not value:
            return "no_value"
        if len(value) > 1 << 20:
            return "too_large"
        if len(value) < 5 or value[0]:
            return "bad_magic"
        schema = self._schemas.get(int.from_bytes(value[1:5], "big"))
        if schema is None:
            return "unknown_schema"
        name = schema["name"].rsplit(".", 1)[-1]
        if name not in TYPES[topic]:
            return "wrong_schema"
        source = io.BytesIO(value[5:])
        plain, decimals = self._exact[int.from_bytes(value[1:5], "big")]
        try:
            data: Any = fastavro.schemaless_reader(source, plain, None)
        except Exception:
            return "bad_avro"
        for field_ in decimals:
            if len(data[field_]) > DECIMAL_BYTES_MAX:
                return "bad_avro"
            digits = str(int.from_bytes(data[field_], "big", signed=True))
            data[field_] = Decimal(f"{digits}E-{PLACES}")
        return (name, data) if source.tell() == len(value) - 5 else "bad_avro"


def call(message: Message) -> Any:
    """Its headers; raises `SystemError` where a name is not UTF-8, also in a loop that runs often."""
    return next(map(Message.headers, (message,)))
