"""Reads what Kafka keeps, whatever is in it: one record that breaks the client's parser must not stop its partition.

The client reads a batch of records with a compiled parser, which raises where the name of a header is not UTF-8; the
broker takes such records. Then that one batch is read again here, with the bytes that are no text as surrogates, and
the role that gets the record makes it a dead letter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

_LENGTH = struct.Struct(">8xi")
"""Bytes of a batch after its length, which follows the offset of its first record."""
PIECE_RECORDS = 500
"""Parsed at a time: with all of a large batch in memory each record takes a third longer, and megabytes are held."""


class Batches:
    """One partition's answer to a fetch, in place of the client's own `MemoryRecords`."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._batches = MemoryRecords(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        size: int = self._batches.size_in_bytes()
        return size

    def has_next(self) -> bool:
        more: bool = self._batches.has_next()
        return more

    def next_batch(self) -> Any:
        batch = self._batches.next_batch()
        begin, self._at = self._at, self._at + _LENGTH.size + _LENGTH.unpack_from(self._data, self._at)[0]
        # Batches of the formats before headers were invented are none of these.
        return Batch(batch, self._data[begin : self._at]) if isinstance(batch, DefaultRecordBatch) else batch


class Batch:
    """One batch; what is not about its records is asked of the client's own."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self._pieces())

    def _pieces(self) -> Iterator[Iterable[Any]]:
        done = 0
        parsed = chain(self._batch)  # the client's own iterator may be begun once only
        try:
            while piece := list(islice(parsed, PIECE_RECORDS)):
                yield piece
                done += len(piece)
        except UnicodeDecodeError:
            yield islice(lenient(self._data), done, None)


def lenient(data: memoryview) -> Iterator[_DefaultRecordPy]:
    """The records of a batch of Kafka's format 2, header names with `surrogateescape`."""
    batch = _DefaultRecordBatchPy(data)
    batch._maybe_uncompress()  # noqa: SLF001 - the client's way to the bytes of the records
    buffer, at = bytes(batch._buffer), batch._pos  # noqa: SLF001
    for _ in range(batch._num_records):  # noqa: SLF001
        record, at = _record(batch, buffer, at)
        yield record


def _record(batch: Any, buffer: bytes, at: int) -> tuple[_DefaultRecordPy, int]:
    length, at = decode_varint(buffer, at)
    end = at + length
    delta_ms, at = decode_varint(buffer, at + 1)  # after a byte of attributes, of which there are none
    logged = batch.timestamp_type == batch.LOG_APPEND_TIME
    timestamp = batch.max_timestamp if logged else batch.first_timestamp + delta_ms
    offset_delta, at = decode_varint(buffer, at)
    key, at = _nullable(buffer, at)
    value, at = _nullable(buffer, at)
    count, at = decode_varint(buffer, at)
    headers = []
    for _ in range(count):
        name, at = _nullable(buffer, at)
        content, at = _nullable(buffer, at)
        headers.append(((name or b"").decode(errors="surrogateescape"), content))
    offset = batch.base_offset + offset_delta
    return _DefaultRecordPy(offset, timestamp, batch.timestamp_type, key, value, headers), end


def _nullable(buffer: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(buffer, at)
    return (None, at) if length < 0 else (buffer[at : at + length], at + length)
