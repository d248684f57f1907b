"""What is compiled reads what fastavro reads: every message of every domain, whole, cut off or broken."""

from __future__ import annotations

import json
import tracemalloc
from decimal import Decimal
from functools import cache
from io import BytesIO
from typing import Any

import fastavro
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.codec import PREFIX, Codec
from eventlog.compiled import compile_decoder, long_at, varint
from eventlog.discovery import catalog
from eventlog.errors import Poison
from eventlog.schema import DECIMAL_BYTES_MAX, expanded, from_fields, parse_physical, record_name, schema_text
from eventlog.topics import RECORD_BYTES_MAX, Topic
from tests.laws.registry import MemorySchemas
from tests.laws.values import messages

TYPES = catalog().message_types
SCHEMAS = MemorySchemas()
CODEC = Codec(SCHEMAS, TYPES)
each_class = pytest.mark.parametrize("cls", TYPES, ids=record_name)
a_few = hypothesis.settings(max_examples=30)
"""Of each class: there are many, and most are alike."""


class Unreadable(Exception):
    """What a decoder in these tests raises."""


def unreadable(error: Exception) -> Unreadable:
    return Unreadable(repr(error))


def compiled(cls: type[Any], raw: bytes) -> Any:
    return decoder(cls)(raw)


@cache
def decoder(cls: type[Any]) -> Any:
    decode = compile_decoder(cls, 0, unreadable)
    assert decode is not None, "every message of the domains here is one that can be compiled"
    return decode


@cache
def own(cls: type[Any]) -> Any:
    return parse_physical(schema_text(cls))


def by_fastavro(cls: type[Any], raw: bytes) -> Any:
    source = BytesIO(raw)
    try:
        message = from_fields(cls)(fastavro.schemaless_reader(source, own(cls), None))
    except Exception as error:
        raise unreadable(error) from error
    if source.tell() != len(raw):
        raise Unreadable("bytes follow")
    return message


def outcome(read: Any, cls: type[Any], raw: bytes) -> Any:
    try:
        return read(cls, raw)
    except Unreadable:
        return Unreadable


def record(message: Any) -> bytes:
    return CODEC.encode(message)[PREFIX.size :]


@each_class
@a_few
@given(data=st.data())
def test_whole_records_are_read_alike(cls: type[Any], data: st.DataObject) -> None:
    message = data.draw(messages(cls))
    read = compiled(cls, record(message))
    assert read == by_fastavro(cls, record(message)) == message
    # 1.50 and 1.5 are equal and shown differently: the number of places is the same too.
    assert repr(read) == repr(by_fastavro(cls, record(message)))


@each_class
@hypothesis.settings(max_examples=10)
@given(data=st.data())
def test_every_cut_is_noticed(cls: type[Any], data: st.DataObject) -> None:
    raw = record(data.draw(messages(cls)))
    for end in range(len(raw)):
        with pytest.raises(Unreadable):
            compiled(cls, raw[:end])
    with pytest.raises(Unreadable):
        compiled(cls, raw + b"\x00")


@each_class
@a_few
@given(data=st.data())
def test_broken_records_are_read_alike_or_not_at_all(cls: type[Any], data: st.DataObject) -> None:
    raw = bytearray(record(data.draw(messages(cls))))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    read, expected = outcome(compiled, cls, bytes(raw)), outcome(by_fastavro, cls, bytes(raw))
    if read is Unreadable and expected is not Unreadable:
        # Stricter in what no writer writes: numbers of more than 64 bits, which fastavro folds into 64, and unions'
        # branches counted from the end. What is read so is written back as other bytes.
        assert record(expected) != bytes(raw)
    else:
        assert read == expected


@each_class
@a_few
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_read_alike_or_not_at_all(cls: type[Any], raw: bytes) -> None:
    read = outcome(compiled, cls, raw)
    assert read is Unreadable or read == by_fastavro(cls, raw)


def defined_once(schema: Any, named: set[str]) -> Any:
    """The schema with a record's definition where it is first used."""
    if isinstance(schema, list):
        return [defined_once(part, named) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "record":
        if schema["name"] in named:
            return schema["name"]
        named.add(schema["name"])
    return {name: defined_once(part, named) if name != "default" else part for name, part in schema.items()}


@each_class
@a_few
@given(data=st.data())
def test_records_of_an_earlier_schema_are_fastavros_to_resolve(cls: type[Any], data: st.DataObject) -> None:
    """A writer with a field that is not known any more, and its fields in another order."""
    message = data.draw(messages(cls))
    earlier = expanded(json.loads(schema_text(cls)))
    earlier["fields"] = [*reversed(earlier["fields"]), {"name": "gone", "type": "string"}]
    earlier = defined_once(earlier, set())
    writer, schemas = parse_physical(json.dumps(earlier)), MemorySchemas()
    out = BytesIO()
    fastavro.schemaless_writer(
        out, writer, fastavro.schemaless_reader(BytesIO(record(message)), own(cls), None) | {"gone": "x"}
    )
    codec, topic = Codec(schemas, [cls]), Topic("t", (cls,))
    schema_id = schemas.register("earlier", json.dumps(earlier))
    codec.learn(schema_id)
    value = PREFIX.pack(0, schema_id) + out.getvalue()
    assert codec.decode(value, topic) == codec.decoder(topic)(value) == message


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.binary(max_size=3))
def test_longs_come_back(number: int, before: bytes) -> None:
    at = len(before)
    assert long_at(before + varint(number) + b"\x07", at) == (number, at + len(varint(number)))


@pytest.mark.parametrize("raw", [b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\x01", b"\xff" * 1000])
def test_a_long_of_more_than_64_bits_is_none(raw: bytes) -> None:
    with pytest.raises(ValueError, match="more than 64 bits"):
        long_at(raw, 0)


HUGE = [varint(1 << 62), varint((1 << 63) - 1), varint(-1), varint(-(1 << 63)), varint(RECORD_BYTES_MAX)]


@each_class
@pytest.mark.parametrize("length", HUGE, ids=["2**62", "2**63-1", "-1", "-2**63", "limit"])
def test_a_length_of_more_than_there_is_takes_no_memory(cls: type[Any], length: bytes) -> None:
    decode = decoder(cls)
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable):
            decode(length + b"x" * 100)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_decimal_that_arithmetic_would_round_is_poison() -> None:
    from schemas.trading import CashDeposited

    topic = Topic("t", (CashDeposited,))
    prefix = PREFIX.pack(0, SCHEMAS.register("", schema_text(CashDeposited))) + b"\x02p"
    widest = b"\x7f" + b"\xff" * (DECIMAL_BYTES_MAX - 1)
    read: Any = CODEC.decode(prefix + varint(len(widest)) + widest, topic)
    assert read.amount.scaleb(12) == int.from_bytes(widest, "big")
    for raw in (widest + b"\x00", b"\x01" * 1_000_000):
        with pytest.raises(Poison, match="a decimal of") as found:
            CODEC.decode(prefix + varint(len(raw)) + raw, topic)
        assert found.value.code == "bad_avro"


def test_what_nobody_wants_is_not_read() -> None:
    from schemas.trading import CashDeposited, CashWithdrawn

    topic = Topic("t", (CashDeposited, CashWithdrawn))
    decode = CODEC.decoder(topic, {CashDeposited})
    wanted = CashDeposited(portfolio_id="p", amount=Decimal(1))
    values = [CODEC.encode(m) for m in (wanted, CashWithdrawn(portfolio_id="p", amount=Decimal(1)))]
    assert [decode(value) for value in values + values] == [wanted, None] * 2
    assert decode(values[1][:7]) is None
    for value, code in [(None, "no_value"), (b"", "no_value"), (b"\x00\x00", "bad_magic"), (b"\x01" * 9, "bad_magic"),
                        (values[0][:7], "bad_avro"), (values[1] + bytes(RECORD_BYTES_MAX), "too_large"),
                        (values[0] + bytes(RECORD_BYTES_MAX), "too_large")]:  # fmt: skip
        with pytest.raises(Poison) as found:
            decode(value)
        assert found.value.code == code
