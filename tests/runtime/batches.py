"""Batches of records as no client of ours would write them: header names of any bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

RawHeaders = Sequence[tuple[bytes, bytes | None]]


class _Name(str):
    """A name that is written as its bytes are."""

    __slots__ = ("raw",)

    def __new__(cls, raw: bytes) -> _Name:
        made = super().__new__(cls, raw.decode(errors="replace"))
        made.raw = raw
        return made

    def encode(self, *_: Any, **__: Any) -> bytes:
        return self.raw


def names(headers: RawHeaders) -> Any:
    return [(_Name(name), value) for name, value in headers]


def batch_of(
    records: Sequence[tuple[bytes | None, bytes | None, RawHeaders]], codec: int = 0, base: int = 0, size: int = 1 << 24
) -> bytes:
    """One batch of Kafka's format 2, as a broker would give it, its first record at offset `base`."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, size)
    for number, (key, value, headers) in enumerate(records):
        builder.append(number, 1_700_000_000_000 + number, key, value, names(headers))
    return struct.pack(">q", base) + bytes(builder.build())[8:]


class _AnyNames:
    """In place of the compiled builder, which knows only text."""

    def __init__(self, magic: int, **options: Any) -> None:
        self._made = _DefaultRecordBatchBuilderPy(magic, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


async def produce_raw(
    servers: str, topic: str, records: Sequence[tuple[bytes | None, bytes | None, RawHeaders]], partition: int
) -> None:
    """Append records to a partition, whatever the names of their headers are."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, max_request_size=16 << 20, max_batch_size=8 << 20)
    await producer.start()
    try:
        batch: BatchBuilder = producer.create_batch()
        options = {"compression_type": 0, "is_transactional": 0, "producer_id": -1, "producer_epoch": -1}
        batch._builder = _AnyNames(2, base_sequence=-1, batch_size=8 << 20, **options)  # type: ignore[assignment]
        for key, value, headers in records:
            assert batch.append(timestamp=None, key=key, value=value, headers=names(headers)) is not None
        batch.close()
        await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()
