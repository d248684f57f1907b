"""Compiled encoders write what fastavro writes, to the byte."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventlog.compiled import compile_encoder, varint
from eventlog.message import Event, Money, Number
from eventlog.schema import schema_text, to_fields


class Everything(Event, frozen=True, kw_only=True):
    """One field of every shape that is compiled."""

    stream_field: ClassVar[str] = "name"
    namespace: ClassVar[str] = "onefact.test"
    name: str
    text: Number
    whole: int
    yes: bool
    amount: Money
    at: datetime
    maybe_name: str | None = None
    maybe_amount: Money | None = None
    maybe_whole: int | None = None


PREFIX = b"\x00\x00\x00\x00\x07"
ENCODE = compile_encoder(Everything, PREFIX)
SCHEMA = fastavro.parse_schema(json.loads(schema_text(Everything)))

texts = st.text(st.characters(codec="utf-8"), max_size=3000)
wholes = st.integers(-(1 << 63), (1 << 63) - 1)
amounts = st.decimals(Decimal(-(10**26)) + 1, Decimal(10**26) - 1, places=12)
times = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))


@given(
    st.builds(
        Everything,
        name=texts, text=texts, whole=wholes, yes=st.booleans(), amount=amounts, at=times,
        maybe_name=st.none() | texts, maybe_amount=st.none() | amounts, maybe_whole=st.none() | wholes,
    )
)  # fmt: skip
def test_same_bytes_as_fastavro(message: Everything) -> None:
    assert ENCODE is not None
    encoded = ENCODE(message)
    assert encoded.startswith(PREFIX)
    read = fastavro.schemaless_reader(io.BytesIO(encoded[len(PREFIX) :]), SCHEMA, None)
    assert Everything(**read) == message
    fields = to_fields(Everything)(message)
    out = io.BytesIO()
    physical = {"type": "record", "name": "E", "fields": [
        {"name": n, "type": t} for n, t in
        [("name", "string"), ("text", "string"), ("whole", "long"), ("yes", "boolean"), ("amount", "bytes"),
         ("at", "long"), ("maybe_name", ["null", "string"]), ("maybe_amount", ["null", "bytes"]),
         ("maybe_whole", ["null", "long"])]
    ]}  # fmt: skip
    fastavro.schemaless_writer(out, fastavro.parse_schema(physical), fields)
    assert encoded[len(PREFIX) :] == out.getvalue()


@pytest.mark.parametrize(
    ("number", "encoded"), [(0, "00"), (-1, "01"), (1, "02"), (-64, "7f"), (64, "8001"), (8191, "fe7f")]
)
def test_varint_of_the_specification(number: int, encoded: str) -> None:
    assert varint(number).hex() == encoded


@pytest.mark.parametrize(
    "wrong",
    [
        {"whole": 1 << 63},
        {"whole": "1"},
        {"name": 1},
        {"yes": 1},
        {"amount": Decimal("0.0000000000001")},
        {"whole": True},
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    good = {
        "name": "n",
        "text": "1",
        "whole": 1,
        "yes": True,
        "amount": Decimal(1),
        "at": datetime.now(UTC) + timedelta(1),
    }
    assert ENCODE is not None
    with pytest.raises((TypeError, ValueError)):
        ENCODE(Everything(**(good | wrong)))  # type: ignore[arg-type]
