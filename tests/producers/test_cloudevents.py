"""CloudEvents in: digits untouched, and what is wrong is said so that it can be mended."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies

from eventlog.errors import BadInput
from producers.cloudevents import LINE_BYTES_MAX, CloudEvents
from schemas.inventory import INVENTORY, ReceiveStock
from schemas.market import MARKET, PriceQuoted
from schemas.orders import ORDERS, AskedLine, PlaceOrder
from schemas.trading import TRADING, BuyStock, OpenPortfolio

EVENTS = CloudEvents(TRADING)
WHOLE: dict[str, Any] = {
    "specversion": "1.0",
    "type": "BuyStock",
    "id": "one",
    "source": "tests",
    "time": "2004-01-09T14:30:00.000001Z",
    "data": {"portfolio_id": "p", "symbol": "AMD", "quantity": "@", "price": 15.54},
}


def line(quantity: str = "448", **changed: Any) -> bytes:
    event = {name: value for name, value in (WHOLE | changed).items() if value is not ...}
    return json.dumps(event).replace('"@"', quantity).encode()


def test_an_event_is_a_typed_message_with_what_rides_beside_it() -> None:
    parsed = EVENTS.parse(line(tenant="t", traceparent="00-1", attempt=2, urgent=True, subject="p"))
    assert parsed.message == BuyStock(portfolio_id="p", symbol="AMD", quantity="448", price="15.54")
    assert (parsed.id, parsed.source, parsed.time) == ("one", "tests", datetime(2004, 1, 9, 14, 30, 0, 1, UTC))
    assert sorted(parsed.extensions) == [
        ("ce_attempt", b"2"), ("ce_tenant", b"t"), ("ce_urgent", b"true"), ("traceparent", b"00-1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "token, kept",
    [
        ("1.10", "1.10"),
        ('"1.10"', "1.10"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("123456789012345678901234567890123456789", "123456789012345678901234567890123456789"),
        ("1E+400", "1E+400"),
        ("-0", "-0"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ('"NaN"', "NaN"),
        ('"say \\"NaN\\" twice"', 'say "NaN" twice'),
        ('"x"', "x"),
    ],
)
def test_a_number_is_kept_as_it_was_written(token: str, kept: str) -> None:
    message = EVENTS.parse(line(token)).message
    assert isinstance(message, BuyStock)
    assert message.quantity == kept


@given(strategies.decimals(allow_nan=False, allow_infinity=False))
def test_any_number_is_kept_as_it_was_written(number: Decimal) -> None:
    message = EVENTS.parse(line(str(number))).message
    assert isinstance(message, BuyStock)
    assert message.quantity == str(number)


def test_optional_fields_and_a_missing_time_are_left_to_their_defaults() -> None:
    data = {"portfolio_id": "p", "owner": "o", "currency": "USD"}
    parsed = EVENTS.parse(line(type="OpenPortfolio", data=data, time=...))
    assert (parsed.message, parsed.time) == (OpenPortfolio(portfolio_id="p", owner="o", currency="USD"), None)


def test_an_amount_of_a_fact_is_read_exactly() -> None:
    quote = {"type": "PriceQuoted", "data": {"symbol": "s", "price": "@"}}
    for token in ("0.100000000001", '"0.100000000001"'):
        parsed = CloudEvents(MARKET).parse(line(token, **quote))
        assert parsed.message == PriceQuoted(symbol="s", price=Decimal("0.100000000001"))
    for token, said in [
        ("NaN", "finite"),
        ("1e40", "38 digits"),
        ("0.1000000000001", "12 digits"),
        ('"x"', "not a number"),
    ]:
        with pytest.raises(BadInput, match=f"data of PriceQuoted: price .*{said}"):
            CloudEvents(MARKET).parse(line(token, **quote))


@pytest.mark.parametrize(
    "text, said",
    [
        (b"{", "not JSON"),
        (b"[1]", "a JSON object is expected"),
        (b"\xff", "not JSON"),
        (line(specversion=...), "not a CloudEvent: specversion missing"),
        (line(specversion="0.3"), "specversion is '0.3'"),
        (line(id=...), "id missing"),
        (line(id=""), "id is empty"),
        (line(id=5), "Expected 'str', got 'int' - at '$.id'"),
        (line(source=...), "source missing"),
        (line(data=...), "data missing"),
        (line(data_base64="AA=="), "data_base64 is not read here"),
        (line(datacontenttype="text/xml"), "what is read here is application/json"),
        (line(subject="q"), "subject is 'q', but portfolio_id is 'p'"),
        (line(sequence=1), "'sequence' is written by deciders only"),
        (line(tenant=[1]), "'tenant' must be a string, an integer or a boolean"),
        (line(**{"Ten-ant": "t"}), "names have 1 to 20 characters"),
        (line(time="2004-01-09T14:30:00"), "has no time zone"),
        (line(time="noon"), "time 'noon' cannot be read"),
        (line(time="0001-01-01T00:00:00+05:00"), "cannot be read"),
        (line(type="Buy"), "known are OpenPortfolio, DepositCash, WithdrawCash, BuyStock, SellStock"),
        (line(data={"portfolio_id": "p"}), "field 'symbol'; its fields are portfolio_id, symbol, quantity, price"),
        (line(data=WHOLE["data"] | {"fee": 1}), "contains unknown field 'fee'"),
        (line("true"), "Expected a number or a string that holds one - at '$.quantity'"),
        (line("null"), "at '$.quantity'"),
        (line("[1]"), "at '$.quantity'"),
        (line("01"), "not JSON"),
        (line(data=WHOLE["data"] | {"symbol": 5}), "Expected 'str', got 'int' - at '$.symbol'"),
        (line("NaN", data=WHOLE["data"] | {"symbol": float("nan")}), "Expected 'str'"),
        (line(data=[]), "data of BuyStock"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        EVENTS.parse(text)


def test_a_line_is_named_and_an_endless_one_is_not_read_whole() -> None:
    file = io.BytesIO(line() + b"\n\n" + line() + b"\n" + b"x\n")
    read = EVENTS.lines(file)
    assert [next(read).id, next(read).id] == ["one", "one"]
    with pytest.raises(BadInput, match="line 4: not JSON"):
        next(read)
    file = io.BytesIO(b'"' * (3 * LINE_BYTES_MAX))
    with pytest.raises(BadInput, match=f"line 1: longer than the limit of {LINE_BYTES_MAX} bytes"):
        next(EVENTS.lines(file))
    assert file.tell() == LINE_BYTES_MAX + 1


def test_lines_before_the_first_are_skipped_unread() -> None:
    file = io.BytesIO(b"x\n" + line(id="a") + b"\n" + line(id="b") + b"\n")
    assert [each.id for each in EVENTS.lines(file, 2)] == ["a", "b"]


def order(lines: str) -> bytes:
    fields = f'{{"order_id": "o1", "customer_id": "ada", "currency": "GBP", "lines": {lines}}}'
    return f'{{"specversion":"1.0","type":"PlaceOrder","id":"1","source":"s","data":{fields}}}'.encode()


def test_numbers_within_records_stay_as_they_were_written() -> None:
    lines = '[{"sku": "mug", "quantity": 6, "unit_price": 2.5500000000000000001}, {"sku": "tea", "quantity": "1", '
    parsed = CloudEvents(ORDERS).parse(order(lines + '"unit_price": NaN}]'))
    assert parsed.message == PlaceOrder(
        order_id="o1", customer_id="ada", currency="GBP",
        lines=(
            AskedLine(sku="mug", quantity="6", unit_price="2.5500000000000000001"),
            AskedLine(sku="tea", quantity="1", unit_price="NaN"),
        ),
    )  # fmt: skip
    assert CloudEvents(ORDERS).parse(order("[]")).message.lines == ()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('[{"sku": "mug", "quantity": true, "unit_price": "1"}]', "Expected a number .*quantity.*, in 'lines\\[0\\]'"),
        ('[{"sku": "mug", "quantity": 1, "unit_price": "1", "extra": 1}]', "unknown field 'extra', in 'lines\\[0\\]'"),
        ('[{"sku": "mug", "quantity": 1}]', "missing required field 'unit_price', in 'lines\\[0\\]'"),
        ('[{"sku": "a", "quantity": 1, "unit_price": 1}, 7]', "in 'lines\\[1\\]'"),
        ('{"sku": "mug"}', "Expected 'array'"),
        ("null", "Expected 'array'"),
    ],
)
def test_what_is_wrong_within_a_record_is_named(lines: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        CloudEvents(ORDERS).parse(order(lines))


def test_messages_of_the_domains_beside_one_are_read_too() -> None:
    received = b'{"specversion":"1.0","type":"ReceiveStock","id":"1","source":"s","data":{"sku":"mug","quantity":6}}'
    assert CloudEvents(ORDERS, INVENTORY).parse(received).message == ReceiveStock(sku="mug", quantity="6")
    with pytest.raises(BadInput, match="none of orders's"):
        CloudEvents(ORDERS).parse(received)
