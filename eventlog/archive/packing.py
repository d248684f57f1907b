"""Rows as the fold in memory keeps them, as bytes and back: MessagePack, decimals as text."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any

import msgspec

from eventlog import decimals
from eventlog.models import ENTRIES, Feed, Key, Model, Value, column_type

Kept = dict[str, Any]
"""A row as `MemoryRows.kept` gives it."""


class Packing:
    """Of one model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def packed_key(self, key: Key) -> bytes:
        return msgspec.msgpack.encode([_plain(value) for value in key])

    def key(self, packed: bytes) -> Key:
        values = msgspec.msgpack.decode(packed)
        kinds = (self._model.columns[column] for column in self._model.key)
        return tuple(_value(value, kind) for value, kind in zip(values, kinds, strict=True))

    def packed_row(self, row: Kept) -> bytes:
        return msgspec.msgpack.encode({name: _cell(value) for name, value in row.items()})

    def row(self, packed: bytes) -> Kept:
        model = self._model
        row: Kept = msgspec.msgpack.decode(packed)
        for name, value in row.items():
            if isinstance(model, Feed) and name == ENTRIES:
                row[name] = [(at, _values(model, entry)) for at, entry in value]
            elif name in model.key or not isinstance(model, Feed):
                row[name] = _value(value, model.columns[name] if name in model.columns else column_type(model, name))
        return row


def packed_first(first: Value) -> bytes:
    """The first column of a key, which says in which bucket its row is."""
    return msgspec.msgpack.encode(_plain(first))


def first_of(packed_key: bytes) -> bytes:
    """The same of a packed key."""
    return packed_first(msgspec.msgpack.decode(packed_key)[0])


def bucket_of(first: bytes, buckets: int) -> int:
    """Of a power of two, so that a bucket of fewer has whole buckets of more."""
    return zlib.crc32(first) & (buckets - 1)


def _values(model: Feed, entry: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(value, model.entry[name]) for name, value in entry.items()}


def _cell(value: Any) -> Any:
    # Of feeds: (when it was appended, columns) each.
    return (
        [(at, {n: _plain(v) for n, v in entry.items()}) for at, entry in value]
        if isinstance(value, list)
        else _plain(value)
    )


def _plain(value: Any) -> Any:
    """As MessagePack has it: decimals as text, times as its own."""
    return decimals.text(value) if isinstance(value, Decimal) else value


def _value(value: Any, kind: str) -> Any:
    return Decimal(value) if kind == "decimal" and isinstance(value, str) else value
