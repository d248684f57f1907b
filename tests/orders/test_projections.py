"""Orders as customers and clerks see them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from eventlog.testing import ProjectionScenario
from eventlog.testing.scenarios import NOON
from projections.orders import CUSTOMER_ORDERS, ORDER, ORDER_HISTORY, ORDERS_TABLE
from schemas.orders import (
    CustomerNotified,
    Line,
    OrderCancelled,
    OrderCancelRequested,
    OrderConfirmed,
    OrderPlaced,
)

LATER = NOON + timedelta(seconds=30)
NAME = "O'Brien\"); DROP TABLE orders; --"
LINES = (
    Line(sku="mug", quantity=2, unit_price=Decimal("6.50")),
    Line(sku="a.b", quantity=1, unit_price=Decimal(3)),
)
TOTAL = Decimal(16)
PLACED = OrderPlaced(order_id="o1", customer_id=NAME, currency="GBP", lines=LINES, total=TOTAL)
CONFIRMED = OrderConfirmed(order_id="o1", customer_id=NAME, currency="GBP", lines=LINES, total=TOTAL)
ASKED = OrderCancelRequested(order_id="o1", customer_id=NAME, reason="too late")
CANCELLED = OrderCancelled(
    order_id="o1", customer_id=NAME, currency="GBP", lines=LINES, total=TOTAL, reason="cancelled by the customer"
)
TOLD = CustomerNotified(order_id="o1", customer_id=NAME, kind="confirmed", text="It is on its way")


def test_an_order_shows_its_lines_its_total_and_when_what_became_of_it() -> None:
    ProjectionScenario(ORDERS_TABLE).given(PLACED).given(CONFIRMED, TOLD, at=LATER).then_rows(
        {
            "order_id": "o1",
            "customer_id": NAME,
            "status": "confirmed",
            "currency": "GBP",
            "total": TOTAL,
            "lines": '[{"sku":"mug","quantity":2,"unit_price":"6.5"},{"sku":"a.b","quantity":1,"unit_price":"3"}]',
            "placed_at": NOON,
            "confirmed_at": LATER,
            "cancelled_at": None,
            "notified_at": LATER,
            "version": 3,
        }
    )


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        ((PLACED,), "placed", None),
        ((PLACED, ASKED), "cancelling", "too late"),
        ((PLACED, ASKED, CANCELLED), "cancelled", "cancelled by the customer"),
        ((PLACED, CONFIRMED, TOLD), "confirmed", None),
    ],
)
def test_where_an_order_stands(facts: tuple[OrderPlaced, ...], status: str, reason: str | None) -> None:
    expected = {"order_id": "o1", "status": status, "reason": reason}
    ProjectionScenario(ORDERS_TABLE).given(*facts).then_rows(expected)
    page = ProjectionScenario(ORDER).given(*facts).rows()[0]
    assert page["status"] == status


def test_everything_that_happened_is_a_row() -> None:
    ProjectionScenario(ORDER_HISTORY).given(PLACED, ASKED, CANCELLED, TOLD).then_rows(
        {"version": 1, "type": "OrderPlaced", "said": None, "event_id": "o1:1"},
        {"version": 2, "type": "OrderCancelRequested", "said": "too late"},
        {"version": 3, "type": "OrderCancelled", "said": "cancelled by the customer"},
        {"version": 4, "type": "CustomerNotified", "said": "It is on its way"},
    )


def test_a_customers_page_shows_what_was_ordered_and_the_last_message() -> None:
    ProjectionScenario(ORDER).given(PLACED, CONFIRMED).given(TOLD, at=LATER).then_rows(
        {
            "order_id": "o1",
            "customer_id": NAME,
            "status": "confirmed",
            "total": TOTAL,
            "currency": "GBP",
            "lines": {"a.b": 1, "mug": 2},
            "message": "It is on its way",
            "version": 3,
            "as_of": LATER,
        }
    )


def test_a_customer_sees_the_newest_order_first() -> None:
    other = OrderPlaced(order_id="o.2", customer_id=NAME, currency="GBP", lines=LINES, total=TOTAL)
    scenario = ProjectionScenario(CUSTOMER_ORDERS).given(PLACED).given(other, at=LATER)
    (row,) = scenario.rows()
    assert row["customer_id"] == NAME
    assert list(row["orders"].items()) == [("o.2", LATER), ("o1", NOON)]
