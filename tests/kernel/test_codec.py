"""The wire: what is written is read, what was written before is still read, and poison is named, never guessed at."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.codec import Codec
from eventlog.errors import Poison, UnknownSchema
from eventlog.message import Event, Money
from eventlog.schema import schema_text
from eventlog.topics import RECORD_BYTES_MAX, Topic
from tests.kernel.messages import TOPIC, Everything, Line, Order, Placed, placed_in_cents, placed_later
from tests.laws.registry import MemorySchemas
from tests.laws.values import messages

PLACED = Placed(key="k", amount=Decimal("1.5"))
SCHEMAS = MemorySchemas()
CODEC = Codec(SCHEMAS, [Everything, Placed, Order])
WIRE = CODEC.encode(PLACED)


@given(messages(Everything))
def test_every_kind_of_field_comes_back(message: Everything) -> None:
    assert CODEC.decode(CODEC.encode(message), TOPIC) == message


def test_the_wire_is_confluents() -> None:
    schema_id = int.from_bytes(WIRE[1:5], "big")
    assert WIRE[0] == 0
    assert json.loads(SCHEMAS.texts[schema_id])["name"] == "Placed"
    # "k" has one byte; 1.5 at twelve places is 1500000000000, in six bytes.
    assert WIRE[5:] == b"\x02k" + b"\x0c" + (1_500_000_000_000).to_bytes(6, "big")


def test_times_are_kept_to_the_microsecond() -> None:
    times = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]
    for time in times:
        message = everything(time=time)
        assert CODEC.decode(CODEC.encode(message), TOPIC) == message


def everything(**changed: Any) -> Everything:
    fields: dict[str, Any] = {
        "key": "k",
        "count": 1,
        "flag": True,
        "ratio": 0.5,
        "raw": b"\x00",
        "money": Decimal(1),
        "large": Decimal(1),
        "time": datetime(2024, 1, 2, tzinfo=UTC),
        "maybe": None,
        "lines": (Line("a", Decimal("0.1")),),
    }
    return Everything(**{**fields, **changed})


def test_a_number_with_more_places_is_not_rounded_behind_ones_back() -> None:
    with pytest.raises(ValueError, match="more than 12 places"):
        CODEC.encode(Placed(key="k", amount=Decimal("0.0000000000001")))
    with pytest.raises(ValueError, match="more than 12 places"):
        CODEC.encode(everything(money=Decimal("0.0000000000001")))


def poison(value: bytes | None, topic: Topic = TOPIC, codec: Codec = CODEC) -> str:
    with pytest.raises(Poison) as found:
        codec.decode(value, topic)
    assert found.value.reason
    return found.value.code


def test_no_value_is_poison() -> None:
    assert poison(None) == "no_value"
    assert poison(b"") == "no_value"


def test_a_value_over_the_limit_is_poison() -> None:
    assert poison(WIRE + bytes(RECORD_BYTES_MAX)) == "too_large"
    at_limit = everything(raw=bytes(RECORD_BYTES_MAX - len(CODEC.encode(everything())) - 1))
    assert len(CODEC.encode(at_limit)) <= RECORD_BYTES_MAX
    assert CODEC.decode(CODEC.encode(at_limit), TOPIC) == at_limit


@pytest.mark.parametrize("value", [b"\x01" + WIRE[1:], b'{"json": 1}', b"\x00", b"\x00\x00\x00\x00"])
def test_a_value_that_does_not_start_as_confluents_do_is_poison(value: bytes) -> None:
    assert poison(value) == "bad_magic"


def test_every_truncation_is_poison() -> None:
    codes = {poison(CODEC.encode(everything())[:end]) for end in range(5, len(CODEC.encode(everything())))}
    assert codes == {"bad_avro"}
    assert poison(WIRE[:-1]) == "bad_avro"


def test_bytes_after_the_record_are_poison() -> None:
    assert poison(WIRE + b"\x00") == "bad_avro"


def test_text_that_is_not_utf8_is_poison() -> None:
    assert poison(WIRE[:5] + b"\x02\xff" + WIRE[7:]) == "bad_avro"


def test_a_time_that_python_cannot_hold_is_poison() -> None:
    wire = CODEC.encode(everything(time=datetime(1970, 1, 1, tzinfo=UTC), maybe=None, lines=()))
    start = 5 + len(b"\x02k\x02\x01") + 8 + len(b"\x02\x00") + 2 * 7
    assert wire[start] == 0
    assert poison(wire[:start] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" + wire[start + 1 :]) == "bad_avro"


def test_a_schema_of_another_topic_is_poison() -> None:
    assert poison(CODEC.encode(Order(key="k", amount="1"))) == "wrong_schema"
    assert poison(WIRE, Topic("other", (Everything,))) == "wrong_schema"


@given(st.binary(max_size=300))
def test_whatever_bytes_come_they_are_a_message_or_poison_or_asked_for(tail: bytes) -> None:
    for value in (tail, WIRE[:5] + tail, CODEC.encode(everything())[:5] + tail):
        with contextlib.suppress(Poison, UnknownSchema):
            assert isinstance(CODEC.decode(value, TOPIC), Event)


def test_an_id_that_is_not_known_is_asked_for_once() -> None:
    schemas = MemorySchemas()
    codec = Codec(schemas, [Placed])
    value = b"\x00" + (77).to_bytes(4, "big") + b"x"
    with pytest.raises(UnknownSchema) as unknown:
        codec.decode(value, TOPIC)
    assert unknown.value.schema_id == 77
    codec.learn(77)
    assert poison(value, codec=codec) == "unknown_schema"
    codec.learn(77)
    assert schemas.lookups == [77]


def test_a_batch_is_asked_for_at_once_and_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventlog.codec.UNKNOWN_MAX", 10)
    codec = Codec(MemorySchemas(), [Placed])
    known = len(codec._decoders)
    codec.learn_all([None, b"", b"x", b"\x01\0\0\0\x05", *(b"\0" + n.to_bytes(4, "big") for n in range(100, 125))])
    assert len(codec._decoders) == known + 10
    assert poison(b"\0" + (124).to_bytes(4, "big"), codec=codec) == "unknown_schema"
    with pytest.raises(UnknownSchema):
        codec.decode(b"\0" + (100).to_bytes(4, "big"), TOPIC)


def test_a_known_id_is_never_asked_for() -> None:
    schemas = MemorySchemas()
    codec = Codec(schemas, [Placed])
    codec.learn(1)
    assert schemas.lookups == []


def learned(writer: type[Event] | str, reader: type[Event], message: Event | None = None) -> Event:
    """What the reader makes of a record that was written with another schema of the same name."""
    schemas = MemorySchemas()
    if isinstance(writer, str):
        schema_id, value = schemas.register("x", writer), WIRE[5:]
    else:
        writing = Codec(schemas, [writer])
        value = writing.encode(message or PLACED)[5:]
        schema_id = 1
    codec = Codec(schemas, [reader])
    codec.learn(schema_id)
    return codec.decode(b"\x00" + schema_id.to_bytes(4, "big") + value, Topic("t", (reader,)))


def test_a_record_of_an_earlier_schema_gets_defaults_and_new_names() -> None:
    later = placed_later()
    assert learned(Placed, later) == later(key="k", total=Decimal("1.5"), note="none", by=None)


def test_a_record_of_a_later_schema_loses_what_is_not_known_yet() -> None:
    class Wider(Event, frozen=True, kw_only=True):
        stream_field = "key"
        namespace = "onefact.test"

        extra: str
        key: str
        amount: Money

    Wider.__name__ = "Placed"
    assert learned(Wider, Placed, Wider(extra="e", key="k", amount=Decimal("1.5"))) == PLACED


def test_a_decimal_of_another_scale_is_poison_and_not_a_hundred_times_as_much() -> None:
    cents = placed_in_cents()
    with pytest.raises(Poison, match="another type of value in amount") as found:
        learned(cents, Placed, cents(key="k", amount=Decimal("1.5")))
    assert found.value.code == "unknown_schema"


def test_a_schema_without_a_needed_field_is_poison() -> None:
    schema = json.loads(schema_text(Placed))
    schema["fields"] = schema["fields"][:1]
    with pytest.raises(Poison) as found:
        learned(json.dumps(schema), Placed)
    assert found.value.code == "bad_avro"


@pytest.mark.parametrize("text", ["not json", "{}", '"string"', "[]", '{"type": "record"}', '["null", "string"]'])
def test_a_schema_that_is_none_of_ours_is_poison(text: str) -> None:
    with pytest.raises(Poison) as found:
        learned(text, Placed)
    assert found.value.code == "unknown_schema"


def test_a_record_of_another_name_is_poison() -> None:
    schema = {**json.loads(schema_text(Placed)), "namespace": "somebody.else"}
    with pytest.raises(Poison, match="no domain here declares"):
        learned(json.dumps(schema), Placed)
