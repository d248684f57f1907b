"""What the provider is asked for, and what its answers mean."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from eventlog.envelope import Meta
from eventlog.roles import Call, Reply
from eventlog.testing.scenarios import NOON
from processors.payments import EFFECT
from schemas.payments import (
    ChargeRequested,
    PaymentCharged,
    RefundPending,
    RefundRequested,
    SettleCharge,
    SettleRefund,
)

CHARGE = ChargeRequested(order_id="o1", payment_id="p1", customer_id="c1", amount=Decimal("12.500"), currency="GBP")
REFUND = RefundRequested(
    order_id="o1", payment_id="p1", customer_id="c1", amount=Decimal("12.5"), currency="GBP",
    provider_reference="ch_1", reason="cancelled",
)  # fmt: skip
META = Meta("o1:3", "", "o1", NOON, 3)


def test_only_what_is_requested_is_asked_for() -> None:
    assert EFFECT.wanted == {ChargeRequested, RefundRequested}
    assert PaymentCharged not in EFFECT.wanted
    assert RefundPending not in EFFECT.wanted


def test_a_charge_is_asked_for_under_its_payments_id() -> None:
    body = {"order_id": "o1", "amount": "12.5", "currency": "GBP"}
    assert EFFECT.ask(CHARGE, META) == Call("/charges", body, "p1")


def test_a_refund_has_one_key_however_often_it_is_asked_for() -> None:
    again = Meta("o1:9", "", "o1", NOON, 9)
    assert EFFECT.ask(REFUND, META) == EFFECT.ask(REFUND, again)
    call = EFFECT.ask(REFUND, META)
    assert call is not None
    assert (call.path, call.body["charge"]) == ("/refunds", "p1")
    assert call.key != "p1"


@pytest.mark.parametrize(
    ("status", "body", "outcome", "reference"),
    [
        (201, {"status": "approved", "reference": "ch_1"}, "charged", "ch_1"),
        (402, {"status": "declined", "reference": "ch_1", "reason": "poor"}, "declined", ""),
        (201, {"status": "declined"}, "failed", ""),
        (402, {}, "failed", ""),
        (201, {}, "failed", ""),
        (201, {"status": ["approved"]}, "failed", ""),
        (400, {"status": "wrong", "reason": "amount"}, "failed", ""),
        (422, {"status": "wrong"}, "failed", ""),
    ],
)
def test_what_a_charge_came_to(status: int, body: dict[str, Any], outcome: str, reference: str) -> None:
    (command,) = EFFECT.answer(CHARGE, Reply(status, body))
    assert isinstance(command, SettleCharge)
    assert (command.order_id, command.outcome, command.provider_reference) == ("o1", outcome, reference)
    assert bool(command.reason) == (outcome != "charged")


@pytest.mark.parametrize(
    ("status", "body", "outcome", "reference"),
    [
        (201, {"status": "refunded", "reference": "re_1"}, "refunded", "re_1"),
        (200, {"status": "nothing", "reference": "re_1"}, "nothing", ""),
        (422, {"status": "wrong"}, "failed", ""),
        (402, {"status": "refunded"}, "failed", ""),
        (200, {"status": 1}, "failed", ""),
    ],
)
def test_what_a_refund_came_to(status: int, body: dict[str, Any], outcome: str, reference: str) -> None:
    (command,) = EFFECT.answer(REFUND, Reply(status, body))
    assert isinstance(command, SettleRefund)
    assert (command.order_id, command.outcome, command.provider_reference) == ("o1", outcome, reference)


def test_what_the_provider_says_is_text_that_can_be_shown() -> None:
    said = {"status": "declined", "reason": "a\0b\u202ec\n\x1b[31m" + "d" * 500}
    (command,) = EFFECT.answer(CHARGE, Reply(402, said))
    assert isinstance(command, SettleCharge)
    assert command.reason.startswith("abc[31md")
    assert command.reason.isprintable()
    assert len(command.reason) == 200
