"""What a case publishes: real trading commands under ids and portfolios of its own, by a bare producer."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import fastavro
import httpx
from confluent_kafka import KafkaError, Message, Producer

from producers.trading import sample

COMMANDS = "trading.commands"
SLICE = 50
"""Commands between two looks at the clock."""
DELIVERY_S = 120


@dataclass(frozen=True)
class Command:
    id: str
    stream: str
    type: str
    time: str
    data: dict[str, Any]


def make_commands(rng: Random, prefix: str, count: int) -> list[Command]:
    """A sample of trading, moved to `prefix` and to now."""
    now = datetime.now(UTC)
    made = []
    for number, event in enumerate(sample(count, rng.randrange(1 << 30))):
        data = event["data"]
        data["portfolio_id"] = f"{prefix}-{data['portfolio_id'].split('-', 2)[2]}"
        at = (now + timedelta(milliseconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        made.append(Command(f"{prefix}:{number}", data["portfolio_id"], event["type"], at, data))
    return made


class Encoder:
    """Avro in the registry's wire format, by fastavro alone."""

    def __init__(self, registry: str) -> None:
        self._registry = registry
        self._schemas: dict[str, tuple[bytes, Any]] = {}

    def encode(self, command: Command) -> bytes:
        if command.type not in self._schemas:
            subject = f"onefact.trading.{command.type}"
            found = httpx.get(f"{self._registry}/subjects/{subject}/versions/latest", timeout=10).raise_for_status()
            answer = found.json()
            prefix = b"\x00" + int(answer["id"]).to_bytes(4, "big")
            self._schemas[command.type] = prefix, fastavro.parse_schema(json.loads(answer["schema"]))
        prefix, schema = self._schemas[command.type]
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, command.data)
        return prefix + out.getvalue()


@dataclass
class Client:
    """A publisher; `acked` holds what the broker has confirmed: (partition, offset) to command id."""

    servers: str
    encoder: Encoder
    acked: dict[tuple[int, int], str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self._producer = Producer(
            {"bootstrap.servers": self.servers, "partitioner": "murmur2_random", "linger.ms": 5,
             "enable.idempotence": True, "acks": "all", "delivery.timeout.ms": DELIVERY_S * 1000, "log_level": 0}
        )  # fmt: skip

    def publish(self, commands: Sequence[Command], seconds: float, stop: threading.Event | None = None) -> None:
        """Publish evenly over so many seconds, and wait until each is confirmed or given up."""
        started = time.monotonic()
        for number, command in enumerate(commands):
            if number % SLICE == 0:
                due = started + seconds * number / len(commands)
                while (left := due - time.monotonic()) > 0:
                    self._producer.poll(min(left, 0.05))
                if stop is not None and stop.is_set():
                    break
            self._send(command)
        self._producer.flush(DELIVERY_S + 10)

    def _send(self, command: Command) -> None:
        headers = [
            ("ce_specversion", b"1.0"), ("ce_id", command.id.encode()), ("ce_source", b"faults"),
            ("ce_type", command.type.encode()), ("ce_subject", command.stream.encode()),
            ("ce_time", command.time.encode()), ("ce_correlationid", command.id.encode()),
        ]  # fmt: skip
        value = self.encoder.encode(command)
        self._producer.produce(
            COMMANDS, value, command.stream.encode(), headers=headers, on_delivery=self._reported(command.id)
        )
        self.sent += 1
        self._producer.poll(0)

    def _reported(self, command_id: str) -> Any:
        def report(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self.acked[message.partition() or 0, message.offset() or 0] = command_id
            else:
                self.failed.append(command_id)

        return report

    def close(self) -> None:
        self._producer.close()
