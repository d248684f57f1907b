"""Where a saga stands, as its row says."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from eventlog.testing import NOON, ProjectionScenario
from projections.fulfilment import SAGAS
from schemas.fulfilment import (
    ChargeEnded,
    ChargeStarted,
    CompensationStarted,
    FulfilmentCancelled,
    FulfilmentStarted,
    LineReserved,
    RefundEnded,
    RefundPostponed,
    RefundStarted,
    Wanted,
)
from tests.orders.words import CURRENCY, CUSTOMER, ORDER, TOTAL

DUE = NOON + timedelta(seconds=30)
STARTED = FulfilmentStarted(
    order_id=ORDER, customer_id=CUSTOMER, currency=CURRENCY, total=TOTAL, lines=(Wanted(sku="mug", quantity=2),),
    due=DUE,
)  # fmt: skip
LATER = NOON + timedelta(seconds=5)


def test_a_row_says_what_is_waited_for_since_when() -> None:
    begun = ProjectionScenario(SAGAS).given(STARTED)
    begun.then_rows(
        {
            "order_id": ORDER, "customer_id": CUSTOMER, "total": Decimal("17.75"), "currency": CURRENCY, "version": 1,
            "step": "reserving", "waits_for": "reservations", "since": NOON, "due": DUE, "attempt": 1, "reason": "",
            "problem": "", "ended": "",
        }
    )  # fmt: skip
    begun.given(LineReserved(order_id=ORDER, sku="mug"), at=LATER).then_rows({"since": NOON, "due": DUE, "version": 2})
    begun.given(ChargeStarted(order_id=ORDER, due=DUE), at=LATER).then_rows(
        {"step": "charging", "waits_for": "the charge", "since": LATER}
    )


def test_a_row_says_why_it_is_undone_and_what_went_wrong() -> None:
    undoing = ProjectionScenario(SAGAS).given(
        STARTED,
        ChargeEnded(order_id=ORDER, outcome="failed", reason="lost"),
        CompensationStarted(order_id=ORDER, reason="payment failed"),
        RefundStarted(order_id=ORDER, attempt=2, due=DUE),
        RefundPostponed(order_id=ORDER, reason="away"),
    )
    undoing.then_rows(
        {"step": "refunding", "waits_for": "the refund", "attempt": 2, "reason": "payment failed", "problem": "away"}
    )
    ended = undoing.given(
        RefundEnded(order_id=ORDER, outcome="nothing"), FulfilmentCancelled(order_id=ORDER, reason="payment failed")
    )
    ended.then_rows({"step": "cancelled", "waits_for": "", "due": None, "ended": "cancelled", "attempt": 1})
